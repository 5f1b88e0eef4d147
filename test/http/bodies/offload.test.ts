import type { IncomingMessage } from 'node:http';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { accelLocation, createOffload, type OffloadOptions } from '../../../src/http/bodies/offload.js';
import type { BlobBody, Reply } from '../../../src/http/reply.js';
import type { BlobContent } from '../../../src/ports/bytes.js';

const blobsFolder = '/data/blobs';
const path = `${blobsFolder}/sha256/ab/abcdef`;
const accel = { 'X-Accel-Redirect': '/artifactapi-blobs/sha256/ab/abcdef' };
const behindNginx: OffloadOptions = { sendfile: 'x-accel', trustedProxies: ['10.0.0.0/8', '::1'], blobsFolder };
const behindApache: OffloadOptions = { ...behindNginx, sendfile: 'x-sendfile' };

const headers = {
  'Content-Type': 'application/octet-stream',
  'Docker-Content-Digest': 'sha256:abcdef',
  ETag: '"sha256:abcdef"',
};
const fileHeaders = { 'Accept-Ranges': 'bytes', 'Cache-Control': 'max-age=31536000' };

interface BlobReply extends Reply {
  readonly body: BlobBody;
}

function blobReply(file = path): BlobReply {
  const content: BlobContent = {
    size: 10,
    path: file,
    writeTo: () => Promise.reject(new Error('the test does not read the content')),
  };
  return { status: 200, headers: { ...headers, ...fileHeaders }, body: { content, length: 10 } };
}

function request(peer: string | undefined, requestHeaders: Readonly<Record<string, string>>): IncomingMessage {
  return { headers: requestHeaders, socket: { remoteAddress: peer } } as unknown as IncomingMessage;
}

/** Returns the headers that make the proxy send the file, or `undefined` if the registry sends it. */
function offloaded(
  options: OffloadOptions,
  peer: string | undefined,
  requestHeaders: Readonly<Record<string, string>> = {},
  reply: Reply = blobReply(),
): BlobBody['offload'] {
  const result = createOffload(options)(request(peer, requestHeaders), reply);
  if (typeof result.body !== 'object' || !('content' in result.body)) return undefined;
  if (result.body.offload === undefined) expect(result).toBe(reply);
  return result.body.offload;
}

const forwarded = { 'x-forwarded-for': '203.0.113.9' };

it('X-Accel-Redirect uses the location in adapters/nginx/artifactapi.conf', () => {
  const text = readFileSync(join(import.meta.dirname, '../../../adapters/nginx/artifactapi.conf'), 'utf8');
  expect(text).toContain(`location ^~ ${accelLocation} {\n  internal;\n`);
});

describe('the path of a file', () => {
  it.each<[string, OffloadOptions, string | undefined, Readonly<Record<string, string>>, boolean]>([
    ['sent to a trusted proxy', behindNginx, '10.0.0.1', forwarded, true],
    ['sent to a trusted proxy by IPv6', behindNginx, '::1', forwarded, true],
    ['sent to a trusted proxy with a mapped address', behindNginx, '::ffff:10.0.0.1', forwarded, true],
    ['not sent to a client on the machine of a trusted proxy', behindNginx, '10.0.0.1', {}, false],
    ['not sent to an untrusted client with X-Forwarded-For', behindNginx, '203.0.113.9', forwarded, false],
    ['not sent to an untrusted client', behindNginx, '203.0.113.9', {}, false],
    ['not sent on a closed connection', behindNginx, undefined, forwarded, false],
    ['not sent without trusted proxies', { ...behindNginx, trustedProxies: [] }, '10.0.0.1', forwarded, false],
    ['not sent without sendfile', { ...behindNginx, sendfile: undefined }, '10.0.0.1', forwarded, false],
  ])('is %s', (_title, options, peer, requestHeaders, expected) => {
    expect(offloaded(options, peer, requestHeaders)).toEqual(expected ? accel : undefined);
  });
});

describe('offload to the proxy', () => {
  it.each<[string, Readonly<Record<string, string>>, boolean]>([
    ['the whole blob', {}, true],
    ['a range', { range: 'bytes=0-9' }, true],
    ['a range to the end', { range: 'bytes=5-' }, true],
    ['a suffix range', { range: 'bytes=-5' }, true],
    ['If-None-Match, which the registry has evaluated', { 'if-none-match': '"sha256:other"' }, true],
    ['several ranges', { range: 'bytes=0-1,4-5' }, false],
    ['a range with spaces', { range: 'bytes = 0-1' }, false],
    ['another range unit', { range: 'lines=0-1' }, false],
    ['an empty range', { range: 'bytes=' }, false],
    ['If-Match', { 'if-match': '"sha256:abcdef"' }, false],
    ['If-Range', { range: 'bytes=0-1', 'if-range': '"sha256:abcdef"' }, false],
    ['If-Modified-Since', { 'if-modified-since': 'Fri, 01 Jan 2038 00:00:00 GMT' }, false],
    ['If-Unmodified-Since', { 'if-unmodified-since': 'Fri, 01 Jan 1999 00:00:00 GMT' }, false],
  ])('is used for %s: %s', (_title, condition, expected) => {
    const reply = { ...blobReply(), status: 'range' in condition ? 206 : 200 };
    const offload = offloaded(behindNginx, '10.0.0.1', { ...forwarded, ...condition }, reply);
    expect(offload).toEqual(expected ? accel : undefined);
  });

  it('is not used for a range that is answered with the whole blob', () => {
    const requestHeaders = { ...forwarded, range: 'bytes=0-' };
    expect(offloaded(behindNginx, '10.0.0.1', requestHeaders, blobReply())).toBeUndefined();
  });
});

describe('an offloaded reply', () => {
  const offloadOf = (options: OffloadOptions, reply: Reply) => offloaded(options, '10.0.0.1', forwarded, reply);

  it('has a path below the internal location for nginx, and the full path for others', () => {
    expect(offloadOf(behindNginx, blobReply())).toEqual(accel);
    expect(offloadOf(behindApache, blobReply())).toEqual({ 'X-Sendfile': path });
    expect(offloadOf(behindApache, blobReply('data/blobs/sha256/ab/abcdef'))).toEqual({
      'X-Sendfile': resolve('data/blobs/sha256/ab/abcdef'),
    });
    const relative = { ...behindNginx, blobsFolder: 'data/blobs' };
    expect(offloadOf(relative, blobReply('data/blobs/sha256/ab/abcdef'))).toEqual(accel);
  });

  it.each<[string, Reply, OffloadOptions]>([
    ['content without a file, such as a blob in transfer', contentWithoutPath(), behindApache],
    ['content without a file, for nginx', contentWithoutPath(), behindNginx],
    ['a file outside the folder that nginx serves', blobReply('/data/index/CURRENT'), behindNginx],
    ['a file of a store whose folder is unknown', blobReply(), { ...behindNginx, blobsFolder: undefined }],
    ['a text', { status: 200, body: 'text' }, behindNginx],
    ['bytes in memory', { status: 200, body: Buffer.from('bytes') }, behindNginx],
    ['an empty body', { status: 304, headers }, behindNginx],
  ])('never has %s', (_title, reply, options) => {
    expect(offloadOf(options, reply)).toBeUndefined();
  });

  it('keeps its status, provenance and headers, except headers that the proxy sets', () => {
    const provenance = { cache: 'hit', repository: 'hub' } as const;
    const range = { 'Content-Range': 'bytes 0-4/10' };
    const partial = { ...blobReply(), status: 206, headers: { ...headers, ...fileHeaders, ...range }, provenance };
    const result = createOffload(behindNginx)(request('10.0.0.1', { ...forwarded, range: 'bytes=0-4' }), partial);
    expect(result).toEqual({ ...partial, headers, body: { ...partial.body, offload: accel } });
  });
});

function contentWithoutPath(): Reply {
  const { body, ...reply } = blobReply();
  const { path: _path, ...content } = body.content;
  return { ...reply, body: { ...body, content } };
}
