import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { S3Bucket } from '../../../src/storage/s3/client/s3-bucket.js';
import { S3Client } from '../../../src/storage/s3/client/s3-client.js';
import { defaultTimeouts, type S3Connection } from '../../../src/storage/s3/s3-options.js';

const encryptionHeaders = ['x-amz-server-side-encryption', 'x-amz-server-side-encryption-aws-kms-key-id'];

/** Creates an object, an upload and a part. Returns which encryption each request asks for, and whether it is signed. */
async function requestsOf(encryption: S3Connection['encryption']): Promise<readonly object[]> {
  const received: IncomingHttpHeaders[] = [];
  const server = createServer(({ headers, method, url }, answer) => {
    received.push({ ...headers, request: `${method} ${url}` });
    answer.setHeader('etag', '"1"').end('<X><UploadId>u</UploadId></X>');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const connection: S3Connection = {
    endpoint: new URL(`http://127.0.0.1:${port}`),
    region: 'us-east-1',
    bucket: 'b',
    prefix: '',
    pathStyle: true,
    credentials: () => ({ accessKeyId: 'AKTEST', secretAccessKey: 'SKTEST' }),
    encryption,
  };
  const bucket = new S3Bucket(await S3Client.create(connection, defaultTimeouts), connection);
  await bucket.put('whole', Buffer.from('x'));
  await bucket.uploadPart('parts', await bucket.startUpload('parts'), 1, Buffer.from('x'));
  bucket.close();
  server.close();
  return received.map((headers) => {
    const [algorithm, keyId] = encryptionHeaders.map((name) => headers[name]);
    const isSigned = encryptionHeaders.every(
      (name) => (headers[name] !== undefined) === headers.authorization?.includes(name),
    );
    return { request: headers['request'], algorithm, keyId, isSigned };
  });
}

it('a bucket with encryption asks for it, with the key, for each new object and each new upload', async () => {
  expect(await requestsOf({ algorithm: 'aws:kms', keyId: 'key-1' })).toEqual([
    { request: 'PUT /b/whole', algorithm: 'aws:kms', keyId: 'key-1', isSigned: true },
    { request: 'POST /b/parts?uploads=', algorithm: 'aws:kms', keyId: 'key-1', isSigned: true },
    { request: 'PUT /b/parts?partNumber=1&uploadId=u', algorithm: undefined, keyId: undefined, isSigned: true },
  ]);
});

it('a bucket without encryption leaves it to the service', async () => {
  expect(await requestsOf(undefined)).toMatchObject([
    { algorithm: undefined },
    { algorithm: undefined },
    { algorithm: undefined },
  ]);
});
