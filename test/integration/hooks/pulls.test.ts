import { afterEach, describe, expect, it } from 'vitest';
import type { HookedPull, HookOptions, HookPullDecision } from '../../../src/index.js';
import { basic, startAccess } from '../../support/access/access.js';
import { Client } from '../../support/clients/client.js';
import { describeManifest, imageManifest, indexManifest, pushManifest } from '../../support/content/content.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups, startRemote, type RemoteScene } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const refusal = { refuse: 'not in production' };
const one = imageManifest('one');
const two = imageManifest('two');
type Decide = (pull: HookedPull) => HookPullDecision | Promise<HookPullDecision>;

/** Starts repositories of every type with a hook for pulls. */
async function start(decide: Decide, timeoutSeconds = 60): Promise<RemoteScene & { readonly asked: HookedPull[] }> {
  const asked: HookedPull[] = [];
  const beforePull: Decide = (pull) => {
    asked.push(pull);
    return decide(pull);
  };
  const scene = await startRemote(
    cleanups,
    {},
    {
      others: (url) => [
        { name: 'through', type: 'remote', url, cache: false },
        { name: 'all', type: 'virtual', members: ['local', 'hub'], pushTo: 'local' },
      ],
      hooks: { beforePull, timeoutSeconds },
    },
  );
  await pushManifest(scene.client, 'local/team/app', 'v1', one);
  scene.fault.images.addManifest('team/tool', one, 'v1');
  return { ...scene, asked };
}

const names = ['local/team/app', 'all/team/app', 'hub/team/tool', 'all/team/tool', 'through/team/tool'];
const pathOf = (name: string, reference = 'v1'): string => `/v2/${name}/manifests/${reference}`;

describe('the hook for pulls', () => {
  it.each(names)('refuses %s with its reason, to GET and HEAD, by tag and by digest', async (name) => {
    const { client, asked } = await start(() => refusal);
    for (const reference of ['v1', one.digest]) {
      const answer = await client.get(pathOf(name, reference));
      expect([answer.status, answer.json()]).toEqual([
        403,
        { errors: [{ code: 'DENIED', message: refusal.refuse, detail: { name, hook: 'beforePull' } }] },
      ]);
      expect((await client.head(pathOf(name, reference))).status).toBe(403);
    }
    expect(asked).toHaveLength(4);
  });

  it.each(names)('permits %s with the same answer as without a hook', async (name) => {
    const { client } = await start(() => undefined);
    const [got, head] = [await client.get(pathOf(name)), await client.head(pathOf(name))];
    expect([got.status, head.status, got.body]).toEqual([200, 200, one.bytes]);
    for (const header of ['content-type', 'content-length', 'docker-content-digest', 'etag']) {
      expect(head.header(header), header).toBe(got.header(header));
    }
    expect((await client.get(pathOf(name), { 'If-None-Match': got.header('etag') })).status).toBe(304);
  });

  it('is given the image that answers, the image that was requested, the manifest and who asks', async () => {
    const { client, asked } = await start(() => undefined);
    await client.get(pathOf('all/team/tool'));
    await client.head(pathOf('local/team/app', one.digest));
    expect(asked).toMatchObject([
      {
        image: { repository: 'hub', image: 'team/tool' },
        requested: { repository: 'all', image: 'team/tool' },
        reference: { tag: 'v1' },
        manifest: { digest: one.digest, mediaType: one.type, bytes: one.bytes, layers: [{ size: 12 }] },
        actor: { principal: 'anonymous', via: 'anonymous' },
      },
      {
        image: { repository: 'local', image: 'team/app' },
        requested: { repository: 'local', image: 'team/app' },
        reference: { digest: one.digest },
      },
    ]);
  });

  it('is not called for blobs, for absent manifests and for those who may not pull', async () => {
    const asked: unknown[] = [];
    const { as, ask } = await startAccess(cleanups, {
      users: ['ana'],
      repositories: [{ name: 'local', type: 'local', sparse: true }],
      access: { rules: [{ names: ['local'], users: ['ana'], allow: ['pull', 'push'] }], challenge: 'basic' },
      hooks: { beforePull: (pull) => void asked.push(pull) },
    });
    const ana = as(basic('ana'));
    await ana('PUT', pathOf('local/app'), { headers: { 'Content-Type': one.type }, body: one.bytes });
    expect((await ana('GET', pathOf('local/app', 'absent'))).status).toBe(404);
    expect((await ana('GET', `/v2/local/app/blobs/${one.digest}`)).status).toBe(404);
    for (const reference of ['v1', 'absent'])
      expect((await ask('GET', pathOf('local/app', reference))).status).toBe(401);
    expect(asked).toEqual([]);
    expect((await ana('GET', pathOf('local/app'))).status).toBe(200);
    expect(asked).toMatchObject([{ actor: { principal: 'ana', via: 'basic' } }]);
  });

  it('reads tags, manifests, referrers and blobs of the image that answers', async () => {
    const found: unknown[] = [];
    const { client, fault } = await start(async ({ read, manifest }) => {
      found.push(
        (await read.tags()).map(({ name }) => name),
        (await read.manifest('v1'))?.digest,
        await read.manifest('absent'),
        (await read.referrers(manifest.digest)).map(({ digest }) => digest),
        (await read.blob(manifest.config?.digest ?? ''))?.toString(),
        await read.blob(two.digest),
      );
    });
    fault.images.addBlob('team/tool', Buffer.from('config of one'));
    const subject = { mediaType: one.type, digest: one.digest, size: one.bytes.length };
    const signature = fault.images.addManifest('team/tool', imageManifest('signature', { subject }));
    expect((await client.get(pathOf('all/team/tool'))).status).toBe(200);
    expect(found).toEqual([['v1'], one.digest, undefined, [signature.digest], 'config of one', undefined]);
  });

  it.each(['local', 'hub'])(
    'finds the stored indexes of %s that list a manifest, but not its referrers',
    async (repository) => {
      const found: unknown[] = [];
      const { client, fault } = await start(async ({ read, reference }) => {
        if ('digest' in reference) found.push(await read.indexesOf(one.digest), await read.indexesOf(two.digest));
      });
      const indexes = [
        indexManifest([describeManifest(one)]),
        indexManifest([describeManifest(one), describeManifest(two)]),
      ];
      const signature = imageManifest('signature', { subject: describeManifest(one) });
      for (const manifest of [one, two, ...indexes, signature]) {
        await pushManifest(client, 'local/team/tool', manifest.digest, manifest);
        fault.images.addManifest('team/tool', manifest);
      }
      const name = `${repository}/team/tool`;
      for (const { digest } of [...indexes, signature, one])
        expect((await client.get(pathOf(name, digest))).status).toBe(200);
      const both = indexes.map(({ digest }) => digest).toSorted();
      expect(found.slice(-2)).toEqual([both, [indexes[1]?.digest]]);
    },
  );

  it.each(names)('serves another manifest of %s in place of the one that the tag names', async (name) => {
    const { client, fault } = await start(({ reference }) => ('tag' in reference ? { serve: two.digest } : undefined));
    await pushManifest(client, 'local/team/app', 'v2', two);
    fault.images.addManifest('team/tool', two);
    const [got, head] = [await client.get(pathOf(name)), await client.head(pathOf(name))];
    expect([got.status, got.body, got.header('docker-content-digest')]).toEqual([200, two.bytes, two.digest]);
    expect([head.status, head.header('etag'), head.header('content-length')]).toEqual([
      200,
      got.header('etag'),
      String(two.bytes.length),
    ]);
  });

  it('decides about exports too, and about each manifest of them', async () => {
    const { client } = await start(({ reference }) => ('digest' in reference ? refusal : undefined));
    const answer = await client.get('/api/v1/repositories/local/export?name=team/app:v1');
    expect([answer.status, answer.codes]).toEqual([403, ['DENIED']]);
  });

  it.each<[string, Decide]>([
    ['throws', () => Promise.reject(new Error('database password is x'))],
    [
      'throws at once',
      () => {
        throw new Error('database password is x');
      },
    ],
    ['exceeds its time limit', () => new Promise(() => {})],
    ['returns something else', () => false as never],
    ['returns null', () => null as never],
    ['refuses without a reason', () => ({ refuse: '' })],
    ['refuses and serves', () => ({ refuse: 'x', serve: two.digest })],
    ['serves what is not a digest', () => ({ serve: 'latest' })],
    ['serves what the image does not have', () => ({ serve: two.digest })],
  ])('fails closed and is logged when it %s', async (_what, decide) => {
    const { client, server } = await start(decide, 0.05);
    const before = server.log.length;
    const answer = await client.get(pathOf('local/team/app'));
    expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
    expect(answer.body.toString()).not.toContain('password');
    expect((await client.head(pathOf('local/team/app'))).status).toBe(503);
    const failed = server.log.slice(before).filter(({ message }) => message === 'hook failed');
    expect(failed).toMatchObject([
      { level: 'error', fields: { hook: 'beforePull', repository: 'local', image: 'team/app' } },
      { level: 'error' },
    ]);
  });

  it('cannot serve another manifest for a digest', async () => {
    const { client } = await start(() => ({ serve: one.digest }));
    expect((await client.get(pathOf('local/team/app', one.digest))).status).toBe(503);
  });

  it('aborts its signal when the time limit passes', async () => {
    const aborted: Promise<unknown>[] = [];
    const { client } = await start(({ signal }) => {
      aborted.push(new Promise((resolve) => signal.addEventListener('abort', resolve)));
      return new Promise(() => {});
    }, 0.05);
    await client.get(pathOf('local/team/app'));
    await aborted[0];
  });

  it('survives a reload without hooks, and is removed by a reload with empty hooks', async () => {
    const { client, server } = await start(() => refusal);
    const { hooks: _hooks, ...options } = server.options;
    await server.registry.reload({ ...options, limits: { maxBlobBytes: 1000 } });
    expect((await client.get(pathOf('local/team/app'))).status).toBe(403);
    await server.registry.reload({ ...options, hooks: { beforePull: () => ({ refuse: 'another reason' }) } });
    expect((await client.get(pathOf('local/team/app'))).body.toString()).toContain('another reason');
    await server.registry.reload({ ...options, hooks: {} });
    expect((await client.get(pathOf('local/team/app'))).status).toBe(200);
  });

  it('counts a pull that it permits once, and none that it refuses', async () => {
    const storage = await makeScratchFolder();
    cleanups.add(() => removeScratchFolder(storage));
    const repositories = [{ name: 'local', type: 'local', sparse: true }] as const;
    const decisions: HookPullDecision[] = [refusal];
    const open = async (hooks: HookOptions): Promise<[TestRegistry, Client]> => {
      const server = await startRegistry({ storage, repositories, hooks });
      return [server, new Client(server.url)];
    };
    const [first, client] = await open({ beforePull: () => decisions.shift() });
    await pushManifest(client, 'local/team/app', 'v1', one);
    for (const status of [403, 200]) expect((await client.get(pathOf('local/team/app'))).status).toBe(status);
    await client.close();
    // The end writes the counts.
    await first.close();
    const [second, later] = await open({});
    cleanups.add(() => second.close());
    cleanups.add(() => later.close());
    const tags = await later.get('/api/v1/repositories/local/images/team/app/tags');
    expect(tags.json()).toMatchObject({ tags: [{ pulls: 1 }] });
  });
});
