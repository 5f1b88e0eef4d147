import { afterEach, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { digest } from '../../support/content/content.js';
import { Cleanups, startRemote } from '../../support/upstreams/remote.js';
import { startMemoryRegistry, type TestRegistry } from '../../support/servers/registry.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

async function remoteOf(url: string, cache = true): Promise<{ server: TestRegistry; client: Client }> {
  const server = await startMemoryRegistry({
    repositories: [{ name: 'hub', type: 'remote', url, cache, negativeTtlSeconds: 0 }],
  });
  cleanups.add(() => server.close());
  const client = new Client(server.url);
  cleanups.add(() => client.close());
  return { server, client };
}

/** Two registries, each the upstream of the other. */
async function pair(cache: boolean) {
  const a = await remoteOf('http://127.0.0.1:1', cache);
  const b = await remoteOf(`${a.server.url}/made`, cache);
  const body = { name: 'made', package_type: 'docker', repo_type: 'remote', url: `${b.server.url}/hub`, cache };
  const made = await a.client.post('/api/v1/repositories', {
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ ...body, negative_ttl_seconds: 0 }),
  });
  expect(made.status).toBe(201);
  return { a: a.client, b: b.client };
}

it.each([true, false])(
  "two registries that are each other's upstream detect the loop at once (cache: %s)",
  async (cache) => {
    const { a, b } = await pair(cache);
    for (const what of ['manifests/v1', `manifests/${digest('x')}`, `blobs/${digest('x')}`, 'tags/list']) {
      // Both at once too, so that neither waits for the other.
      const answers = await Promise.all([a.get(`/v2/made/app/${what}`), b.get(`/v2/hub/app/${what}`)]);
      for (const { status, codes, body } of answers) {
        expect([503, 508]).toContain(status);
        expect(codes).toEqual(['UNAVAILABLE']);
        // "no answer in time" if they waited for each other.
        expect(body.toString()).not.toContain('in time');
      }
    }
  },
);

it('a request that already passed through this registry is refused, and any other Via is ignored', async () => {
  const { fault, client } = await startRemote(cleanups);
  fault.images.addImage('app', 'v1');
  expect((await client.get('/v2/hub/app/manifests/v1', { Via: '1.1 somebody' })).status).toBe(200);
  const via = fault.requests.at(-1)?.headers.via ?? '';
  expect(via).toMatch(/^1\.1 somebody, 1\.1 artifactapi-/);
  const again = await client.get('/v2/hub/app/manifests/v1', { Via: via });
  expect([again.status, again.codes]).toEqual([508, ['UNAVAILABLE']]);
  // Before anything is looked up, even the repository.
  expect((await client.get('/v2/nosuch/app/manifests/v1', { Via: via })).status).toBe(508);
});

it('a cache behind a cache answers HEAD for missing content and fetches a blob in one transfer', async () => {
  const { fault, server } = await startRemote(cleanups);
  const { client } = await remoteOf(`${server.url}/hub`);
  const { manifest, layers } = fault.images.addImage('team/app', 'v1', [300_000]);
  const blob = `/v2/hub/team/app/blobs/${layers[0]?.digest}`;
  const head = await client.head(blob);
  expect([head.status, head.header('content-length')]).toEqual([200, '300000']);
  expect((await client.get('/v2/hub/team/app/manifests/v1')).body.equals(manifest.bytes)).toBe(true);
  const answers = await Promise.all(Array.from({ length: 5 }, () => client.get(blob)));
  for (const { body } of answers) expect(digest(body)).toBe(layers[0]?.digest);
  expect(fault.bytes('/blobs/')).toBe(300_000);
  expect((await client.get('/v2/hub/team/app/tags/list')).json()).toEqual({ name: 'hub/team/app', tags: ['v1'] });
  expect((await client.get('/v2/hub/team/app/manifests/none')).status).toBe(404);
});
