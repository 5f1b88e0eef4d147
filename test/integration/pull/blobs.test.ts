import { readdir } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import {
  digest,
  imageManifest,
  pushBlob,
  pushManifest,
  someBytes,
  type HashName,
} from '../../support/content/content.js';
import { RawConnection, rawHead } from '../../support/clients/raw.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';

let server: TestRegistry;
let client: Client;

beforeAll(async () => {
  server = await startRegistry({
    repositories: [
      { name: 'local', type: 'local', sparse: true },
      { name: 'other', type: 'local' },
    ],
  });
  client = new Client(server.url);
});
afterAll(async () => {
  await client.close();
  await server.close();
});

const algorithms: readonly HashName[] = ['sha256', 'sha512'];
const bytes = someBytes('blob', 2048);
const blobUrl = (name: string, blob: string): string => `/v2/${name}/blobs/${blob}`;

describe.each(algorithms)('a blob pushed by %s', (algorithm) => {
  let url: string;
  let blob: string;
  beforeAll(async () => {
    blob = await pushBlob(client, 'local/blobs', bytes, algorithm);
    url = blobUrl('local/blobs', blob);
  });

  it('is returned whole, with the headers that clients check', async () => {
    const answer = await client.get(url);
    expect([answer.status, answer.body.equals(bytes)]).toEqual([200, true]);
    expect(answer.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': '2048',
      'docker-content-digest': blob,
      'accept-ranges': 'bytes',
      etag: `"${blob}"`,
      'docker-distribution-api-version': 'registry/2.0',
    });
    expect(answer.header('cache-control')).toContain('max-age=31536000');
  });

  it('answers HEAD with the headers of GET and no body', async () => {
    const [get, head] = [await client.get(url), await client.head(url)];
    expect([head.status, head.body.length]).toEqual([200, 0]);
    for (const name of Object.keys(get.headers)) {
      if (!['date', 'connection', 'keep-alive', 'x-request-id'].includes(name)) {
        expect([name, head.headers[name]]).toEqual([name, get.headers[name]]);
      }
    }
    expect(head.headers).toHaveProperty('content-length', '2048');
  });

  it('accepts a percent-encoded digest', async () => {
    expect((await client.get(url.replace(':', '%3A'))).status).toBe(200);
  });

  it('answers 304 to a client that already has it', async () => {
    for (const tag of [`"${blob}"`, `W/"${blob}"`, blob, `"x", "${blob}"`, '*']) {
      for (const method of ['GET', 'HEAD'] as const) {
        const answer = await client.send(method, url, { headers: { 'If-None-Match': tag } });
        expect([answer.status, answer.body.length, answer.header('etag')]).toEqual([304, 0, `"${blob}"`]);
        expect(answer.headers['content-length']).toBeUndefined();
      }
    }
    expect((await client.get(url, { 'If-None-Match': `"${digest('x')}"` })).status).toBe(200);
  });
});

describe('a Range request', () => {
  let url: string;
  let blob: string;
  beforeAll(async () => {
    blob = await pushBlob(client, 'local/ranges', bytes);
    url = blobUrl('local/ranges', blob);
  });

  it.each([
    ['bytes=500-1499', 500, 1499],
    ['bytes=500-', 500, 2047],
    ['bytes=-500', 1548, 2047],
    ['bytes=2000-5000', 2000, 2047],
    ['bytes=0-', 0, 2047],
    ['bytes=0-0', 0, 0],
    ['bytes=2047-2047', 2047, 2047],
    ['bytes=-1', 2047, 2047],
    ['bytes=-2048', 0, 2047],
    ['bytes=-5000', 0, 2047],
    ['bytes=0-99999999999999999999', 0, 2047],
  ])('answers %s of 2048 bytes with 206 and bytes %i-%i', async (range, start, end) => {
    const answer = await client.get(url, { Range: range });
    expect(answer.status).toBe(206);
    expect(answer.headers).toMatchObject({
      'content-range': `bytes ${start}-${end}/2048`,
      'content-length': String(end - start + 1),
      'docker-content-digest': blob,
      'accept-ranges': 'bytes',
      etag: `"${blob}"`,
      'content-type': 'application/octet-stream',
    });
    expect(answer.body.equals(bytes.subarray(start, end + 1))).toBe(true);
  });

  it.each([
    ['several ranges', 'bytes=0-99,200-299'],
    ['several ranges, the first of them unsatisfiable', 'bytes=5000-6000,0-99,200-299'],
    ['an unknown unit', 'lines=1-2'],
    ['an empty unit', '=1-2'],
    ['no unit', '0-99'],
    ['a unit without a range', 'bytes'],
    ['a malformed range', 'bytes=abc'],
    ['hexadecimal digits', 'bytes=0x10-0x20'],
  ])('ignores %s and answers 200 with the whole blob', async (_title, range) => {
    const answer = await client.get(url, { Range: range });
    expect([answer.status, answer.header('content-length'), answer.body.equals(bytes)]).toEqual([200, '2048', true]);
    expect(answer.headers['content-range']).toBeUndefined();
  });

  it('ignores Range on HEAD (RFC 9110, 14.2)', async () => {
    for (const range of ['bytes=0-9', 'bytes=5000-']) {
      const answer = await client.head(url, { Range: range });
      expect([answer.status, answer.header('content-length')]).toEqual([200, '2048']);
    }
  });

  it.each([
    ['the same entity tag', (tag: string) => `"${tag}"`, 206],
    ['another entity tag', () => '"x"', 200],
    ['a weak entity tag', (tag: string) => `W/"${tag}"`, 200],
    ['a date', () => 'Wed, 21 Oct 2015 07:28:00 GMT', 200],
  ])('evaluates If-Range with %s', async (_title, tagOf, status) => {
    const answer = await client.get(url, { Range: 'bytes=0-9', 'If-Range': tagOf(blob) });
    expect([answer.status, answer.body.length]).toEqual([status, status === 206 ? 10 : 2048]);
  });

  it('evaluates If-None-Match before Range', async () => {
    const answer = await client.get(url, { Range: 'bytes=0-9', 'If-None-Match': `"${blob}"` });
    expect(answer.status).toBe(304);
  });

  it('returns a range that spans several file read chunks', async () => {
    const large = someBytes('large', 3_000_000);
    const largeUrl = blobUrl('local/ranges', await pushBlob(client, 'local/ranges', large));
    const answer = await client.get(largeUrl, { Range: 'bytes=1048570-2097160' });
    expect(answer.body.equals(large.subarray(1_048_570, 2_097_161))).toBe(true);
  });
});

describe('an empty blob', () => {
  it.each(algorithms)('has length 0 by %s', async (algorithm) => {
    const blob = await pushBlob(client, 'local/empty', Buffer.alloc(0), algorithm);
    for (const method of ['GET', 'HEAD'] as const) {
      const answer = await client.send(method, blobUrl('local/empty', blob));
      expect([answer.status, answer.header('content-length'), answer.body.length]).toEqual([200, '0', 0]);
      expect(answer.header('docker-content-digest')).toBe(blob);
    }
  });
});

describe('the bytes of an answer', () => {
  it('are never compressed, and carry no-transform', async () => {
    const text = Buffer.from('a'.repeat(10_000));
    const blob = await pushBlob(client, 'local/plain', text);
    await pushManifest(client, 'local/plain', 'latest', imageManifest('plain'));
    for (const path of [blobUrl('local/plain', blob), '/v2/local/plain/manifests/latest']) {
      const answer = await client.get(path, { 'Accept-Encoding': 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5' });
      expect(answer.headers['content-encoding']).toBeUndefined();
      expect(answer.header('cache-control')).toContain('no-transform');
    }
  });

  it('stop when a client disconnects midway, without affecting other clients', async () => {
    const large = someBytes('abandoned', 5_000_000);
    const url = blobUrl('local/large', await pushBlob(client, 'local/large', large));
    for (let i = 0; i < 3; i++) {
      const connection = await RawConnection.open(server.port);
      await connection.write(rawHead('GET', url));
      await connection.waitFor(/Content-Length: 5000000/);
      connection.cut();
    }
    expect((await client.get(url)).body.equals(large)).toBe(true);
  });

  it('are the same for many concurrent readers', async () => {
    const large = someBytes('shared', 1_200_000);
    const url = blobUrl('local/large', await pushBlob(client, 'local/large', large));
    const answers = await Promise.all(Array.from({ length: 6 }, () => client.get(url)));
    for (const answer of answers) expect(answer.body.equals(large)).toBe(true);
  });
});

describe('visibility of a blob', () => {
  const secret = someBytes('secret', 100);
  let blob: string;
  beforeAll(async () => {
    blob = await pushBlob(client, 'local/owner', secret);
  });

  it.each(['local/stranger', 'local/owner/sub', 'local/own', 'other/owner'])(
    'does not extend from local/owner to %s',
    async (name) => {
      for (const method of ['GET', 'HEAD', 'DELETE'] as const) {
        expect((await client.send(method, blobUrl(name, blob))).status).toBe(404);
      }
      expect((await client.head(blobUrl('local/owner', blob))).status).toBe(200);
    },
  );

  it('does not follow from a manifest that references the blob', async () => {
    const layers = [{ mediaType: 'application/octet-stream', digest: blob, size: secret.length }];
    await pushManifest(client, 'local/thief', 'latest', imageManifest('thief', { layers }));
    expect((await client.get(blobUrl('local/thief', blob))).status).toBe(404);
  });

  it('does not extend to its other digest, nor to manifests', async () => {
    expect((await client.head(blobUrl('local/owner', digest(secret, 'sha512')))).status).toBe(404);
    const manifest = imageManifest('no blob');
    await pushManifest(client, 'local/owner', 'latest', manifest);
    expect((await client.head(blobUrl('local/owner', manifest.digest))).status).toBe(404);
  });
});

describe('a blob mount', () => {
  const content = someBytes('mounted', 300);
  let blob: string;
  beforeAll(async () => {
    blob = await pushBlob(client, 'local/source', content);
  });
  const mount = (name: string, query: string): ReturnType<Client['post']> =>
    client.post(`/v2/${name}/blobs/uploads/?${query}`);

  it.each([
    ['from another image', 'local/to1', () => `mount=${blob}&from=local/source`],
    ['from an encoded name', 'local/to2', () => `from=local%2Fsource&mount=${blob.replace(':', '%3A')}`],
    ['from another repository', 'other/to3', () => `mount=${blob}&from=local/source`],
    ['from anywhere', 'local/to4', () => `mount=${blob}`],
    ['from anywhere, into another repository', 'other/to5', () => `mount=${blob}`],
    ['from itself', 'local/source', () => `mount=${blob}&from=local/source`],
    ['with unknown parameters', 'local/to6', () => `mount=${blob}&from=local/source&origin=x&ns=docker.io`],
  ])('%s is answered with 201', async (_title, name, query) => {
    const answer = await mount(name, query());
    expect(answer.status).toBe(201);
    expect(answer.headers).toMatchObject({
      location: blobUrl(name, blob),
      'docker-content-digest': blob,
      'content-length': '0',
    });
    expect((await client.get(answer.header('location'))).body.equals(content)).toBe(true);
  });

  it.each([
    ['a missing blob', () => `mount=${digest('nobody')}&from=local/source`],
    ['a missing blob, without a source', () => `mount=${digest('nobody')}`],
    ['an image that lacks it', () => `mount=${blob}&from=local/elsewhere`],
    ['an unknown repository', () => `mount=${blob}&from=unknown/source`],
    ['a name of one part', () => `mount=${blob}&from=source`],
    ['a malformed name', () => `mount=${blob}&from=LOCAL/../x`],
    ['no name', () => `mount=${blob}&from=`],
  ])('falls back to a new upload with 202 when mounting from %s', async (_title, query) => {
    const answer = await mount('local/unmounted', query());
    expect(answer.status).toBe(202);
    expect(answer.header('location')).toMatch(/^\/v2\/local\/unmounted\/blobs\/uploads\/[a-f0-9-]+$/);
    expect((await client.head(blobUrl('local/unmounted', blob))).status).toBe(404);
    const own = Buffer.from('own');
    const put = await client.put(`${answer.header('location')}?digest=${digest(own)}`, { body: own });
    expect(put.status).toBe(201);
  });

  it('fails once the source has deleted the blob, and keeps blobs already mounted', async () => {
    const lost = await pushBlob(client, 'local/loser', Buffer.from('lost'));
    expect((await mount('local/keeper', `mount=${lost}&from=local/loser`)).status).toBe(201);
    expect((await client.delete(blobUrl('local/loser', lost))).status).toBe(202);
    expect((await mount('local/late', `mount=${lost}&from=local/loser`)).status).toBe(202);
    expect((await client.get(blobUrl('local/keeper', lost))).body.toString()).toBe('lost');
  });
});

describe('DELETE of a blob', () => {
  it.each(algorithms)('answers 202, then 404 at once, by %s, and does not affect other images', async (algorithm) => {
    const content = Buffer.from(`deleted by ${algorithm}`);
    const blob = await pushBlob(client, 'local/one', content, algorithm);
    await pushBlob(client, 'local/two', content, algorithm);
    const answer = await client.delete(blobUrl('local/one', blob));
    expect([answer.status, answer.header('content-length')]).toEqual([202, '0']);
    for (const method of ['HEAD', 'GET', 'DELETE'] as const) {
      expect((await client.send(method, blobUrl('local/one', blob))).status).toBe(404);
    }
    expect((await client.get(blobUrl('local/two', blob))).body.equals(content)).toBe(true);
    await pushBlob(client, 'local/one', content, algorithm);
    expect((await client.get(blobUrl('local/one', blob))).status).toBe(200);
  });
});

it('leaves no staged files behind', async () => {
  const staged = await readdir(`${server.folder}/staged`);
  // Only sessions left open by failed mounts remain; those that received nothing have no file.
  expect(staged).toEqual([]);
});
