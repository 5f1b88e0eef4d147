import { afterEach, beforeEach, expect, it } from 'vitest';
import { digestOf } from '../../src/protocol/digest.js';
import { S3Client } from '../../src/storage/s3/client/s3-client.js';
import { defaultTimeouts, type S3Connection } from '../../src/storage/s3/s3-options.js';
import { bytesOf, put } from '../contracts/blob-store-published.js';
import { MiB, patternBytes, sourceOf } from '../support/content/bytes.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { createBucket, listBlobs, openScene, type S3Scene } from './support/bucket.js';
import { startFaultProxy, type FaultProxy } from './support/fault-proxy.js';

const day = 24 * 3_600_000;
let folder: string;
let connection: S3Connection;
let proxy: FaultProxy;
let scene: S3Scene;
let now: number;
const unknown: string[] = [];
const lost: string[] = [];

async function open(): Promise<void> {
  scene = await openScene(
    folder,
    { ...connection, endpoint: proxy.endpoint },
    { now: () => now, onUnknown: (keys) => void unknown.push(...keys), onLost: (digest) => void lost.push(digest) },
  );
}

/** Sends a request past the store. */
async function request(method: 'PUT' | 'DELETE', key: string): Promise<void> {
  const client = await S3Client.create(connection, defaultTimeouts);
  await client.call({ method, key, ...(method === 'PUT' ? { body: Buffer.from('x') } : {}) });
  client.close();
}

beforeEach(async () => {
  unknown.length = 0;
  lost.length = 0;
  now = Date.now();
  folder = await makeScratchFolder();
  connection = await createBucket();
  proxy = await startFaultProxy();
  await open();
});
afterEach(async () => {
  proxy.find = () => undefined;
  await scene.close();
  await proxy.stop();
  await removeScratchFolder(folder);
});

it('audit() moves objects that the index does not know into the trash for a week when they are two days old', async () => {
  const bytes = patternBytes(20 * MiB);
  const { version = '' } = await put(scene.blobs, 'kept', bytes);
  const staged = await scene.blobs.stage('staged');
  await staged.append(sourceOf(bytes.subarray(0, MiB)));
  await request('PUT', 'o/07-orphan');
  await request('PUT', 'o/ff-orphan');
  await scene.blobs.audit();
  expect(unknown).toEqual([]);
  now += 8 * day;
  await scene.blobs.audit();
  expect(unknown).toEqual(['o/07-orphan', 'o/ff-orphan']);
  await scene.blobs.emptyTrash();
  now += 6 * day;
  await scene.blobs.emptyTrash();
  expect(await listBlobs(connection)).toContain('o/07-orphan');
  now += 2 * day;
  await scene.blobs.emptyTrash();
  expect(await listBlobs(connection)).not.toContain('o/07-orphan');
  expect(await listBlobs(connection)).toContain(version);
  await staged.append(sourceOf(bytes.subarray(MiB)));
  await staged.commit(digestOf(bytes));
  expect((await bytesOf(scene.blobs, digestOf(bytes)))?.equals(bytes)).toBe(true);
  expect(lost).toEqual([]);
});

it('audit() reports blobs without an object, which are absent from then on', async () => {
  const { version = '' } = await put(scene.blobs, 'lost', patternBytes(1000));
  const kept = await put(scene.blobs, 'kept', patternBytes(2000));
  await request('DELETE', version);
  await scene.blobs.audit();
  expect(lost).toEqual([digestOf(patternBytes(1000))]);
  expect(await scene.blobs.stat(digestOf(patternBytes(1000)))).toBeUndefined();
  expect(await scene.blobs.stat(kept.digest)).toEqual(kept);
});

it('audit() continues where it stopped after a failure and a restart, and waits a week after its end', async () => {
  const steps = (): readonly string[] => listed.splice(0);
  const listed: string[] = [];
  let isAway = false;
  proxy.find = ({ url }) => {
    const prefix = url.searchParams.get('list-type') === '2' ? url.searchParams.get('prefix') : null;
    if (prefix === null) return undefined;
    if (isAway && prefix === 'images/o/4') return { answer: 403, body: '<Error><Code>AccessDenied</Code></Error>' };
    listed.push(prefix);
    return undefined;
  };
  isAway = true;
  await expect(scene.blobs.audit()).rejects.toThrow('AccessDenied');
  expect(steps()).toHaveLength(4);
  await scene.close();
  isAway = false;
  await open();
  await scene.blobs.audit();
  const rest = steps();
  expect([rest.length, rest[0], rest.at(-1)]).toEqual([16 - 4, 'images/o/4', 'images/o/f']);
  now += 6 * day;
  await scene.blobs.audit();
  expect(steps()).toEqual([]);
  now += day;
  await scene.blobs.audit();
  expect(steps()).toHaveLength(16);
});

it('audit() reads lists that have several pages', async () => {
  const pages = [
    '<IsTruncated>true</IsTruncated><NextContinuationToken>a+/=</NextContinuationToken>',
    '<IsTruncated>false</IsTruncated>',
  ];
  const tokens: (string | null)[] = [];
  proxy.find = ({ url }) => {
    if (url.searchParams.get('prefix') !== 'images/o/0') return undefined;
    const token = url.searchParams.get('continuation-token');
    const key = `images/o/00-${tokens.push(token)}`;
    const item = `<Contents><Key>${key}</Key><LastModified>2020-01-01T00:00:00.000Z</LastModified></Contents>`;
    return { answer: 200, body: `<ListBucketResult>${pages[token === null ? 0 : 1]}${item}</ListBucketResult>` };
  };
  await scene.blobs.audit();
  expect(tokens).toEqual([null, 'a+/=']);
  expect(unknown).toEqual(['o/00-1', 'o/00-2']);
});
