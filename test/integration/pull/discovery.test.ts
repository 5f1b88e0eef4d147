import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, type Answer } from '../../support/clients/client.js';
import { imageManifest, pushBlob, pushManifest, startUpload } from '../../support/content/content.js';
import { exchangeRaw, rawHead } from '../../support/clients/raw.js';
import { startMemoryRegistry, type TestRegistry } from '../../support/servers/registry.js';

let server: TestRegistry;
let client: Client;

beforeAll(async () => {
  server = await startMemoryRegistry({
    repositories: ['a', 'a-b', 'a.b', 'a_b', 'ab', 'v2', 'z'].map((name) => ({ name, type: 'local', sparse: true })),
  });
  client = new Client(server.url);
});
afterAll(async () => {
  await client.close();
  await server.close();
});

describe('GET /v2/', () => {
  it.each(['/v2/', '/v2', '/v2/?ns=docker.io', '/v2?x'])('answers %s with 200 and {}', async (path) => {
    const answer = await client.get(path);
    expect([answer.status, answer.body.toString()]).toEqual([200, '{}']);
    expect(answer.headers).toMatchObject({
      'content-type': 'application/json',
      'content-length': '2',
      'docker-distribution-api-version': 'registry/2.0',
    });
    expect(answer.headers['www-authenticate']).toBeUndefined();
  });

  it('answers HEAD', async () => {
    const answer = await client.head('/v2/');
    expect([answer.status, answer.header('content-length'), answer.body.length]).toEqual([200, '2', 0]);
  });

  it('serves HTTP/1.0 clients and clients that send unneeded credentials', async () => {
    expect((await exchangeRaw(server.port, 'GET /v2/ HTTP/1.0\r\n\r\n')).status).toBe(200);
    const answer = await exchangeRaw(server.port, rawHead('GET', '/v2/', { Authorization: 'Basic Og==' }));
    expect(answer.status).toBe(200);
  });

  it('never advertises signature support, which would make podman use another API', async () => {
    expect((await client.get('/v2/')).headers['x-registry-supports-signatures']).toBeUndefined();
  });
});

async function catalog(query = ''): Promise<{ repositories: string[]; next: string | undefined; answer: Answer }> {
  const answer = await client.get(`/v2/_catalog${query}`);
  expect([answer.status, answer.header('content-type')]).toEqual([200, 'application/json']);
  const { repositories } = answer.json() as { repositories: string[] };
  return { repositories, next: answer.next, answer };
}

async function walk(query: string): Promise<string[][]> {
  const pages: string[][] = [];
  for (let next: string | undefined = query; next !== undefined;) {
    const page = await catalog(next);
    pages.push(page.repositories);
    expect(page.next ?? '/v2/_catalog?').toMatch(/^\/v2\/_catalog\?[^;]*$/);
    next = page.next?.slice('/v2/_catalog'.length);
    expect(pages.length).toBeLessThan(100);
  }
  return pages;
}

describe('GET /v2/_catalog', () => {
  // In byte order of the whole name: "-" and "." sort before "/"; "_" and letters sort after it.
  const names = [
    'a-b/a',
    'a-b/x',
    'a-b/x/y',
    'a.b/x',
    'a/a',
    'a/a-b',
    'a/a-b/c',
    'a/a.b',
    'a/a/b',
    'a/a_b',
    'a/aa',
    'a/b',
    'a/blobs/uploads',
    'a/tags/list',
    'a/v2',
    'a_b/x',
    'ab/x',
    'v2/v2/v2',
  ];
  let empty: string[];
  beforeAll(async () => {
    empty = (await catalog()).repositories;
    for (const name of names.toReversed()) await pushManifest(client, name, 'latest', imageManifest(name));
  });

  it('is empty at first', () => {
    expect(empty).toEqual([]);
  });

  it('lists the images of all repositories in byte order', async () => {
    expect([...names].sort()).toEqual(names);
    const { repositories, next, answer } = await catalog();
    expect([repositories, next]).toEqual([names, undefined]);
    expect(answer.header('content-length')).toBe(String(answer.body.length));
  });

  it.each([1, 2, 3, 5, 7, names.length - 1, names.length, 1000])(
    'returns each name exactly once in pages of %i',
    async (n) => {
      const pages = await walk(`?n=${n}`);
      expect(pages.flat()).toEqual(names);
      expect(pages).toHaveLength(Math.ceil(names.length / n));
    },
  );

  it('returns an empty list without a Link for n=0', async () => {
    for (const query of ['?n=0', '?n=0&last=a/a']) {
      expect(await catalog(query)).toMatchObject({ repositories: [], next: undefined });
    }
  });

  it('treats last as exclusive, even when no such image exists', async () => {
    const words = [
      'a',
      'a/',
      'a-b',
      'a-b/',
      'a-b/x/',
      'a.',
      'a/a-',
      'a/a0',
      'a0',
      'a/zz',
      'A',
      '~',
      'v2',
      '',
      '%',
      'ä',
      '\0',
      'a/\0',
      'a/a\u{10FFFF}',
    ];
    for (const last of [...names, ...words]) {
      const { repositories } = await catalog(`?last=${encodeURIComponent(last)}`);
      expect([last, repositories]).toEqual([last, names.filter((name) => name > last)]);
    }
  });

  it('lists an image as long as it holds a manifest', async () => {
    const manifest = imageManifest('passing');
    await pushBlob(client, 'z/passing', Buffer.from('blob'));
    await startUpload(client, 'z/passing');
    expect((await catalog()).repositories).toEqual(names);
    await pushManifest(client, 'z/passing', manifest.digest, manifest);
    expect((await catalog()).repositories).toEqual([...names, 'z/passing']);
    await client.delete(`/v2/z/passing/manifests/${manifest.digest}`);
    expect((await catalog()).repositories).toEqual(names);
  });

  it.each(['101', '99999999', '999999999999'])('accepts or clamps n=%s', async (n) => {
    expect((await catalog(`?n=${n}`)).repositories).toEqual(names);
  });
});

it('GET /v2/_catalog without n adds a Link when the catalog exceeds one page', async () => {
  const all = Array.from({ length: 120 }, (_, i) => `z/many-${String(i).padStart(3, '0')}`);
  await Promise.all(all.map((name) => pushManifest(client, name, 'latest', imageManifest('many'))));
  const pages = await walk('?last=z');
  expect(pages.map(({ length }) => length)).toEqual([100, 20]);
  expect(pages.flat()).toEqual(all);
});

describe('an image named like a path of the API', () => {
  it.each([
    'v2/v2',
    'v2/blobs',
    'v2/manifests',
    'v2/tags/list',
    'v2/blobs/uploads',
    'v2/referrers',
    'v2/a/manifests/latest',
  ])('can be pushed and pulled as %s', async (name) => {
    const content = Buffer.from(`content of ${name}`);
    const location = await startUpload(client, name);
    const blob = await pushBlob(client, name, content);
    const manifest = imageManifest(name);
    for (const tag of ['list', 'uploads', 'latest']) await pushManifest(client, name, tag, manifest);
    expect((await client.get(location)).status).toBe(204);
    expect((await client.get(`/v2/${name}/blobs/${blob}`)).body.equals(content)).toBe(true);
    expect((await client.get(`/v2/${name}/manifests/list`)).body.equals(manifest.bytes)).toBe(true);
    expect((await client.get(`/v2/${name}/tags/list`)).json()).toEqual({ name, tags: ['latest', 'list', 'uploads'] });
    expect((await client.get(`/v2/${name}/referrers/${blob}`)).status).toBe(200);
    expect((await client.delete(`/v2/${name}/manifests/uploads`)).status).toBe(202);
  });
});
