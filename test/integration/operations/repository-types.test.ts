import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRegistry, type RegistryOptions } from '../../../src/index.js';
import type { RepositoryRecord } from '../../../src/ports/metadata/metadata.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { Client } from '../../support/clients/client.js';
import {
  describeBytes,
  digest,
  manifestOf,
  pushBlob,
  pushManifest,
  someBytes,
  types,
} from '../../support/content/content.js';
import { startFaultUpstream, type FaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { hostFor, listen, recordingLogger, startRegistry } from '../../support/servers/registry.js';
import { Cleanups } from '../../support/upstreams/remote.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

type Repositories = NonNullable<RegistryOptions['repositories']>;

const layer = someBytes('pushed', 2000);
const manifest = manifestOf(types.ociImage, {
  config: describeBytes(types.ociConfig, layer),
  layers: [describeBytes(types.ociLayer, layer)],
});
const json = { 'Content-Type': 'application/json' };

describe('the type of a repository', () => {
  const cleanups = new Cleanups();
  let folder: string;
  let upstream: FaultUpstream;

  beforeEach(async () => {
    folder = await makeScratchFolder();
    cleanups.add(() => removeScratchFolder(folder));
    upstream = await startFaultUpstream();
    cleanups.add(() => upstream.close());
  });
  afterEach(() => cleanups.run());

  /** Runs a task on a registry that is started for it and closed afterwards. */
  async function withRegistry<T>(repositories: Repositories, task: (client: Client) => Promise<T>): Promise<T> {
    const server = await startRegistry({ storage: folder, repositories });
    const client = new Client(server.url);
    try {
      return await task(client);
    } finally {
      await client.close();
      await server.close();
    }
  }

  /** Starts a registry that must not start: returns why, and what it logged and answered. */
  async function refusedStart(repositories: Repositories): Promise<{ error: Error; logged: string; answer: string }> {
    const logger = recordingLogger();
    const registry = createRegistry({ storage: folder, access: 'open', repositories, logger });
    const host = await listen(hostFor(registry));
    const client = new Client(host.url);
    const error = (await registry.ready().catch((cause: unknown) => cause)) as Error;
    const { status, body } = await client.get('/v2/hub/team/app/manifests/v1');
    await client.close();
    await host.close();
    await registry.close();
    const logged = logger.lines
      .filter(({ level }) => level === 'error')
      .map(({ fields }) => (fields as { err?: Error }).err?.message ?? '')
      .join('\n');
    return { error, logged, answer: `${status} ${body.toString()}` };
  }

  async function readRecords(): Promise<readonly RepositoryRecord[]> {
    const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
    const records = await metadata.repositories();
    await metadata.close();
    return records;
  }

  async function push(client: Client, name: string): Promise<void> {
    await pushBlob(client, name, layer);
    await pushManifest(client, name, 'v1', manifest);
  }

  async function pull(client: Client, name: string): Promise<number[]> {
    const { status, body } = await client.get(`/v2/${name}/manifests/v1`);
    if (status === 200) expect(digest(body)).toBe(manifest.digest);
    return [status, (await client.get(`/v2/${name}/blobs/${digest(layer)}`)).status];
  }

  const remote = (name: string, more: object = {}) => ({ name, type: 'remote' as const, url: upstream.url, ...more });
  const local = (name: string) => ({ name, type: 'local' as const });
  const document = (name: string, type: string) =>
    JSON.stringify({
      name,
      package_type: 'docker',
      repo_type: type,
      ...(type === 'remote' ? { url: upstream.url } : {}),
      ...(type === 'virtual' ? { members: ['base'] } : {}),
    });
  const create = (client: Client, name: string, type: string) =>
    client.post('/api/v1/repositories', { headers: json, body: document(name, type) });

  it('cannot change in the configuration: the start is refused with every such repository, and changes nothing', async () => {
    await withRegistry([local('hub'), remote('quay'), local('base')], async (client) => {
      await push(client, 'hub/team/app');
      expect((await create(client, 'managed', 'local')).status).toBe(201);
      await push(client, 'managed/team/app');
    });
    const before = await readRecords();
    const { error, logged, answer } = await refusedStart([
      // Comes first and is right: not even this one is written.
      local('added'),
      remote('hub'),
      { name: 'quay', type: 'virtual', members: ['base'] },
      { name: 'managed', type: 'remote', url: upstream.url, cache: false },
      local('base'),
    ]);
    for (const text of [error.message, logged]) {
      expect(text).toContain('"hub" is stored as local and declared as remote');
      expect(text).toContain('"quay" is stored as remote and declared as virtual');
      expect(text).toContain('"managed" is stored as local and declared as remote');
      expect(text).not.toContain('"base"');
      expect(text).toMatch(/another name/);
      expect(text).toContain('DELETE /api/v1/repositories/');
    }
    expect(answer).toMatch(/^503 .*UNAVAILABLE/);
    expect(await readRecords()).toEqual(before);
    expect(upstream.requests).toEqual([]);
    await withRegistry([local('hub'), remote('quay'), local('base')], async (client) => {
      expect(await pull(client, 'hub/team/app')).toEqual([200, 200]);
      expect(await pull(client, 'managed/team/app')).toEqual([200, 200]);
    });
  });

  it('can change after the stored repository is deleted, and the new one has none of its content', async () => {
    await withRegistry([local('hub'), local('base')], (client) => push(client, 'hub/team/app'));
    expect((await refusedStart([remote('hub'), local('base')])).error.message).toContain('"hub"');
    await withRegistry([local('base')], async (client) => {
      expect((await client.get('/api/v1/repositories')).body.toString()).not.toContain('hub');
      expect((await client.delete('/api/v1/repositories/hub')).status).toBe(204);
      const again = await client.delete('/api/v1/repositories/hub');
      expect([again.status, again.codes]).toEqual([404, ['NAME_UNKNOWN']]);
    });
    await withRegistry([remote('hub'), local('base')], async (client) => {
      expect(await pull(client, 'hub/team/app')).toEqual([404, 404]);
      upstream.images.addBlob('team/app', layer);
      upstream.images.addManifest('team/app', manifest, 'v2');
      expect((await client.get('/v2/hub/team/app/manifests/v2')).status).toBe(200);
    });
  });

  it('stays with the content when the new repository gets another name', async () => {
    await withRegistry([local('hub')], (client) => push(client, 'hub/team/app'));
    await withRegistry([local('hub'), remote('hub-cache')], async (client) => {
      expect(await pull(client, 'hub/team/app')).toEqual([200, 200]);
      expect(await pull(client, 'hub-cache/team/app')).toEqual([404, 404]);
    });
  });

  it.each(['remote', 'virtual'])(
    'that is no longer declared cannot change through the API: a %s gets 409',
    async (type) => {
      await withRegistry([local('hub'), local('base')], (client) => push(client, 'hub/team/app'));
      await withRegistry([local('base')], async (client) => {
        const refused = await create(client, 'hub', type);
        expect([refused.status, refused.codes]).toEqual([409, ['CONFLICT']]);
        expect(refused.json()).toMatchObject({ errors: [{ detail: { stored: 'local', requested: type } }] });
        expect(refused.body.toString()).toContain(`stored as local and cannot become ${type}`);
        expect((await client.get('/v2/hub/team/app/manifests/v1')).status).toBe(404);
        expect((await create(client, 'hub', 'local')).status).toBe(201);
        expect(await pull(client, 'hub/team/app')).toEqual([200, 200]);
      });
    },
  );

  it('that is managed cannot change through the API, and the answer names both', async () => {
    await withRegistry([local('base')], async (client) => {
      await create(client, 'managed', 'local');
      const refused = await client.put('/api/v1/repositories/managed', {
        headers: json,
        body: document('managed', 'remote'),
      });
      expect([refused.status, refused.codes]).toEqual([409, ['CONFLICT']]);
      expect(refused.json()).toMatchObject({ errors: [{ detail: { stored: 'local', requested: 'remote' } }] });
    });
  });

  it('that is remote may change between cache and pass-through, which hides and keeps the cached content', async () => {
    upstream.images.addBlob('team/app', layer);
    upstream.images.addManifest('team/app', manifest, 'v1');
    await withRegistry([remote('hub')], async (client) => {
      expect(await pull(client, 'hub/team/app')).toEqual([200, 200]);
    });
    await withRegistry([remote('hub', { cache: false })], async (client) => {
      const before = upstream.requests.length;
      expect(await pull(client, 'hub/team/app')).toEqual([200, 200]);
      expect(upstream.requests.length).toBeGreaterThan(before);
    });
    await upstream.down();
    await withRegistry([remote('hub')], async (client) => {
      expect(await pull(client, 'hub/team/app')).toEqual([200, 200]);
    });
  });

  it('does not include the url of a cache: the new upstream is asked about each tag once its window has passed', async () => {
    upstream.images.addBlob('team/app', layer);
    upstream.images.addManifest('team/app', manifest, 'v1');
    const other = await startFaultUpstream();
    cleanups.add(() => other.close());
    const cached = { tagTtlSeconds: 0 };
    await withRegistry([remote('hub', cached)], (client) => pull(client, 'hub/team/app'));
    await withRegistry([remote('hub', { ...cached, url: other.url })], async (client) => {
      expect((await client.get('/v2/hub/team/app/manifests/v1')).status).toBe(404);
      expect((await client.get(`/v2/hub/team/app/blobs/${digest(layer)}`)).status).toBe(200);
    });
  });
});
