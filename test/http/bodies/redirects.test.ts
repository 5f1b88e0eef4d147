import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { createRedirects, type BlobRequest, type RedirectOptions } from '../../../src/http/bodies/redirects.js';
import type { Reply } from '../../../src/http/reply.js';

const MiB = 1024 * 1024;
const options: RedirectOptions = { hostname: 'bucket.example' };
const location = 'https://bucket.example/o/1?X-Amz-Expires=900';

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly host?: string | undefined;
  readonly address?: string;
  readonly repository?: string;
}

function request({
  method = 'GET',
  headers = {},
  address = '192.0.2.7',
  repository = 'app',
  ...rest
}: Asked): BlobRequest {
  const host = 'host' in rest ? rest.host : 'registry.example';
  // Only these two parts of a request count.
  const req = { method, headers } as unknown as IncomingMessage;
  return { req, client: { address, host }, repository };
}

function blobReply(length: number | undefined, status = 200): Reply {
  const content = { writeTo: async () => undefined, redirect: async (seconds: number) => `${location}&s=${seconds}` };
  return {
    status,
    headers: { 'Content-Length': String(length), 'Docker-Content-Digest': 'sha256:aa' },
    body: { content, length },
  };
}

describe('a blob is fetched from the object store', () => {
  it.each<[what: string, asked: Asked, options: RedirectOptions, reply: Reply]>([
    ['by a plain request', {}, options, blobReply(MiB)],
    ['by a request for a range', { headers: { range: 'bytes=0-' } }, options, blobReply(2 * MiB, 206)],
    ['in a repository that is listed', {}, { ...options, repositories: ['other', 'app'] }, blobReply(MiB)],
    ['from a network that is listed', {}, { ...options, networks: ['192.0.2.0/24'] }, blobReply(MiB)],
    ['with a host that only ends alike', { host: 'ket.example' }, options, blobReply(MiB)],
  ])('%s', async (_what, asked, given, reply) => {
    expect(await createRedirects(given)(request(asked), reply)).toEqual({
      status: 307,
      headers: { Location: `${location}&s=900`, 'Cache-Control': 'no-store', 'Docker-Content-Digest': 'sha256:aa' },
      provenance: undefined,
    });
  });
});

describe('the registry sends the answer itself', () => {
  it.each<[what: string, asked: Asked, options: RedirectOptions | undefined, reply: Reply]>([
    ['without options', {}, undefined, blobReply(MiB)],
    ['to HEAD', { method: 'HEAD' }, options, blobReply(MiB)],
    ['for less than 1 MiB', {}, options, blobReply(MiB - 1)],
    ['for a length that is not known', {}, options, blobReply(undefined)],
    ['in a repository that is not listed', {}, { ...options, repositories: ['other'] }, blobReply(MiB)],
    ['from a network that is not listed', {}, { ...options, networks: ['198.51.100.0/24'] }, blobReply(MiB)],
    ['to a conditional request', { headers: { 'if-range': '"x"' } }, options, blobReply(MiB)],
    ['without a Host header', { host: undefined }, options, blobReply(MiB)],
    ['if the host of the object store is the same', { host: 'Bucket.example:5000' }, options, blobReply(MiB)],
    ['if the object store has a subdomain of it', { host: 'example:443' }, options, blobReply(MiB)],
    ['with text', {}, options, { status: 200, body: 'x'.repeat(MiB) }],
    ['without a body', {}, options, { status: 304 }],
    ['with an error', {}, options, blobReply(MiB, 416)],
  ])('%s', async (_what, asked, given, reply) => {
    expect(await createRedirects(given)(request(asked), reply)).toBe(reply);
  });

  it('if the content is in a file', async () => {
    const reply: Reply = { status: 200, body: { content: { writeTo: async () => undefined }, length: MiB } };
    expect(await createRedirects(options)(request({}), reply)).toBe(reply);
  });
});

it('an invalid network is refused', () => {
  expect(() => createRedirects({ ...options, networks: ['nowhere'] })).toThrow(RangeError);
});
