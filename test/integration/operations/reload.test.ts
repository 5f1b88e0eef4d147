import { afterEach, describe, expect, it } from 'vitest';
import { OptionsError, type RegistryOptions } from '../../../src/index.js';
import { optionReloading } from '../../../src/options/live-options.js';
import type { optionsSchema } from '../../../src/options/options-schema.js';
import type { MetadataStore } from '../../../src/index.js';
import { basic, htpasswdOf, startAccess } from '../../support/access/access.js';
import { Client, type Answer } from '../../support/clients/client.js';
import { digest, imageManifest, pushBlob, pushManifest, startUpload } from '../../support/content/content.js';
import {
  recordingLogger,
  startMemoryRegistry,
  startRegistry,
  type TestRegistry,
} from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { startFaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { Cleanups } from '../../support/upstreams/remote.js';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

/** A registry whose reload changes the options that it was started with. */
async function start(options: Partial<RegistryOptions> = {}) {
  const server = await startMemoryRegistry(options);
  cleanups.add(() => server.close());
  const client = new Client(server.url);
  cleanups.add(() => client.close());
  return { server, client, reload: reloadOf(server) };
}

const reloadOf =
  (server: TestRegistry) =>
  async (change: Partial<RegistryOptions>): Promise<string[]> =>
    (await server.registry.reload({ ...server.options, ...change })).map(({ option }) => option);

const local = { name: 'local', type: 'local' } as const;
const hub = { name: 'hub', type: 'remote', url: 'http://127.0.0.1:1' } as const;
const sync = { name: 'nightly', from: 'hub', to: 'local', images: ['app'], everySeconds: 0 } as const;
const pathsOf = (error: unknown): unknown =>
  error instanceof OptionsError ? error.problems.map((problem) => problem.path) : error;
const manifest = imageManifest('reload');

async function pushImage(client: Client, name = 'local/app'): Promise<void> {
  for (const text of ['config of reload', 'layer of reload']) await pushBlob(client, name, Buffer.from(text));
  await pushManifest(client, name, 'v1', manifest);
}

const pull = (client: Client, name = 'local/app'): Promise<Answer> => client.get(`/v2/${name}/manifests/v1`);

describe('a reload of each option', () => {
  const samples: Readonly<Record<keyof typeof optionsSchema.shape, Partial<RegistryOptions>>> = {
    storage: { storage: '/elsewhere' },
    access: { access: 'read-only' },
    repositories: { repositories: [local, { name: 'more', type: 'local' }] },
    hosts: { hosts: { 'local.example': 'local' } },
    namespaces: { namespaces: { 'docker.io': 'local' } },
    defaultRepository: { defaultRepository: 'local' },
    prefix: { prefix: '/registry' },
    publicUrl: { publicUrl: 'https://registry.example' },
    quotas: { quotas: [{ names: ['local'], maxBytes: 1000 }] },
    trustedProxies: { trustedProxies: ['10.0.0.1'] },
    sendfile: { sendfile: 'x-sendfile', trustedProxies: ['10.0.0.1'] },
    limits: { limits: { maxBlobBytes: 5 } },
    garbageCollection: { garbageCollection: { graceSeconds: 5 } },
    sync: { repositories: [local, hub], sync: [sync] },
    webhooks: { webhooks: [{ name: 'ci', url: 'http://127.0.0.1:1/', secret: 'a-secret-of-24-characters' }] },
    audit: { audit: { file: '/dev/null' } },
    backups: { backups: { folder: '/elsewhere' } },
    imports: { imports: { folders: ['/elsewhere'] } },
    retention: { retention: { policies: [{ names: ['**'] }] } },
    reserveBytes: { reserveBytes: 5 },
    acceptEmptyIndex: { acceptEmptyIndex: true },
    metrics: { metrics: true },
    maxManifestCacheBytes: { maxManifestCacheBytes: 5 },
    hooks: { hooks: { timeoutSeconds: 5 } },
    logger: { logger: recordingLogger() },
  };

  it.each(Object.entries(samples))('%s does what the table says', async (option, sample) => {
    const { reload, server } = await start();
    const reloading = optionReloading[option as keyof typeof optionReloading];
    const lines = server.log.length;
    if (reloading === 'restart') {
      expect(await reload(sample).catch(pathsOf)).toEqual([option]);
      expect(server.log.slice(lines)).toEqual([]);
    } else {
      const changed = await reload(sample);
      expect(changed.map((path) => path.split('.')[0])).toContain(option);
      expect(server.log.slice(lines).map(({ message }) => message)).toEqual(['configuration reloaded']);
    }
    // The options are now those of the sample, or still the first ones.
    const again = await reload(reloading === 'restart' ? {} : sample);
    expect(again).toEqual([]);
  });
});

describe('a reload applies', () => {
  it('repositories, as a restart would', async () => {
    const { client, reload } = await start();
    await pushImage(client);
    const more = { name: 'more', type: 'local' } as const;
    const all = { name: 'all', type: 'virtual', members: ['local', 'more'] } as const;
    expect(await reload({ repositories: [local, more, all] })).toEqual(['repositories.more', 'repositories.all']);
    expect((await pull(client, 'all/app')).status).toBe(200);
    await pushImage(client, 'more/app');

    expect(await reload({ repositories: [more] })).toEqual(['repositories.local', 'repositories.all']);
    expect((await pull(client)).json()).toMatchObject({ errors: [{ code: 'NAME_UNKNOWN' }] });
    expect((await pull(client, 'all/app')).status).toBe(404);
    expect((await pull(client, 'more/app')).status).toBe(200);

    await reload({ repositories: [local] });
    expect((await pull(client)).body).toEqual(manifest.bytes);
  });

  it('a declaration of a managed repository, which becomes fixed', async () => {
    const { client, server, reload } = await start();
    await server.registry.repositories.create({ name: 'made', type: 'local' });
    await pushImage(client, 'made/app');
    await reload({ repositories: [local, { name: 'made', type: 'local', description: 'declared' }] });
    expect(server.registry.repositories.get('made')).toMatchObject({ origin: 'declared', description: 'declared' });
    expect((await pull(client, 'made/app')).status).toBe(200);
  });

  it('syncs', async () => {
    const { client, reload } = await start();
    const syncs = async (): Promise<object> => (await client.get('/api/v1/syncs')).json() as object;
    await reload({ repositories: [local, hub], sync: [sync] });
    expect(await syncs()).toMatchObject({ syncs: [{ name: 'nightly', origin: 'declared', images: ['app'] }] });
    await reload({ repositories: [local, hub], sync: [{ ...sync, images: ['other'] }] });
    expect(await syncs()).toMatchObject({ syncs: [{ name: 'nightly', images: ['other'] }] });
    expect(await reload({ repositories: [local], sync: [sync] }).catch(pathsOf)).toEqual(['sync[0].from']);
    await reload({ repositories: [local], sync: [] });
    expect(await syncs()).toEqual({ syncs: [] });
  });

  it('addresses', async () => {
    const { client, reload } = await start();
    await pushImage(client);
    const statusOf = async (): Promise<number[]> => {
      const byHost = await client.get('/v2/app/manifests/v1', { Host: 'local.example' });
      const byNamespace = await client.get('/v2/app/manifests/v1?ns=docker.io');
      return [byHost.status, byNamespace.status, (await client.get('/v2/app/x/manifests/v1')).status];
    };
    expect(await statusOf()).toEqual([404, 404, 404]);
    await reload({ hosts: { 'local.example': 'local' }, namespaces: { 'docker.io': 'local' } });
    expect(await statusOf()).toEqual([200, 200, 404]);
    await pushImage(client, 'local/app/x');
    await reload({ defaultRepository: 'local' });
    expect((await statusOf()).at(2)).toBe(200);
  });

  it('limits', async () => {
    const { client, reload } = await start();
    await pushBlob(client, 'local/app', Buffer.alloc(10));
    await reload({ limits: { maxBlobBytes: 5 } });
    const body = Buffer.alloc(10, 'x');
    const refused = await client.post(`/v2/local/app/blobs/uploads/?digest=${digest(body)}`, { body });
    expect(refused.status).toBe(413);
    await reload({ limits: { maxRequestsPerMinutePerClient: 1 } });
    expect([(await client.get('/v2/')).status, (await client.get('/v2/')).status]).toEqual([200, 429]);
    await reload({});
    await pushBlob(client, 'local/app', body);
  });

  it('the times of the garbage collector', async () => {
    const { client, server, reload } = await start({ repositories: [{ ...local, trashSeconds: 0 }] });
    await pushImage(client);
    await client.delete(`/v2/local/app/manifests/${manifest.digest}`);
    expect(await server.registry.collectGarbage()).toMatchObject({ blobsDeleted: 0 });
    await reload({ garbageCollection: { graceSeconds: 0 }, repositories: [{ ...local, trashSeconds: 0 }] });
    await expect.poll(() => server.registry.collectGarbage()).toMatchObject({ examined: 0 });
    expect(server.disk?.blobs.size).toBe(0);
  });

  it('what the audit file records, but not another file', async () => {
    const folder = await makeScratchFolder();
    cleanups.add(() => removeScratchFolder(folder));
    const file = path.join(folder, 'audit.log');
    const { client, server, reload } = await start({ audit: { file, events: ['denied'] } });
    await pushBlob(client, 'local/app', Buffer.from('one'));
    expect(await reload({ audit: { file, keepDays: 5 } })).toEqual(['audit.keepDays', 'audit.events']);
    await client.delete(`/v2/local/app/blobs/${digest('one')}`);
    expect(await reload({ audit: { file: `${file}.other` } }).catch(pathsOf)).toEqual(['audit.file']);
    const { audit: _audit, ...without } = server.options;
    expect(await server.registry.reload(without).catch(pathsOf)).toEqual(['audit']);
    await server.registry.close();
    expect(await readFile(file, 'utf8')).toContain('"blob.deleted"');
    expect(await readdir(folder)).toEqual(['audit.log']);
  });

  it('rules, groups and users to the next request, also for tokens already issued', async () => {
    const access = { rules: [{ users: ['ana'], allow: ['pull', 'push'] }] } as const;
    const scene = await startAccess(cleanups, { users: ['ana', 'ben'], access, repositories: [local] });
    const reload = reloadOf(scene.server);
    const { htpasswd } = scene;
    const list = async (authorization: string): Promise<number> =>
      (await scene.as(authorization)('GET', '/v2/local/app/tags/list')).status;
    const start = await scene.as(basic('ana'))('POST', '/v2/local/app/blobs/uploads/');
    expect(start.status).toBe(202);
    const token = `Bearer ${await scene.token('repository:local/app:pull', basic('ana'))}`;
    expect([await list(token), await list(basic('ben'))]).toEqual([404, 403]);

    const groups = { team: ['ben'] };
    expect(await reload({ access: { htpasswd, groups, rules: [{ groups: ['team'], allow: ['pull'] }] } })).toEqual([
      'access.rules',
      'access.groups.team',
    ]);
    expect([await list(token), await list(basic('ben')), await list(basic('ana'))]).toEqual([401, 404, 403]);

    const other = path.join(path.dirname(htpasswd), 'other.htpasswd');
    await writeFile(other, htpasswdOf(['cid']));
    await reload({ access: { htpasswd: other, rules: [{ users: ['cid'], allow: ['pull'] }] } });
    expect([await list(basic('cid')), await list(basic('ben'))]).toEqual([404, 401]);
    await reload({ access: 'read-only' });
    expect((await scene.ask('GET', '/v2/local/app/tags/list')).status).toBe(404);
  });

  it('credentials of an upstream, and never logs them', async () => {
    const fault = await startFaultUpstream();
    cleanups.add(() => fault.close());
    fault.images.addImage('team/app', 'v1', [100]);
    const hub = { name: 'hub', type: 'remote', url: fault.url } as const;
    const { client, server, reload } = await start({ repositories: [hub] });
    expect((await pull(client, 'hub/team/app')).status).toBe(200);
    const credentials = { username: 'robot', password: 'SECRET-OF-HUB' };
    expect(await reload({ repositories: [{ ...hub, credentials }] })).toEqual(['repositories.hub.credentials']);
    expect(
      await reload({ repositories: [{ ...hub, credentials: { ...credentials, password: 'NEXT-SECRET' } }] }),
    ).toEqual(['repositories.hub.credentials.password']);
    expect((await pull(client, 'hub/team/app')).status).toBe(200);
    expect(JSON.stringify(server.log)).not.toMatch(/SECRET/);
  });
});

describe('a reload that is refused changes nothing', () => {
  const guarded = { access: 'read-only', limits: { maxBlobBytes: 5 } } as const;

  /** Everything is as it was: access, limits, repositories and the index. */
  async function expectUnchanged({ server, client }: { server: TestRegistry; client: Client }): Promise<void> {
    expect((await pull(client)).status).toBe(200);
    await pushBlob(client, 'local/app', Buffer.alloc(10));
    expect(server.registry.repositories.list().map(({ name, description }) => [name, description])).toEqual([
      ['local', ''],
    ]);
  }

  it.each<[string, Partial<RegistryOptions>, unknown]>([
    ['a wrong option', { ...guarded, repositories: [{ name: 'BAD', type: 'local' }] }, ['repositories[0].name']],
    ['a restart', { ...guarded, prefix: '/x', reserveBytes: 5 }, ['prefix', 'reserveBytes']],
    [
      'another type',
      {
        ...guarded,
        repositories: [
          { name: 'new', type: 'local' },
          { name: 'local', type: 'virtual', members: ['new'] },
        ],
      },
      expect.objectContaining({ code: 'STORED_TYPE_DIFFERS' }),
    ],
    [
      'an unreadable htpasswd file',
      { ...guarded, access: { htpasswd: '/does/not/exist' } },
      expect.objectContaining({ code: 'HTPASSWD_INVALID' }),
    ],
  ])('for %s', async (_reason, change, expected) => {
    const scene = await start();
    await pushImage(scene.client);
    expect(await scene.reload(change).catch(pathsOf)).toEqual(expected);
    await expectUnchanged(scene);
  });

  it('for a failed write to the index', async () => {
    const scene = await start();
    await pushImage(scene.client);
    const { metadata } = scene.server.options.storage as { metadata: MetadataStore };
    const apply = metadata.apply.bind(metadata);
    metadata.apply = () => Promise.reject(new Error('the disk is full'));
    const change = { ...guarded, repositories: [{ ...local, description: 'changed' }] };
    await expect(scene.reload(change)).rejects.toThrow('the disk is full');
    metadata.apply = apply;
    await expectUnchanged(scene);
    expect(await scene.reload(change)).toEqual(['access', 'repositories.local.description', 'limits.maxBlobBytes']);
  });

  it('for a registry that is closed', async () => {
    const { server } = await start();
    await server.registry.close();
    await expect(reloadOf(server)(guarded)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('through the management API of an application', async () => {
    const scene = await start();
    const answer = await scene.client.post('/api/v1/reload');
    expect([answer.status, answer.json()]).toMatchObject([409, { errors: [{ code: 'UNSUPPORTED' }] }]);
  });
});

describe('requests in progress', () => {
  it('finish with the repository and the access that they began with', async () => {
    const fault = await startFaultUpstream();
    cleanups.add(() => fault.close());
    const image = fault.images.addImage('team/app', 'v1', [300_000]);
    const hub = { name: 'hub', type: 'remote', url: fault.url } as const;
    const { client, reload } = await start({ repositories: [local, hub] });
    let resume = (): void => undefined;
    const until = new Promise<void>((resolve) => (resume = resolve));
    fault.fault('/blobs/', { hold: { afterBytes: 131_072, until }, times: 1, method: 'GET' });
    const layer = image.layers[0]?.digest ?? '';
    const reading = client.get(`/v2/hub/team/app/blobs/${layer}`);
    reading.catch(() => undefined);
    await expect.poll(() => fault.bytes('/blobs/')).toBe(131_072);
    await reload({ repositories: [local], access: { rules: [{ users: ['ana'], allow: ['pull'] }] } });
    expect((await client.get(`/v2/hub/team/app/blobs/${layer}`)).status).toBe(401);
    resume();
    const answer = await reading;
    expect([answer.status, digest(answer.body)]).toEqual([200, layer]);
  });

  it('continue an upload after a reload that changes its repository', async () => {
    const { client, reload } = await start();
    const location = await startUpload(client, 'local/app');
    await client.patch(location, { body: 'some' });
    await reload({ repositories: [{ ...local, sparse: true }] });
    const body = 'some more';
    const done = await client.put(`${location}?digest=${digest(body)}`, { body: ' more' });
    expect(done.status).toBe(201);
  });

  it('of 8 clients all succeed while the registry reloads 50 times', async () => {
    const folder = await makeScratchFolder();
    cleanups.add(() => removeScratchFolder(folder));
    const users = path.join(folder, 'users');
    await writeFile(users, htpasswdOf(['ana']));
    const server = await startRegistry({ storage: path.join(folder, 'data') });
    cleanups.add(() => server.close());
    const seed = new Client(server.url);
    cleanups.add(() => seed.close());
    await pushImage(seed);
    const layer = Buffer.from('layer of reload');
    const rules = [{ users: ['ana'], anonymous: true, allow: ['pull'] }] as const;
    const variants: Partial<RegistryOptions>[] = [
      { access: { htpasswd: users, challenge: 'basic', rules } },
      {
        repositories: [
          { ...local, sparse: true },
          { name: 'other', type: 'local' },
        ],
      },
      { access: 'read-only', limits: { maxBlobBytes: 1e6, maxRequestsPerMinutePerPrincipal: 1e6 } },
      { access: { htpasswd: users, challenge: 'basic', rules }, hosts: { 'x.example': 'local' } },
      { repositories: [{ ...local, description: 'changed' }] },
    ];
    const done = new AbortController();
    let pulls = 0;
    const pullAll = async (): Promise<void> => {
      const client = new Client(server.url);
      cleanups.add(() => client.close());
      while (!done.signal.aborted) {
        const headers = pulls % 2 === 0 ? { Authorization: basic('ana') } : {};
        const found = await client.get('/v2/local/app/manifests/v1', headers);
        expect([found.status, found.body.equals(manifest.bytes)]).toEqual([200, true]);
        const blob = await client.get(`/v2/local/app/blobs/${digest(layer)}`, headers);
        expect([blob.status, blob.body.equals(layer)]).toEqual([200, true]);
        pulls++;
      }
    };
    const pulling = Array.from({ length: 8 }, pullAll);
    const reload = reloadOf(server);
    try {
      for (let i = 0; i < 50; i++) {
        const before = pulls;
        expect(await reload(variants[i % variants.length] ?? {})).not.toEqual([]);
        await expect.poll(() => pulls, { interval: 1 }).toBeGreaterThan(before);
      }
    } finally {
      done.abort();
      await Promise.all(pulling);
    }
    expect(server.log.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
  });

  it('of concurrent reloads take turns, and the last one wins', async () => {
    const { server, reload } = await start();
    const names = ['a', 'b', 'c', 'd'];
    await Promise.all(names.map((name) => reload({ repositories: [{ name, type: 'local' }] })));
    expect(server.registry.repositories.list().map(({ name }) => name)).toEqual(['d']);
  });
});
