import { afterEach, describe, expect, it } from 'vitest';
import type { HookDecision, HookedDelete, HookedManifestPut, HookedTagMove, HookOptions } from '../../../src/index.js';
import { json } from '../../support/access/access.js';
import type { Answer, Client } from '../../support/clients/client.js';
import { runJob } from '../../support/clients/jobs.js';
import { buildImage, entriesOf, layoutOf, tarOf } from '../../support/content/archives.js';
import {
  describeManifest,
  imageManifest,
  indexManifest,
  pushBlob,
  pushManifest,
} from '../../support/content/content.js';
import { startSync, type SyncScene } from '../../support/upstreams/sync-scene.js';
import { Cleanups, startRemote, type RemoteScene } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const one = imageManifest('one');
const two = imageManifest('two');
const refusal = { refuse: 'ask the platform team' };
const path = (reference: string, name = 'local/app'): string => `/v2/${name}/manifests/${reference}`;

/** Decisions by what is about to change; the tests replace them. */
interface Decisions {
  put(put: HookedManifestPut): HookDecision | Promise<HookDecision>;
  move(move: HookedTagMove): HookDecision | Promise<HookDecision>;
  delete(deletion: HookedDelete): HookDecision | Promise<HookDecision>;
}

const decisions = (): Decisions => ({ put: () => {}, move: () => {}, delete: () => {} });

function hooksOf(decide: Decisions): HookOptions {
  return {
    timeoutSeconds: 60,
    beforeManifestPut: (put) => decide.put(put),
    beforeTagMove: (move) => decide.move(move),
    beforeDelete: (deletion) => decide.delete(deletion),
  };
}

async function start(): Promise<RemoteScene & { readonly decide: Decisions }> {
  const decide = decisions();
  const others = () => [{ name: 'all', type: 'virtual', members: ['local', 'hub'], pushTo: 'local' } as const];
  const retention = { policies: [{ names: ['local/**'], keep: [{ tags: ['v*'] }], maxShare: 1 }] };
  return { ...(await startRemote(cleanups, {}, { others, retention, hooks: hooksOf(decide) })), decide };
}

const put = (client: Client, name = 'local/app', tag = 'v1', manifest = one): Promise<Answer> =>
  client.put(path(tag, name), { headers: { 'Content-Type': manifest.type }, body: manifest.bytes });
const post = (client: Client, place: string, body: object): Promise<Answer> =>
  client.post(`/api/v1/repositories/${place}`, { headers: json, body: JSON.stringify(body) });

describe('the hook for manifests', () => {
  it.each(['local/app', 'all/app'])('refuses a push to %s with its reason, and nothing is stored', async (name) => {
    const { client, decide } = await start();
    decide.put = () => refusal;
    const answer = await put(client, name);
    expect([answer.status, answer.json()]).toMatchObject([
      403,
      { errors: [{ code: 'DENIED', message: refusal.refuse, detail: { name, hook: 'beforeManifestPut' } }] },
    ]);
    for (const reference of ['v1', one.digest]) expect((await client.get(path(reference, name))).status).toBe(404);
  });

  it('is given the manifest, its tags, both names, and blobs that a member of a virtual repository has', async () => {
    const { client, decide, fault } = await start();
    const { manifest, config } = fault.images.addImage('app', 'latest');
    expect((await client.get(path('latest', 'hub/app'))).status).toBe(200);
    const { digest } = (JSON.parse(manifest.bytes.toString()) as { config: { digest: string } }).config;
    expect((await client.get(`/v2/hub/app/blobs/${digest}`)).status).toBe(200);
    const asked: unknown[] = [];
    decide.put = async (asking) => {
      asked.push(asking, (await asking.read.blob(asking.manifest.config?.digest ?? ''))?.toString());
    };
    expect((await put(client, 'all/app', 'v1', manifest)).status).toBe(201);
    expect(asked).toMatchObject([
      {
        image: { repository: 'local', image: 'app' },
        requested: { repository: 'all', image: 'app' },
        manifest: { digest: manifest.digest, layers: [{}] },
        tags: ['v1'],
        actor: { principal: 'anonymous' },
      },
      config.toString(),
    ]);
  });

  it('decides about the manifests that come back from the trash, children first, also without a tag', async () => {
    const { client, decide } = await start();
    await put(client);
    const index = indexManifest([describeManifest(one)]);
    await put(client, 'local/app', 'multi', index);
    for (const { digest } of [index, one]) expect((await client.delete(path(digest))).status).toBe(202);
    const asked: object[] = [];
    decide.put = ({ manifest, tags, requested, actor }) => {
      asked.push({ digest: manifest.digest, bytes: manifest.bytes.length, tags, requested, via: actor.via });
      return manifest.digest === index.digest ? refusal : undefined;
    };
    const restore = { image: 'app', digest: index.digest, tags: [] };
    const answer = await post(client, 'local/trash/restore', restore);
    expect([answer.status, answer.json()]).toMatchObject([403, { errors: [{ message: refusal.refuse }] }]);
    const common = { tags: [], requested: { repository: 'local', image: 'app' }, via: 'anonymous' };
    expect(asked).toEqual([one, index].map(({ digest, bytes }) => ({ digest, bytes: bytes.length, ...common })));
    expect((await client.get(path(one.digest))).status).toBe(404);
    decide.put = () => {};
    expect((await post(client, 'local/trash/restore', restore)).status).toBe(200);
  });

  it('decides about each manifest of an archive', async () => {
    const { client, decide } = await start();
    decide.put = ({ tags }) => (tags.includes('v2' as never) ? refusal : undefined);
    for (const [tag, status] of [
      ['v1', 201],
      ['v2', 403],
    ] as const) {
      const body = await tarOf(entriesOf(layoutOf(buildImage(tag), tag)));
      const headers = { 'Content-Type': 'application/x-tar' };
      const answer = await client.post('/api/v1/repositories/local/import?image=team/app', { headers, body });
      expect(answer.status, answer.body.toString()).toBe(status);
    }
  });

  it('fails closed', async () => {
    const { client, decide, server } = await start();
    decide.put = () => Promise.reject(new Error('broken'));
    expect((await put(client)).status).toBe(503);
    expect(server.log.filter(({ message }) => message === 'hook failed')).toHaveLength(1);
    decide.put = () => {};
    expect((await put(client)).status).toBe(201);
  });
});

describe('the hook for tags', () => {
  const moves: HookedTagMove[] = [];
  const noting = (move: HookedTagMove): HookDecision => void moves.push(move);
  afterEach(() => moves.splice(0));

  it('is called for a new tag, for a moved one and for a restored one, but not for one that stays', async () => {
    const { client, decide } = await start();
    decide.move = noting;
    await put(client);
    await put(client);
    await put(client, 'all/app', 'v1', two);
    expect(moves).toMatchObject([
      { tag: 'v1', manifest: { digest: one.digest } },
      { tag: 'v1', manifest: { digest: two.digest }, was: one.digest, requested: { repository: 'all' } },
    ]);
    expect(moves[0]).not.toHaveProperty('was');
  });

  it.each(['local', 'all'])('refuses a move in %s, and a move back', async (repository) => {
    const { client, decide } = await start();
    await put(client);
    await put(client, 'local/app', 'v2', two);
    decide.move = (move) => {
      moves.push(move);
      return refusal;
    };
    const answer = await post(client, `${repository}/images/app/tag`, { tag: 'v1', reference: 'v2' });
    expect([answer.status, answer.json()]).toMatchObject([403, { errors: [{ message: refusal.refuse }] }]);
    expect((await put(client, `${repository}/app`, 'v1', two)).status).toBe(403);
    expect((await client.get(path('v1'))).body).toEqual(one.bytes);
    const expected = { tag: 'v1', was: one.digest, manifest: { digest: two.digest }, requested: { repository } };
    expect(moves).toMatchObject([expected, expected]);
  });

  it('refuses tags that come back from the trash', async () => {
    const { client, decide } = await start();
    await put(client);
    await client.delete(path(one.digest));
    decide.move = (move) => {
      moves.push(move);
      return refusal;
    };
    const restore = { image: 'app', digest: one.digest };
    expect((await post(client, 'local/trash/restore', restore)).status).toBe(403);
    expect((await post(client, 'local/trash/restore', { ...restore, tags: [] })).status).toBe(200);
    expect(moves).toMatchObject([{ tag: 'v1', manifest: { digest: one.digest, layers: [{}] } }]);
  });

  it('refuses a push whose tag moved since the hook decided', async () => {
    const { client, decide } = await start();
    await put(client);
    let isFirst = true;
    decide.move = async () => {
      if (!isFirst) return;
      isFirst = false;
      expect((await put(client, 'local/app', 'v1', imageManifest('three'))).status).toBe(201);
    };
    expect((await put(client, 'local/app', 'v1', two)).status).toBe(503);
    expect((await put(client, 'local/app', 'v1', two)).status).toBe(201);
  });
});

describe('the hook for deletes', () => {
  it.each(['local', 'all'])('refuses to delete a tag, a manifest and a blob through %s', async (repository) => {
    const { client, decide } = await start();
    const blob = await pushBlob(client, 'local/app', Buffer.from('layer of one'));
    await put(client);
    const asked: HookedDelete[] = [];
    decide.delete = (deletion) => {
      asked.push(deletion);
      return deletion.kind === 'tag' && asked.length > 1 ? undefined : refusal;
    };
    const places = [path('v1', `${repository}/app`), path(one.digest, `${repository}/app`)];
    for (const place of [...places, `/v2/${repository}/app/blobs/${blob}`]) {
      const answer = await client.delete(place);
      expect([answer.status, answer.json()], place).toMatchObject([403, { errors: [{ message: refusal.refuse }] }]);
    }
    expect(asked).toMatchObject([
      { kind: 'tag', tag: 'v1', digest: one.digest, manifest: { bytes: one.bytes }, requested: { repository } },
      { kind: 'tag', tag: 'v1', digest: one.digest },
      { kind: 'manifest', digest: one.digest, manifest: { bytes: one.bytes } },
      { kind: 'blob', digest: blob },
    ]);
    expect((await client.get(path('v1'))).status).toBe(200);
  });

  it('is not called for what does not exist, and deletes what it permits', async () => {
    const { client, decide } = await start();
    await put(client);
    let calls = 0;
    decide.delete = () => void calls++;
    for (const reference of ['absent', two.digest]) expect((await client.delete(path(reference))).status).toBe(404);
    expect(calls).toBe(0);
    for (const reference of ['v1', one.digest]) expect((await client.delete(path(reference))).status).toBe(202);
    expect(calls).toBe(2);
  });

  it('keeps the refused parts of a bulk deletion, and what they need, also in its preview', async () => {
    const { client, decide } = await start();
    const index = indexManifest([describeManifest(one)]);
    await pushManifest(client, 'local/app', one.digest, one);
    await pushManifest(client, 'local/app', 'index', index);
    await put(client, 'local/app', 'kept', two);
    decide.delete = (deletion) =>
      (deletion.kind === 'tag' && deletion.tag === 'kept') || deletion.digest === index.digest ? refusal : undefined;
    for (const dryRun of [true, false]) {
      const answer = await post(client, 'all/images/app/delete', { all: true, dry_run: dryRun });
      expect(answer.json()).toMatchObject({
        tags: [],
        manifests: [],
        refused: expect.arrayContaining([
          {
            tag: 'kept',
            digest: two.digest,
            reason: 'hook',
            by: refusal.refuse,
            message: `tag "kept" is kept by a hook: ${refusal.refuse}`,
          },
          {
            digest: index.digest,
            reason: 'hook',
            by: refusal.refuse,
            message: `${index.digest} is kept by a hook: ${refusal.refuse}`,
          },
        ]) as unknown,
      });
    }
    for (const reference of ['index', 'kept', one.digest]) expect((await client.get(path(reference))).status).toBe(200);
    decide.delete = (deletion) =>
      deletion.digest === index.digest && deletion.kind === 'manifest' ? refusal : undefined;
    const answer = await post(client, 'local/images/app/delete', { tags: ['index', 'kept'] });
    expect(answer.json()).toMatchObject({
      tags: [{ tag: 'index' }, { tag: 'kept' }],
      manifests: [{ digest: two.digest }],
      stays: [{ digest: index.digest, because: 'hook', by: refusal.refuse }],
      refused: [],
    });
    expect((await client.get(path(one.digest))).status).toBe(200);
  });

  it('keeps content that it refuses to delete from retention', async () => {
    const { client, decide } = await start();
    for (const tag of ['a', 'b', 'c']) await put(client, 'local/app', tag, imageManifest(tag));
    const asked: HookedDelete[] = [];
    decide.delete = (deletion) => {
      asked.push(deletion);
      if (deletion.kind === 'tag' && deletion.tag === 'a') return refusal;
      if (deletion.kind === 'tag' && deletion.tag === 'b') throw new Error('broken');
      return undefined;
    };
    const job = await runJob(client, { kind: 'retention' });
    expect((await client.post(`/api/v1/jobs/${job.id}/confirm`)).status).toBe(202);
    await expect
      .poll(async () => ((await client.get('/v2/local/app/tags/list')).json() as { tags: string[] }).tags)
      .toEqual(['a', 'b']);
    expect(asked.every(({ actor }) => actor.via === 'job')).toBe(true);
  });
});

it('hooks decide about the pushes and deletes of a sync, which reports what they refused', async () => {
  const decide = decisions();
  const scene: SyncScene = await startSync(cleanups, { sparse: true, hooks: hooksOf(decide) });
  scene.fault.images.addImage('app', 'v1');
  scene.fault.images.addImage('app', 'v2');
  await scene.define({ from: 'hub', to: 'mirror', images: ['app'], every_seconds: 0, delete: true });
  decide.put = ({ tags }) => (tags.includes('v2' as never) ? refusal : undefined);
  const first = await scene.run();
  expect(first.report?.problems).toMatchObject([
    { image: 'app', tag: 'v2', error: expect.stringContaining(refusal.refuse) as string },
  ]);
  expect(await scene.tagsOf('app')).toEqual(['v1']);

  const deletes: HookedDelete[] = [];
  decide.delete = (deletion) => {
    deletes.push(deletion);
    return refusal;
  };
  scene.fault.images.tags.delete('app:v1');
  const second = await scene.run();
  expect(second.report?.problems).toMatchObject([{ tag: 'v2' }, { image: 'app', tag: 'v1', error: refusal.refuse }]);
  expect(deletes).toMatchObject([{ kind: 'tag', tag: 'v1', actor: { via: 'job' } }]);
  expect(await scene.tagsOf('app')).toEqual(['v1']);
});
