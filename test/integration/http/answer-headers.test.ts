import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRegistry } from '../../../src/index.js';
import { createRegistryServer } from '../../../src/command/serve/server.js';
import { basic, htpasswdOf, json } from '../../support/access/access.js';
import { Client, type Method, type Send } from '../../support/clients/client.js';
import { digest, types } from '../../support/content/content.js';
import { startFaultUpstream, type FaultUpstream } from '../../support/upstreams/fault-upstream.js';
import type { FaultImage } from '../../support/upstreams/fault-upstream-images.js';
import { exchangeRaw, rawHead, type RawAnswer } from '../../support/clients/raw.js';
import { recordingLogger, startMemoryRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { Cleanups } from '../../support/upstreams/remote.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { writeFile } from 'node:fs/promises';

const policy = "default-src 'none'; frame-ancestors 'none'; sandbox";
const guards = { 'x-content-type-options': 'nosniff', 'content-security-policy': policy };
const octets = 'application/octet-stream';
const page = '<html><script>alert(1)</script>';
const html = { 'content-type': 'text/html', 'content-disposition': 'inline; filename=x.html' };
const layer = Buffer.from(page);

const cleanups = new Cleanups();
let port: number;
let client: Client;
let fault: FaultUpstream;
let image: FaultImage;

beforeAll(async () => {
  fault = await startFaultUpstream();
  cleanups.add(() => fault.close());
  image = fault.images.addImage('team/app', 'v1');
  fault.images.addImage('team/other', 'v1');
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  const registry = createRegistry({
    storage: folder,
    access: 'open',
    logger: recordingLogger(),
    repositories: [
      { name: 'local', type: 'local' },
      { name: 'hub', type: 'remote', url: fault.url },
      { name: 'pass', type: 'remote', url: fault.url, cache: false },
      { name: 'sent', type: 'remote', url: fault.url, cache: false, redirects: 'pass' },
      { name: 'all', type: 'virtual', members: ['local', 'hub'] },
      { name: 'through', type: 'virtual', members: ['pass'] },
    ],
  });
  await registry.ready();
  const server = createRegistryServer({ registry, log: recordingLogger(), headersTimeoutSeconds: 60 });
  ({ port } = await server.listen(0, '127.0.0.1'));
  cleanups.add(() => server.stop(0));
  client = new Client(`http://127.0.0.1:${port}`);
  cleanups.add(() => client.close());
  await client.post(`/v2/local/team/app/blobs/uploads/?digest=${digest(layer)}`, { body: layer });
});

afterAll(() => cleanups.run());

const missing = `sha256:${'0'.repeat(64)}`;
const own = (): string => `/v2/local/team/app/blobs/${digest(layer)}`;

describe('every answer of the server', () => {
  it.each<[what: string, method: Method, path: string | (() => string), status: number, send?: Send]>([
    ['version check', 'GET', '/v2/', 200],
    ['blob', 'GET', own, 200],
    ['blob, HEAD', 'HEAD', own, 200],
    ['range of a blob', 'GET', own, 206, { headers: { range: 'bytes=1-2' } }],
    ['range beyond a blob', 'GET', own, 416, { headers: { range: 'bytes=999-' } }],
    ['blob that the client has', 'GET', own, 304, { headers: { 'if-none-match': '*' } }],
    ['missing blob', 'GET', `/v2/local/team/app/blobs/${missing}`, 404],
    ['manifest of a cache', 'GET', '/v2/hub/team/app/manifests/v1', 200],
    ['manifest of a pass-through', 'GET', '/v2/pass/team/app/manifests/v1', 200],
    ['manifest of a virtual', 'HEAD', '/v2/all/team/app/manifests/v1', 200],
    ['missing manifest of a pass-through', 'GET', '/v2/pass/team/app/manifests/none', 404],
    ['tags', 'GET', '/v2/hub/team/app/tags/list', 200],
    ['tags of a pass-through', 'GET', '/v2/pass/team/app/tags/list', 200],
    ['referrers', 'GET', `/v2/local/team/app/referrers/${missing}`, 200],
    ['catalog', 'GET', '/v2/_catalog', 200],
    ['token endpoint without rules', 'GET', '/v2/token', 404],
    ['upload', 'POST', '/v2/local/team/app/blobs/uploads/', 202],
    ['write to a cache', 'PUT', '/v2/hub/team/app/manifests/v1', 405],
    ['unknown repository', 'GET', '/v2/none/app/manifests/v1', 404],
    ['invalid name', 'GET', '/v2/UPPER/app/manifests/v1', 400],
    ['unknown endpoint', 'GET', '/v2/local', 404],
    ['health', 'GET', '/api/v1/health', 200],
    ['repositories', 'GET', '/api/v1/repositories', 200],
    ['invalid document', 'POST', '/api/v1/repositories', 400, { headers: json, body: '[]' }],
    ['form in place of JSON', 'POST', '/api/v1/repositories', 415, { body: 'a=b' }],
    ['archive', 'GET', '/api/v1/repositories/hub/export?name=team/app:v1', 200],
    ['unknown endpoint of the management API', 'GET', '/api/v1/nothing', 404],
    ['liveness', 'GET', '/healthz', 200],
    ['readiness', 'GET', '/readyz', 200],
    ['unknown path', 'GET', '/index.html', 404],
    ['URL that is too long', 'GET', `/${'a'.repeat(9000)}`, 414],
  ])('has nosniff and a sandboxing policy: %s, %s', async (_what, method, path, status, send) => {
    const answer = await client.send(method, typeof path === 'string' ? path : path(), send);
    expect(answer.status, answer.body.toString('latin1').slice(0, 200)).toBe(status);
    expect(answer.headers).toMatchObject(guards);
  });

  it.each<[what: string, status: number, ask: () => Promise<RawAnswer>]>([
    ['a request that is not HTTP', 400, () => exchangeRaw(port, 'nonsense\r\n\r\n')],
    ['a request without Host', 400, () => exchangeRaw(port, 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n')],
    ['headers that are too large', 431, () => exchangeRaw(port, rawHead('GET', '/', { A: 'a'.repeat(70_000) }))],
    ['CONNECT', 405, () => exchangeRaw(port, rawHead('CONNECT', 'a:1'))],
    ['an expectation', 417, () => exchangeRaw(port, rawHead('GET', '/', { Expect: 'magic' }))],
    ['a URL that cannot be parsed', 400, () => exchangeRaw(port, rawHead('GET', 'http://['))],
  ])("has both headers when Node's parser refuses the request: %s", async (_what, status, ask) => {
    const answer = await ask();
    expect(answer.status).toBe(status);
    expect(answer.headers).toMatchObject(guards);
  });

  it('has both headers on a redirect passed to the client', async () => {
    const take = fault.fault('/blobs/', { redirect: 'elsewhere', headers: html });
    const answer = await client.get(`/v2/sent/team/app/blobs/${image.layers[0]?.digest}`);
    take();
    expect(answer.status).toBe(307);
    expect(answer.headers).toMatchObject(guards);
  });
});

describe('a HEAD', () => {
  it.each<[what: string, path: string | (() => string), status: number]>([
    ['version check', '/v2/', 200],
    ['catalog', '/v2/_catalog?n=1', 200],
    ['tags', '/v2/hub/team/app/tags/list', 200],
    ['tags of a pass-through', '/v2/pass/team/app/tags/list', 200],
    ['tags of an unknown image', '/v2/local/none/tags/list', 404],
    ['referrers', `/v2/local/team/app/referrers/${missing}`, 200],
    ['referrers of a pass-through', `/v2/pass/team/app/referrers/${missing}`, 200],
    ['token endpoint without rules', '/v2/token', 404],
    ['unknown endpoint', '/v2/local', 404],
    ['health', '/api/v1/health', 200],
    ['repositories', '/api/v1/repositories', 200],
    ['manifest of an image', '/api/v1/repositories/hub/images/team/app/manifest?reference=v1', 200],
    ['archive', '/api/v1/repositories/hub/export?name=team/app:v1', 200],
    ['OpenAPI document', '/api/v1/openapi.json', 200],
    ['unknown query parameter', '/api/v1/repositories?none=1', 400],
    ['liveness', '/healthz', 200],
  ])('is answered with the headers of GET, without a body: %s', async (_what, path, status) => {
    const target = typeof path === 'string' ? path : path();
    const shown = async (method: 'HEAD' | 'GET'): Promise<object> => {
      const { status: got, headers, body } = await client.send(method, target);
      expect(body.length).toBe(method === 'HEAD' ? 0 : Number(headers['content-length']));
      // The client closes the connection after a HEAD.
      const varying = ['date', 'age', 'x-cache', 'x-request-id', 'connection', 'keep-alive'];
      const kept = Object.entries(headers).filter(([name]) => !varying.includes(name));
      return { status: got, ...Object.fromEntries(kept) };
    };
    const head = await shown('HEAD');
    expect(head).toMatchObject({ status });
    expect(head).toEqual(await shown('GET'));
  });
});

describe('content that an upstream labels as a web page', () => {
  it.each<[what: string, path: string | (() => string), status: number, type: string]>([
    ['blob of a pass-through', () => `/v2/pass/team/app/blobs/${image.layers[0]?.digest}`, 200, octets],
    ['referrers of a pass-through', `/v2/pass/team/app/referrers/${missing}`, 200, types.ociIndex],
    ['manifest of a virtual over it', '/v2/through/team/app/manifests/v1', 200, types.ociImage],
    ['blob of a virtual over it', () => `/v2/through/team/app/blobs/${image.layers[0]?.digest}`, 200, octets],
    ['blob of a cache', () => `/v2/hub/team/app/blobs/${image.layers[0]?.digest}`, 200, octets],
  ])('keeps its registry type or is sent as bytes: %s', async (_what, path, status, type) => {
    const take = fault.fault(/./, { headers: html });
    for (const method of ['HEAD', 'GET'] as const) {
      const answer = await client.send(method, typeof path === 'string' ? path : path());
      expect([answer.status, answer.header('content-type')], answer.body.toString('latin1')).toEqual([status, type]);
      expect(answer.headers['content-disposition']).toBeUndefined();
    }
    take();
  });

  it('is a manifest by a pass-through if its bytes are one', async () => {
    const take = fault.fault(/./, { headers: html });
    const manifest = '/v2/pass/team/app/manifests/v1';
    expect((await client.get(manifest)).header('content-type')).toBe(types.ociImage);
    expect((await client.head(manifest)).header('content-type')).toBe(types.ociImage);
    take();
  });

  it.each([
    ['a page', page],
    ['JSON that calls itself a page', JSON.stringify({ schemaVersion: 2, mediaType: 'text/html' })],
    ['an image in SVG', '<svg xmlns="http://www.w3.org/2000/svg"/>'],
  ])('is never accepted as a manifest: %s', async (_what, body) => {
    const fresh = { headers: { ...html, 'docker-content-digest': undefined }, body };
    const take = fault.fault('/manifests/', fresh);
    for (const name of ['through', 'hub', 'all', 'pass']) {
      const answer = await client.get(`/v2/${name}/team/other/manifests/v1`);
      expect([name, answer.status, answer.header('content-type')]).toEqual([name, 503, 'application/json']);
      expect(answer.headers).toMatchObject(guards);
    }
    take();
  });
});

describe('an answer of the host', () => {
  it('gets no headers from the registry', async () => {
    const registry = await startMemoryRegistry();
    cleanups.add(() => registry.close());
    const asked = new Client(registry.url);
    cleanups.add(() => asked.close());
    const theirs = await asked.get('/page');
    expect([theirs.status, theirs.headers['content-security-policy']]).toEqual([418, undefined]);
  });
});

describe('Cache-Control', () => {
  let server: TestRegistry;
  const blobOf = (name: string): string => `/v2/${name}/team/app/blobs/${image.layers[0]?.digest}`;

  beforeAll(async () => {
    const folder = await makeScratchFolder();
    cleanups.add(() => removeScratchFolder(folder));
    const htpasswd = `${folder}/users`;
    await writeFile(htpasswd, htpasswdOf(['ana']));
    server = await startMemoryRegistry({
      access: { htpasswd, rules: [{ users: ['ana'], allow: ['pull', 'admin'] }] },
      repositories: [
        { name: 'hub', type: 'remote', url: fault.url },
        { name: 'pass', type: 'remote', url: fault.url, cache: false },
        { name: 'all', type: 'virtual', members: ['hub'] },
      ],
    });
    cleanups.add(() => server.close());
  });

  it.each<[what: string, method: Method, path: string | (() => string), status: number, send?: Send]>([
    ['blob', 'GET', () => blobOf('hub'), 200],
    ['blob, HEAD', 'HEAD', () => blobOf('hub'), 200],
    ['range', 'GET', () => blobOf('hub'), 206, { headers: { range: 'bytes=1-2' } }],
    ['blob that the client has', 'GET', () => blobOf('hub'), 304, { headers: { 'if-none-match': '*' } }],
    ['blob of a pass-through', 'GET', () => blobOf('pass'), 200],
    ['blob of a virtual', 'GET', () => blobOf('all'), 200],
    ['manifest', 'GET', '/v2/hub/team/app/manifests/v1', 200],
    ['manifest of a pass-through', 'HEAD', '/v2/pass/team/app/manifests/v1', 200],
    ['tags', 'GET', '/v2/all/team/app/tags/list', 200],
    ['referrers', 'GET', `/v2/hub/team/app/referrers/${missing}`, 200],
    ['catalog', 'GET', '/v2/_catalog', 200],
    ['missing manifest', 'GET', '/v2/hub/team/app/manifests/none', 404],
    ['repositories', 'GET', '/api/v1/repositories', 200],
    ['version check', 'GET', '/v2/', 200],
  ])('is private under access rules: %s, %s', async (_what, method, path, status, send) => {
    const asked = new Client(server.url);
    const headers = { authorization: basic('ana'), ...send?.headers };
    const answer = await asked.send(method, typeof path === 'string' ? path : path(), { headers });
    await asked.close();
    expect([answer.status, answer.header('cache-control').split(', ')]).toEqual([
      status,
      expect.arrayContaining(['private', 'no-transform']),
    ]);
  });

  it('is no-store for a token', async () => {
    const asked = new Client(server.url);
    const answer = await asked.get('/v2/token?service=registry', { authorization: basic('ana') });
    await asked.close();
    expect([answer.status, answer.header('cache-control')]).toEqual([200, 'no-store']);
  });

  it.each([
    ['blob', 'max-age=31536000, immutable, no-transform'],
    ['manifest', 'no-transform'],
  ])('lets shared caches of an open registry keep a %s', async (what, expected) => {
    const path = what === 'blob' ? own() : '/v2/hub/team/app/manifests/v1';
    expect((await client.get(path)).header('cache-control')).toBe(expected);
  });
});
