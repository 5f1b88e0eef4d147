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
const ofTheFile = { 'Accept-Ranges': 'bytes', 'Cache-Control': 'max-age=31536000' };

interface BlobReply extends Reply {
  readonly body: BlobBody;
}

function blobReply(file = path): BlobReply {
  const content: BlobContent = {
    size: 10,
    path: file,
    writeTo: () => Promise.reject(new Error('nothing reads it here')),
  };
  return { status: 200, headers: { ...headers, ...ofTheFile }, body: { content, length: 10 } };
}

function request(peer: string | undefined, said: Readonly<Record<string, string>>): IncomingMessage {
  return { headers: said, socket: { remoteAddress: peer } } as unknown as IncomingMessage;
}

/** The headers that have the proxy send it, or `undefined` where we send it. */
function offloaded(
  options: OffloadOptions,
  peer: string | undefined,
  said: Readonly<Record<string, string>> = {},
  reply: Reply = blobReply(),
): BlobBody['offload'] {
  const result = createOffload(options)(request(peer, said), reply);
  if (typeof result.body !== 'object' || !('content' in result.body)) return undefined;
  if (result.body.offload === undefined) expect(result).toBe(reply);
  return result.body.offload;
}

const forSomebody = { 'x-forwarded-for': '203.0.113.9' };

it('names the location that the shipped configuration has', () => {
  const text = readFileSync(join(import.meta.dirname, '../../../adapters/nginx/artifactapi.conf'), 'utf8');
  expect(text).toContain(`location ^~ ${accelLocation} {\n  internal;\n`);
});

describe('who is told where a file lies', () => {
  it.each<[string, OffloadOptions, string | undefined, Readonly<Record<string, string>>, boolean]>([
    ['a trusted proxy', behindNginx, '10.0.0.1', forSomebody, true],
    ['a trusted proxy by IPv6', behindNginx, '::1', forSomebody, true],
    ['a trusted proxy, mapped', behindNginx, '::ffff:10.0.0.1', forSomebody, true],
    ['a client on the address of a trusted proxy', behindNginx, '10.0.0.1', {}, false],
    ['anybody else who claims to be one', behindNginx, '203.0.113.9', forSomebody, false],
    ['anybody else', behindNginx, '203.0.113.9', {}, false],
    ['a connection that is closed', behindNginx, undefined, forSomebody, false],
    ['a proxy, when none is trusted', { ...behindNginx, trustedProxies: [] }, '10.0.0.1', forSomebody, false],
    ['a proxy that sends no files', { ...behindNginx, sendfile: undefined }, '10.0.0.1', forSomebody, false],
  ])('%s', (_title, options, peer, said, expected) => {
    expect(offloaded(options, peer, said)).toEqual(expected ? accel : undefined);
  });
});

describe('the requests that a web server answers as we would', () => {
  it.each<[string, Readonly<Record<string, string>>, boolean]>([
    ['the whole', {}, true],
    ['a range', { range: 'bytes=0-9' }, true],
    ['a range to the end', { range: 'bytes=5-' }, true],
    ['the end', { range: 'bytes=-5' }, true],
    ['a condition that we have judged', { 'if-none-match': '"sha256:other"' }, true],
    ['several ranges', { range: 'bytes=0-1,4-5' }, false],
    ['a range with blanks', { range: 'bytes = 0-1' }, false],
    ['another unit', { range: 'lines=0-1' }, false],
    ['no range at all', { range: 'bytes=' }, false],
    ['If-Match', { 'if-match': '"sha256:abcdef"' }, false],
    ['If-Range', { range: 'bytes=0-1', 'if-range': '"sha256:abcdef"' }, false],
    ['If-Modified-Since', { 'if-modified-since': 'Fri, 01 Jan 2038 00:00:00 GMT' }, false],
    ['If-Unmodified-Since', { 'if-unmodified-since': 'Fri, 01 Jan 1999 00:00:00 GMT' }, false],
  ])('%s', (_title, said, expected) => {
    const reply = { ...blobReply(), status: 'range' in said ? 206 : 200 };
    const found = offloaded(behindNginx, '10.0.0.1', { ...forSomebody, ...said }, reply);
    expect(found).toEqual(expected ? accel : undefined);
  });

  it('are none with a range that we answer with the whole', () => {
    const said = { ...forSomebody, range: 'bytes=0-' };
    expect(offloaded(behindNginx, '10.0.0.1', said, blobReply())).toBeUndefined();
  });
});

describe('what is sent so', () => {
  const told = (options: OffloadOptions, reply: Reply) => offloaded(options, '10.0.0.1', forSomebody, reply);

  it('is a file, by nginx below its internal location and by others with its full path', () => {
    expect(told(behindNginx, blobReply())).toEqual(accel);
    expect(told(behindApache, blobReply())).toEqual({ 'X-Sendfile': path });
    expect(told(behindApache, blobReply('data/blobs/sha256/ab/abcdef'))).toEqual({
      'X-Sendfile': resolve('data/blobs/sha256/ab/abcdef'),
    });
    const relative = { ...behindNginx, blobsFolder: 'data/blobs' };
    expect(told(relative, blobReply('data/blobs/sha256/ab/abcdef'))).toEqual(accel);
  });

  it.each<[string, Reply, OffloadOptions]>([
    ['content that is no file, as a blob that still comes', contentWithoutPath(), behindApache],
    ['content that is no file, for nginx', contentWithoutPath(), behindNginx],
    ['a file outside of the folder that nginx has', blobReply('/data/index/CURRENT'), behindNginx],
    ['a file of a store whose folder is not known', blobReply(), { ...behindNginx, blobsFolder: undefined }],
    ['text', { status: 200, body: 'text' }, behindNginx],
    ['bytes', { status: 200, body: Buffer.from('bytes') }, behindNginx],
    ['nothing', { status: 304, headers }, behindNginx],
  ])('is not %s', (_title, reply, options) => {
    expect(told(options, reply)).toBeUndefined();
  });

  it('keeps the status, where it is from and its headers, but for those of the file', () => {
    const provenance = { cache: 'hit', repository: 'hub' } as const;
    const range = { 'Content-Range': 'bytes 0-4/10' };
    const partial = { ...blobReply(), status: 206, headers: { ...headers, ...ofTheFile, ...range }, provenance };
    const result = createOffload(behindNginx)(request('10.0.0.1', { ...forSomebody, range: 'bytes=0-4' }), partial);
    expect(result).toEqual({ ...partial, headers, body: { ...partial.body, offload: accel } });
  });
});

function contentWithoutPath(): Reply {
  const { body, ...reply } = blobReply();
  const { path: _path, ...content } = body.content;
  return { ...reply, body: { ...body, content } };
}
