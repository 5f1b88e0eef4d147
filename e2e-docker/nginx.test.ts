import { chmod, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { basicAuthorization, openAccessBed } from './support/access-bed.js';
import type { AccessBed } from './support/access-bed.js';
import { describeClient } from './support/client-suite.js';
import { sha256 } from './support/images.js';
import { startNginx } from './support/nginx.js';
import type { Nginx, NginxRequest } from './support/nginx.js';
import { seededRandom } from './support/random.js';
import { RegistryHttp, header, http, mustBe } from './support/registry-http.js';
import type { HttpResponse } from './support/registry-http.js';

const name = 'docker-internal/team/app';
const bytes = seededRandom(11).bytes(3_000_000);
const digest = sha256(bytes);
const blobUrl = `/v2/${name}/blobs/${digest}`;
const hex = digest.slice('sha256:'.length);
const place = `sha256/${hex.slice(0, 2)}/${hex}`;

describeClient('nginx in front', ['nginx'], () => {
  let bed: AccessBed;
  let nginx: Nginx;
  let agent: Agent;
  let ana: RegistryHttp;

  beforeAll(async () => {
    const settings = { trustedProxies: ['127.0.0.1'], sendfile: 'x-accel' };
    bed = await openAccessBed({ settings, logLevel: 'info' });
    nginx = await startNginx(bed, bed.registry);
    bed.onClose(() => nginx.stop());
    // Some requests name another host than the one that they are sent to.
    agent = new Agent({ connect: { ca: nginx.ca, checkServerIdentity: () => undefined } });
    bed.onClose(() => agent.destroy());
    ana = new RegistryHttp(nginx.origin, agent, { authorization: basicAuthorization('ana') });
    await ana.pushBlob(name, { mediaType: 'application/octet-stream', digest, bytes });
  });
  afterAll(() => bed?.close());

  /** The path is sent as written, without normalization. */
  async function raw(path: string, headers: Readonly<Record<string, string>> = {}): Promise<HttpResponse> {
    const answer = await agent.request({ origin: nginx.origin, path, method: 'GET', headers });
    const body = Buffer.from(await answer.body.arrayBuffer());
    return { status: answer.statusCode, headers: answer.headers, body };
  }

  async function lastLogged(): Promise<NginxRequest> {
    // nginx logs an answer after it is sent, when the client may already have it.
    const before = (await nginx.requests()).length;
    await ana.send('/last', { method: 'HEAD' });
    await expect.poll(async () => (await nginx.requests()).length).toBeGreaterThan(before);
    const found = (await nginx.requests()).findLast(({ url }) => url !== '/last');
    if (found === undefined) throw new Error('no request was logged');
    return found;
  }

  test.each<[string, string | undefined, number, Buffer, string | undefined, 'nginx' | 'the registry']>([
    ['a blob', undefined, 200, bytes, undefined, 'nginx'],
    ['a range', 'bytes=5-14', 206, bytes.subarray(5, 15), 'bytes 5-14/3000000', 'nginx'],
    ['a range to the end', 'bytes=2999990-', 206, bytes.subarray(-10), 'bytes 2999990-2999999/3000000', 'nginx'],
    [
      'a range beyond the end',
      'bytes=2999990-4000000',
      206,
      bytes.subarray(-10),
      'bytes 2999990-2999999/3000000',
      'nginx',
    ],
    ['the last bytes', 'bytes=-10', 206, bytes.subarray(-10), 'bytes 2999990-2999999/3000000', 'nginx'],
    ['more last bytes than there are', 'bytes=-4000000', 206, bytes, 'bytes 0-2999999/3000000', 'nginx'],
    ['several ranges', 'bytes=0-1,4-5', 200, bytes, undefined, 'the registry'],
    ['a malformed range', 'bytes=x', 200, bytes, undefined, 'the registry'],
  ])('serves %s, with the bytes from the right server', async (_title, range, status, expected, contentRange, from) => {
    const answer = await ana.send(blobUrl, { headers: range === undefined ? {} : { range } });
    expect([answer.status, answer.body.equals(expected)]).toEqual([status, true]);
    expect(answer.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': String(expected.length),
      'docker-content-digest': digest,
      'docker-distribution-api-version': 'registry/2.0',
      etag: `"${digest}"`,
      // A 206 needs no Accept-Ranges.
      ...(status === 200 ? { 'accept-ranges': 'bytes' } : {}),
      'x-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    expect(answer.headers['content-range']).toBe(contentRange);
    expect(answer.headers).not.toHaveProperty('last-modified');
    expect(answer.headers).not.toHaveProperty('x-accel-redirect');
    expect(String(answer.headers['cache-control'])).toMatch(/max-age=31536000/);
    expect(String(answer.headers['cache-control'])).toMatch(/private/);
    expect(answer.headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'content-security-policy': expect.stringContaining('sandbox'),
    });
    const ours = from === 'the registry';
    expect(await lastLogged()).toMatchObject({
      status,
      sent: expected.length,
      fromRegistry: ours ? expected.length : 0,
      accel: ours ? '-' : `/artifactapi-blobs/${place}`,
    });
  });

  test('answers a range of an empty blob with the empty blob', async () => {
    const empty = Buffer.alloc(0);
    await ana.pushBlob(name, { mediaType: 'application/octet-stream', digest: sha256(empty), bytes: empty });
    for (const headers of [{}, { range: 'bytes=0-' }] as const) {
      const answer = await ana.send(`/v2/${name}/blobs/${sha256(empty)}`, { headers: { ...headers } });
      expect([answer.status, answer.headers['content-length']]).toEqual([200, '0']);
    }
  });

  test.each<[string, string, Record<string, string>, number]>([
    ['HEAD', 'HEAD', {}, 200],
    ['a blob that the client has', 'GET', { 'if-none-match': `"${digest}"` }, 304],
    ['a range after the end', 'GET', { range: 'bytes=3000000-' }, 416],
    ['another entity tag', 'GET', { 'if-match': '"other"' }, 200],
    ['If-Modified-Since, which blobs ignore', 'GET', { 'if-modified-since': 'Fri, 01 Jan 2038 00:00:00 GMT' }, 200],
  ])('answers %s like the registry', async (_title, method, headers, status) => {
    const [through, direct] = [ana, bed.as('ana')].map((registry) =>
      registry.send(blobUrl, { method: method as 'GET' | 'HEAD', headers }),
    );
    const [seen, expected] = [await through, await direct];
    const own = ['date', 'server', 'connection', 'keep-alive', 'x-request-id'];
    const shown = (answer: HttpResponse | undefined) =>
      Object.fromEntries(Object.entries(answer?.headers ?? {}).filter(([key]) => !own.includes(key)));
    expect(seen?.status).toBe(status);
    expect(shown(seen)).toEqual(shown(expected));
    expect(seen?.body.equals(expected?.body ?? Buffer.alloc(1))).toBe(true);
  });

  test('the log of the registry has the status and size that the client got', async () => {
    const answer = await ana.send(blobUrl, { headers: { range: 'bytes=0-9' } });
    const id = header(answer, 'x-request-id');
    const line = () =>
      bed.registry
        .output()
        .split('\n')
        .find((text) => text.includes(id)) ?? '{}';
    await expect
      .poll(() => JSON.parse(line()) as unknown)
      .toMatchObject({ op: 'blob.get', status: 206, principal: 'ana' });
  });

  const spellings = [
    `/artifactapi-blobs/${place}`,
    `//artifactapi-blobs/${place}`,
    `/artifactapi-blobs//${place}`,
    `/artifactapi-blobs/./${place}`,
    `/artifactapi-blobs/x/../${place}`,
    `/x/../artifactapi-blobs/${place}`,
    `/v2/../artifactapi-blobs/${place}`,
    `/v2/%2e%2e/artifactapi-blobs/${place}`,
    `/v2/..%2fartifactapi-blobs/${place}`,
    `/%61rtifactapi-blobs/${place}`,
    `/artifactapi-blobs%2f${place.replaceAll('/', '%2f')}`,
    `/artifactapi-blobs/${place}?x=/v2/`,
    '/artifactapi-blobs/../index/CURRENT',
    '/artifactapi-blobs',
    '/artifactapi-blobs/',
    '/@artifactapi-unreadable',
    `/ARTIFACTAPI-BLOBS/${place}`,
  ];

  test.each(spellings)('serves no blob to clients at %s', async (path) => {
    const answers = [
      await raw(path),
      await raw(path, { authorization: basicAuthorization('ana') }),
      await raw(path, { host: 'artifactapi', 'x-accel-redirect': `/artifactapi-blobs/${place}` }),
    ];
    for (const { status, body } of answers) {
      expect([301, 404]).toContain(status);
      expect(body.length).toBeLessThan(1000);
    }
  });

  test.each([
    ['of an anonymous client', undefined, 401],
    ['of a user outside of the team', 'ben', 403],
  ] as const)('refuses a request %s without an X-Accel-Redirect', async (_title, user, status) => {
    const headers = user === undefined ? {} : { authorization: basicAuthorization(user) };
    const answer = await raw(blobUrl, { ...headers, 'x-forwarded-for': '127.0.0.1' });
    expect(answer.status).toBe(status);
    expect(await lastLogged()).toMatchObject({ status, accel: '-' });
  });

  test('does not trust the forwarding headers of clients', async () => {
    const answer = await raw('/v2/', {
      'x-forwarded-for': '203.0.113.77',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'http',
      forwarded: 'for=203.0.113.77;host=evil.example;proto=http',
    });
    expect(answer.status).toBe(401);
    expect(header(answer, 'www-authenticate')).toContain(`realm="${nginx.origin}/v2/token"`);
    await expect.poll(() => bed.registry.output()).toContain(header(answer, 'x-request-id'));
    expect(bed.registry.output()).not.toContain('203.0.113.77');
  });

  test('resumes an interrupted download', async () => {
    const path = blobUrl;
    const headers = { authorization: basicAuthorization('ana') };
    const first = await agent.request({ origin: nginx.origin, path, method: 'GET', headers });
    const got: Buffer[] = [];
    for await (const chunk of first.body) {
      got.push(chunk as Buffer);
      if (Buffer.concat(got).length > 100_000) break;
    }
    const start = Buffer.concat(got);
    const rest = await ana.send(path, { headers: { range: `bytes=${start.length}-` } });
    expect(rest.status).toBe(206);
    expect(sha256(Buffer.concat([start, rest.body]))).toBe(digest);
  });

  test('streams an upload to the registry while it is being sent', async () => {
    const location = await ana.startUpload(name);
    const staged = join(bed.folder, 'data/staged', location.split('/').at(-1) ?? '');
    const piece = seededRandom(12).bytes(1024 * 1024);
    const [half, all] = [50, 100];
    let arrived = 0;
    async function* pieces(): AsyncGenerator<Buffer> {
      for (let sent = 0; sent < half; sent++) yield piece;
      // Half of it is sent; the rest waits until the registry has most of that.
      while (arrived < (half - 8) * piece.length) {
        await sleep(20);
        arrived = await sizeOf(staged);
      }
      for (let sent = half; sent < all; sent++) yield piece;
    }
    const body = Readable.from(pieces());
    const patched = mustBe(202, await ana.send(location, { method: 'PATCH', body }), 'PATCH upload');
    expect(arrived).toBeGreaterThan(0);
    expect(header(patched, 'range')).toBe(`0-${all * piece.length - 1}`);
    mustBe(204, await ana.send(header(patched, 'location'), { method: 'DELETE' }), 'DELETE upload');
  });

  test('serves pages of the host under the same name, but not the management API', async () => {
    const page = await raw('/');
    expect([page.status, header(page, 'content-type')]).toEqual([200, 'text/html']);
    expect(page.body.toString()).toContain('A page of our own');
    const root = { authorization: basicAuthorization('root') };
    expect((await http(`${bed.registry.origin}/api/v1/repositories`, { headers: root })).status).toBe(200);
    for (const path of [
      '/api/v1/repositories',
      '/v2/../api/v1/repositories',
      '/v2/%2e%2e/api/v1/repositories',
      '/v2//../../api/v1/repositories',
      '/api/v1/repositories/../../../v2/',
      '/api/v1/repositories/x/..%2f..%2f..%2f../v2/',
      '/api/v1/repositories#/../../../../v2/',
      '/metrics',
      '/healthz',
    ]) {
      const { status, body } = await raw(path, root);
      expect([path, [400, 404].includes(status)]).toEqual([path, true]);
      expect(body.toString()).not.toContain('docker-internal');
    }
  });

  test('answers 503, not 404, for a blob that nginx cannot read', async () => {
    const file = join(bed.folder, 'data/blobs', place);
    await chmod(file, 0o000);
    try {
      const answer = await ana.send(blobUrl);
      expect(answer.status).toBe(503);
      expect(JSON.parse(answer.body.toString())).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] });
      expect(String(answer.headers['cache-control'])).not.toContain('max-age');
    } finally {
      await chmod(file, 0o644);
    }
    expect((await readFile(file)).equals(bytes)).toBe(true);
  });
});

async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  );
}
