import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RegistryOptions } from '../../../src/index.js';
import { eventually } from '../../support/eventually.js';
import { Client, type Answer } from '../../support/clients/client.js';
import { imageManifest, pushManifest } from '../../support/content/content.js';
import { startMemoryRegistry, startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups, MovableClock } from '../../support/upstreams/remote.js';

const day = 24 * 3600;
const json = { 'Content-Type': 'application/json' };
const cleanups = new Cleanups();
let clock: MovableClock;
let server: TestRegistry;
let client: Client;

async function start(policy: object, more: Partial<RegistryOptions> = {}): Promise<void> {
  server = await startMemoryRegistry({
    repositories: [{ name: 'local', type: 'local', sparse: true }],
    retention: { policies: [{ names: ['local/**'], ...policy }] },
    ...more,
  });
  cleanups.add(() => server.close());
  client = new Client(server.url);
  cleanups.add(() => client.close());
}

async function push(image: string, ...tags: readonly string[]): Promise<void> {
  for (const tag of tags) {
    await pushManifest(client, `local/${image}`, tag, imageManifest(`${image} ${tag}`));
    clock.advance(60);
  }
}

type Job = Readonly<Record<string, unknown>> & { readonly id: string; readonly state: string; readonly report: object };

/** Starts a job, and returns it when it no longer runs. */
async function run(document: object): Promise<Job> {
  const body = JSON.stringify({ kind: 'retention', ...document });
  const started = await client.post('/api/v1/jobs', { headers: json, body });
  expect(started.status, started.body.toString()).toBe(202);
  return ended((started.json() as Job).id);
}

async function ended(id: string): Promise<Job> {
  return eventually(async () => {
    const job = (await client.get(`/api/v1/jobs/${id}`)).json() as Job;
    expect(job.state).not.toBe('running');
    return job;
  });
}

async function confirm({ id }: Job): Promise<Job> {
  expect((await client.post(`/api/v1/jobs/${id}/confirm`)).status).toBe(202);
  return ended(id);
}

const plan = async ({ id }: Job, query = ''): Promise<Answer> => client.get(`/api/v1/jobs/${id}/plan${query}`);
const tagsOf = async (image: string): Promise<unknown> =>
  ((await client.get(`/v2/local/${image}/tags/list`)).json() as { tags: string[] }).tags;

beforeEach(() => {
  clock = new MovableClock();
});
afterEach(async () => {
  await cleanups.run();
  clock.restore();
});

describe('retention', () => {
  it('plans in a dry run, waits for the confirmation of new policies, and then deletes exactly the plan', async () => {
    await start({ keep: [{ tags: ['v*'] }, { tags: ['**'], newest: 1 }], maxShare: 1 });
    await push('app', 'v1', 'ci-1', 'ci-2', 'ci-3');
    const dry = await run({ dry_run: true });
    expect(dry).toMatchObject({ state: 'succeeded', report: { planned: { images: 1, tags: 2, manifests: 0 } } });
    expect(((await plan(dry)).json() as { items: object[] }).items).toMatchObject([
      { kind: 'tag', repository: 'local', image: 'app', tag: 'ci-1', because: 'no line keeps it', waiting: false },
      { tag: 'ci-2' },
    ]);
    expect(await tagsOf('app')).toHaveLength(4);
    const job = await run({});
    expect(job).toMatchObject({ state: 'waiting', report: { because: 'changed policies', tags_deleted: 0 } });
    expect(await tagsOf('app')).toHaveLength(4);
    expect(await confirm(job)).toMatchObject({ state: 'succeeded', report: { tags_deleted: 2, skipped: 0 } });
    expect(await tagsOf('app')).toEqual(['ci-3', 'v1']);
    await push('app', 'ci-4');
    expect(await run({})).toMatchObject({ state: 'succeeded', report: { tags_deleted: 1 } });
    expect(await tagsOf('app')).toEqual(['ci-4', 'v1']);
  });

  it('does not delete a tag that moved after the plan', async () => {
    await start({ keep: [{ tags: ['v*'] }], maxShare: 1 });
    await push('app', 'v1', 'old');
    const job = await run({});
    await pushManifest(client, 'local/app', 'old', imageManifest('moved'));
    expect(await confirm(job)).toMatchObject({ state: 'partly', report: { tags_deleted: 0, skipped: 1 } });
    expect(await tagsOf('app')).toEqual(['old', 'v1']);
  });

  it('waits for a confirmation of images that would lose too many tags, and carries out the rest', async () => {
    await start({ keep: [{ tags: ['v*'] }], maxShare: 0.5 });
    await push('first', 'x');
    await confirm(await run({}));
    await push('few', 'v1', 'v2', 'ci');
    await push('many', 'v1', 'a', 'b');
    const job = await run({});
    expect(job).toMatchObject({ state: 'waiting', report: { because: 'maxShare', tags_deleted: 1 } });
    expect(await tagsOf('few')).toEqual(['v1', 'v2']);
    expect(await tagsOf('many')).toHaveLength(3);
    expect(await confirm(job)).toMatchObject({ state: 'succeeded', report: { tags_deleted: 2 } });
    expect(await tagsOf('many')).toEqual(['v1']);
  });

  it('moves old untagged manifests to the trash', async () => {
    await start({ untagged: { keepSeconds: day } });
    await push('app', 'latest');
    await pushManifest(client, 'local/app', 'latest', imageManifest('newer'));
    clock.advance(day + 1);
    await pushManifest(client, 'local/app', 'latest', imageManifest('newest'));
    const job = await confirm(await run({}));
    // The second one lost its tag just now.
    expect(job).toMatchObject({ report: { tags_deleted: 0, manifests_deleted: 1 } });
    const { digest } = imageManifest('app latest');
    expect((await client.get(`/v2/local/app/manifests/${digest}`)).status).toBe(404);
    const { items } = (await client.get('/api/v1/repositories/local/trash')).json() as { items: object[] };
    expect(items).toMatchObject([{ digest, by: { via: 'job' } }]);
  });

  it('keeps the manifest of a deleted tag from the time of the deletion', async () => {
    await start({ untagged: { keepSeconds: day } });
    await push('app', 'latest');
    clock.advance(2 * day);
    expect((await client.delete('/v2/local/app/manifests/latest')).status).toBe(202);
    expect(await run({ dry_run: true })).toMatchObject({ report: { planned: { manifests: 0 } } });
    clock.advance(day + 1);
    expect(await run({ dry_run: true })).toMatchObject({ report: { planned: { manifests: 1 } } });
  });

  it('counts pulls as use, also over a restart', async () => {
    const folder = await makeScratchFolder();
    cleanups.add(() => removeScratchFolder(folder));
    const policy = { names: ['**'], keep: [{ tags: ['**'], usedWithinSeconds: day }], maxShare: 1 };
    const open = async (): Promise<void> => {
      server = await startRegistry({
        storage: folder,
        repositories: [{ name: 'local', type: 'local', sparse: true }],
        retention: { policies: [policy] },
      });
      client = new Client(server.url);
    };
    await open();
    await push('app', 'used', 'unused');
    clock.advance(2 * day);
    await client.get('/v2/local/app/manifests/used');
    await client.close();
    await server.close();
    await open();
    cleanups.add(() => server.close());
    cleanups.add(() => client.close());
    await confirm(await run({}));
    expect(await tagsOf('app')).toEqual(['used']);
  });

  it('does not confirm the policies for all images by the plan of some', async () => {
    await start({ keep: [{ tags: ['v*'] }], maxShare: 1 });
    await push('test', 'x');
    await push('prod', 'x');
    const some = await run({ names: ['local/test'] });
    expect(await confirm(some)).toMatchObject({ state: 'succeeded', report: { tags_deleted: 1 } });
    expect(await run({})).toMatchObject({ state: 'waiting', report: { because: 'changed policies' } });
    expect(await tagsOf('prod')).toEqual(['x']);
  });

  it('keeps content that was pushed after the plan was made', async () => {
    await start({ keep: [{ tags: ['**'], usedWithinSeconds: day }], untagged: { keepSeconds: day }, maxShare: 1 });
    await push('app', 'pushed', 'unused');
    clock.advance(2 * day);
    const job = await run({});
    expect(job).toMatchObject({ state: 'waiting', report: { planned: { tags: 2, manifests: 2 } } });
    await pushManifest(client, 'local/app', 'pushed', imageManifest('app pushed'));
    await confirm(job);
    expect(await tagsOf('app')).toEqual(['pushed']);
  });

  it('deletes a manifest together with its tags, which come back when it is restored', async () => {
    await start({ keep: [{ tags: ['v*'] }], untagged: { keepSeconds: 0 }, maxShare: 1 });
    await push('app', 'v1', 'old');
    const { digest } = imageManifest('app old');
    expect(await confirm(await run({}))).toMatchObject({ report: { tags_deleted: 1, manifests_deleted: 1 } });
    const document = JSON.stringify({ image: 'app', digest });
    const restored = await client.post('/api/v1/repositories/local/trash/restore', { headers: json, body: document });
    expect(restored.json()).toMatchObject({ tags: ['old'] });
  });

  it('runs for some images only, and lists a plan in pages', async () => {
    await start({ keep: [{ tags: ['v*'] }], maxShare: 1 });
    await push('a', 'x', 'y', 'z');
    await push('b', 'x');
    const job = await run({ dry_run: true, names: ['local/a'] });
    const first = await plan(job, '?n=2');
    expect(first.json()).toMatchObject({ total: 3, items: [{ tag: 'x' }, { tag: 'y' }] });
    expect(first.headers['link']).toContain('last=2');
    expect((await plan(job, '?n=2&last=2')).json()).toMatchObject({ items: [{ tag: 'z' }] });
    expect((await plan(job, '?last=x')).status).toBe(400);
    expect((await client.get('/api/v1/jobs/retention-none/plan')).status).toBe(404);
  });

  it.each([
    ['no names', { names: [] }],
    ['an unknown parameter', { images: ['a'] }],
  ])('refuses %s', async (_what, params) => {
    await start({});
    const body = JSON.stringify({ kind: 'retention', ...params });
    expect((await client.post('/api/v1/jobs', { headers: json, body })).status).toBe(400);
  });
});
