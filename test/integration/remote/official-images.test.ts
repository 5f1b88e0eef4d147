import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.js';
import { Client } from '../../support/clients/client.js';
import { basic, startAccess } from '../../support/access/access.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { startFaultUpstream, type FaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { Cleanups, startRemote } from '../../support/upstreams/remote.js';
import { startMemoryRegistry, startRegistry, type TestRegistry } from '../../support/servers/registry.js';

const cleanups = new Cleanups();
let dockerHub: FaultUpstream;
let client: Client;
let server: TestRegistry;

/** Repositories of an upstream with official images. An outgoing proxy stands for Docker Hub itself. */
function repositories(chained: string) {
  const real = { type: 'remote', url: 'http://docker.io', proxy: dockerHub.url } as const;
  const mirror = { type: 'remote', url: `${chained}/hub`, dockerHub: true } as const;
  return [
    { name: 'real', ...real },
    { name: 'real-through', ...real, cache: false },
    { name: 'mirror', ...mirror },
    { name: 'mirror-through', ...mirror, cache: false },
    { name: 'not', type: 'remote', url: chained, dockerHub: false },
    ...['real', 'real-through', 'mirror', 'mirror-through'].flatMap((name) => [
      { name: `${name}-all`, type: 'virtual', members: ['local', name] } as const,
      { name: `${name}-excluded`, type: 'virtual', members: [{ name, exclude: ['library/**'] }] } as const,
      { name: `${name}-included`, type: 'virtual', members: [{ name, include: ['library/**'] }] } as const,
      { name: `${name}-reserved`, type: 'virtual', members: [name], reserved: ['library/**'] } as const,
      { name: `${name}-nested`, type: 'virtual', members: [`${name}-excluded`] } as const,
    ]),
  ] as const;
}

beforeEach(async () => {
  dockerHub = await startFaultUpstream();
  cleanups.add(() => dockerHub.close());
  dockerHub.images.addImage('library/alpine', '3');
  dockerHub.images.addImage('team/app', '3');
  const chained = await startMemoryRegistry({
    repositories: [{ name: 'hub', type: 'remote', url: 'http://docker.io', proxy: dockerHub.url }],
  });
  cleanups.add(() => chained.close());
  ({ client, server } = await startRemote(cleanups, {}, { others: () => repositories(chained.url) }));
});
afterEach(() => cleanups.run());

const status = async (name: string): Promise<number> => (await client.get(`/v2/${name}/manifests/3`)).status;

describe.each(['real', 'mirror', 'real-through', 'mirror-through'])('an official image of Docker Hub in %s', (name) => {
  it('is one image by both names, in answers by the name that the client used', async () => {
    for (const image of ['alpine', 'library/alpine']) {
      for (const repository of [name, `${name}-all`]) {
        expect(await status(`${repository}/${image}`)).toBe(200);
        const tags = await client.get(`/v2/${repository}/${image}/tags/list?n=1`);
        expect(tags.json()).toEqual({ name: `${repository}/${image}`, tags: ['3'] });
      }
    }
    const asked = dockerHub.requestsFor(/manifests|tags/).map(({ path }) => path);
    expect(asked.filter((path) => !path.includes('/v2/library/alpine/'))).toEqual([]);
  });

  it.each(['alpine', 'library/alpine'])('is subject to include, exclude and reserved patterns as %s', async (image) => {
    const found = ['excluded', 'included', 'reserved', 'nested'].map((kind) => status(`${name}-${kind}/${image}`));
    expect(await Promise.all(found)).toEqual([404, 200, 404, 404]);
    expect(await status(`${name}-excluded/team/app`)).toBe(200);
    expect(await status(`${name}-included/team/app`)).toBe(404);
  });
});

describe.each(['real', 'mirror'])('an official image that is cached in %s', (name) => {
  const images = async (): Promise<string[]> => {
    const { repositories: names } = (await client.get('/v2/_catalog')).json() as { repositories: string[] };
    return names.filter((one) => one.startsWith(`${name}/`));
  };

  it('is stored, counted, shown in events and purged once', async () => {
    const seen: unknown[] = [];
    server.registry.events.on('cache.filled', (event) => seen.push(event.image));
    for (const image of ['alpine', 'library/alpine', 'alpine']) expect(await status(`${name}/${image}`)).toBe(200);
    expect(await images()).toEqual([`${name}/library/alpine`]);
    expect(seen).toEqual(['library/alpine']);
    const shown = await client.get(`/api/v1/repositories/${name}`);
    expect(shown.json()).toMatchObject({ status: { counters: { hit: 2, miss: 1 } } });
    for (const image of ['alpine', 'library/alpine']) {
      const tags = await client.get(`/api/v1/repositories/${name}/images/${image}/tags`);
      expect(tags.json()).toMatchObject({ tags: [{ name: '3' }] });
      const explained = await client.get(`/api/v1/explain?name=${name}/${image}&reference=3`);
      expect(explained.json()).toMatchObject({ image: 'library/alpine', answer: 'cached' });
    }
    const purged = await client.delete(`/api/v1/repositories/${name}/cache?image=alpine`);
    expect(purged.json()).toMatchObject({ manifests: 1, tags: 1 });
    expect(await images()).toEqual([]);
  });
});

it.each(['alpine', 'alpine:3', 'library/alpine'])('a pin protects an official image: %s', async (pin) => {
  const hub = { url: 'http://docker.io', proxy: dockerHub.url, maxCacheBytes: 20_000, pins: [pin] };
  const scene = await startRemote(cleanups, {}, { others: () => [{ name: 'pinned', type: 'remote', ...hub }] });
  const pull = async (image: string): Promise<string> => {
    const { layers } = dockerHub.images.addImage(image.includes('/') ? image : `library/${image}`, '3', [8000]);
    await scene.client.get(`/v2/pinned/${image}/manifests/3`);
    return (await scene.client.get(`/v2/pinned/${image}/blobs/${layers[0]?.digest}`)).header('x-cache');
  };
  const used = async (): Promise<unknown> => {
    const shown = (await scene.client.get('/api/v1/repositories/pinned')).json();
    return (shown as { status: { used_bytes: number } }).status.used_bytes;
  };
  for (const image of ['alpine', 'team/a', 'team/b', 'team/c']) {
    await pull(image);
    await eventually(async () => expect(await used()).toBeLessThanOrEqual(20_000));
  }
  expect([await pull('alpine'), await pull('team/a')]).toEqual(['hit', 'miss']);
});

it('an image with one name is not an official image of another registry', async () => {
  dockerHub.images.addImage('library/busybox', '3');
  expect(await status('not/busybox')).toBe(404);
  expect(await status('not/hub/busybox')).toBe(200);
});

it('a local member keeps its own one-part names beside the official images of another', async () => {
  const { manifest } = dockerHub.images.addImage('x/y', '3');
  const headers = { 'Content-Type': manifest.type };
  await client.put('/v2/local/alpine/manifests/3', { headers, body: manifest.bytes });
  const answered = async (image: string): Promise<string> =>
    (await client.get(`/v2/real-all/${image}/manifests/3`)).header('docker-content-digest');
  expect(await answered('alpine')).toBe(manifest.digest);
  expect(await answered('library/alpine')).toBe(dockerHub.images.tags.get('library/alpine:3'));
});

it('access rules see the full name of an official image, and tokens the name that the client used', async () => {
  const { as, token } = await startAccess(cleanups, {
    users: ['some', 'other'],
    access: {
      rules: [
        { names: ['hub/library/**'], users: ['some'], allow: ['pull'] },
        { names: ['hub/*'], users: ['other'], allow: ['pull'] },
      ],
    },
    repositories: [{ name: 'hub', type: 'remote', url: 'http://docker.io', proxy: dockerHub.url }],
  });
  const pull = async (user: string, image: string, scope = image): Promise<number> => {
    const opened = await token(`repository:hub/${scope}:pull`, basic(user));
    return (await as(`Bearer ${opened}`)('GET', `/v2/hub/${image}/manifests/3`)).status;
  };
  for (const image of ['alpine', 'library/alpine']) {
    expect([await pull('some', image), await pull('other', image)]).toEqual([200, 401]);
  }
  expect(await pull('some', 'alpine', 'library/alpine')).toBe(401);
});

describe('content that a cache holds under the short name of an official image', () => {
  /** Starts a cache on a folder; without `dockerHub` as earlier releases, which stored what clients named. */
  async function open(storage: string, hub: { readonly dockerHub: boolean; readonly tagTtlSeconds?: number }) {
    const opened = await startRegistry({
      storage,
      repositories: [{ name: 'hub', type: 'remote', url: dockerHub.url, ...hub }],
    });
    const at = new Client(opened.url);
    return {
      at,
      log: opened.log,
      catalog: async () => ((await at.get('/v2/_catalog')).json() as { repositories: string[] }).repositories,
      close: async () => {
        await at.close();
        await opened.close();
      },
    };
  }

  it('is moved to its full name when the registry starts, and served although the upstream is down', async () => {
    const storage = await makeScratchFolder();
    cleanups.add(() => removeScratchFolder(storage));
    const { manifest, layers } = dockerHub.images.addImage('alpine', '3', [5000], 'old');
    const newer = dockerHub.images.addImage('library/busybox', '1');
    dockerHub.images.addImage('busybox', '1', [6], 'old');
    const before = await open(storage, { dockerHub: false });
    for (const path of [`alpine/blobs/${layers[0]?.digest}`, 'alpine/manifests/3', 'busybox/manifests/1'])
      expect((await before.at.get(`/v2/hub/${path}`)).status).toBe(200);
    for (const path of ['library/busybox/manifests/1', 'team/app/manifests/3'])
      expect((await before.at.get(`/v2/hub/${path}`)).status).toBe(200);
    await before.close();

    await dockerHub.down();
    for (let start = 0; start < 2; start++) {
      const after = await open(storage, { dockerHub: true });
      await eventually(async () =>
        expect(await after.catalog()).toEqual(['hub/library/alpine', 'hub/library/busybox', 'hub/team/app']),
      );
      for (const image of ['alpine', 'library/alpine']) {
        const pulled = await after.at.get(`/v2/hub/${image}/manifests/3`);
        expect([pulled.status, pulled.header('docker-content-digest')]).toEqual([200, manifest.digest]);
        expect((await after.at.get(`/v2/hub/${image}/blobs/${layers[0]?.digest}`)).status).toBe(200);
      }
      // A tag that the full name already had stays as it is.
      const kept = await after.at.get('/v2/hub/busybox/manifests/1');
      expect(kept.header('docker-content-digest')).toBe(newer.manifest.digest);
      await eventually(() => {
        const moves = after.log.filter(({ message }) => message === 'official images moved to their full names');
        expect(moves.map(({ fields }) => fields)).toEqual(start === 0 ? [{ repository: 'hub', images: 2 }] : []);
      });
      await after.close();
    }
  });

  it('is evicted and purged under its full name alone', async () => {
    const storage = await makeScratchFolder();
    cleanups.add(() => removeScratchFolder(storage));
    dockerHub.images.addImage('alpine', '3', [5000], 'old');
    const before = await open(storage, { dockerHub: false });
    await before.at.get('/v2/hub/alpine/manifests/3');
    await before.close();
    const after = await open(storage, { dockerHub: true });
    await eventually(async () => expect(await after.catalog()).toEqual(['hub/library/alpine']));
    const purged = await after.at.delete('/api/v1/repositories/hub/cache?image=alpine');
    expect(purged.json()).toMatchObject({ manifests: 1, tags: 1 });
    expect((await after.at.get('/api/v1/repositories/hub')).json()).toMatchObject({ status: { used_bytes: 0 } });
    await after.close();
  });
});
