import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { createMemoryDisk, MemoryBlobStore } from '../../support/storage/memory-blob-store.js';
import { basic, manage, pushImage, startAccess, type AccessScene, type Ask } from '../../support/access/access.js';
import { digest } from '../../support/content/content.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

interface Problem {
  readonly kind: string;
  readonly severity: string;
  readonly what: string;
  readonly where: string | null;
  readonly since: string | null;
  readonly advice: string;
}
interface Status {
  readonly stored_bytes: number;
  readonly reclaimable: { readonly bytes: number; readonly computed_at: string } | null;
  readonly trash_bytes?: number | null;
  readonly disk?: {
    readonly free_bytes: number;
    readonly total_bytes: number;
    readonly full_in_days: number | null;
  } | null;
  readonly counted_at: string | null;
  readonly unique_counted_at: string | null;
  readonly repositories: readonly Readonly<Record<string, unknown>>[];
  readonly problems?: readonly Problem[];
}

const cleanups = new Cleanups();
let scene: AccessScene;
let root: Ask;

beforeAll(async () => {
  scene = await startAccess(cleanups, {
    users: ['root', 'watch', 'team', 'part', 'none'],
    garbageCollection: { intervalSeconds: 0 },
    repositories: [
      { name: 'local', type: 'local', maxBytes: 4000 },
      { name: 'other', type: 'local' },
      { name: 'secret', type: 'local' },
      { name: 'hub', type: 'remote', url: 'http://127.0.0.1:1' },
      { name: 'pass', type: 'remote', url: 'http://127.0.0.1:1', cache: false },
      { name: 'both', type: 'virtual', members: ['local', 'hub'], pushTo: 'local' },
    ],
    access: {
      rules: [
        { users: ['root'], allow: ['admin'] },
        { users: ['watch'], allow: ['monitor'] },
        { users: ['team'], allow: ['pull'], names: ['local/**', 'hub/**', 'both/**'] },
        { users: ['part'], allow: ['pull'], names: ['local/team/*'] },
      ],
    },
  });
  root = scene.as(basic('root'));
  await pushImage(root, 'local/team/app', 'shared');
  await pushImage(root, 'local/team/more', 'shared');
  await pushImage(root, 'other/app', 'shared');
  await pushImage(root, 'secret/app', 'alone', 'v2');
});
afterAll(() => cleanups.run());

async function statusFor(user: string): Promise<Status> {
  const answer = await scene.as(basic(user))('GET', '/api/v1/status');
  expect(answer.status, answer.body.toString()).toBe(200);
  return answer.json() as Status;
}

/** Waits until all figures are known: they are computed in the background. */
async function wholeStatus(user = 'root'): Promise<Status> {
  for (;;) {
    const status = await statusFor(user);
    if (status.counted_at !== null && status.unique_counted_at !== null && status.reclaimable !== null) return status;
  }
}

const kinds = ({ problems = [] }: Status): string[] => problems.map(({ kind }) => kind);

describe('GET /api/v1/status', () => {
  it('reports the figures of the registry and of each repository', async () => {
    const status = await wholeStatus();
    const sizeOf = async (image: string): Promise<number> => {
      const answer = await root('GET', `/api/v1/repositories/${image.replace('/', '/images/')}/summary`);
      return (answer.json() as { size_bytes: number }).size_bytes;
    };
    const shared = await sizeOf('local/team/app');
    const alone = await sizeOf('secret/app');
    expect(status.stored_bytes).toBe(shared + alone);
    expect(status.reclaimable?.bytes).toBe(0);
    expect(status.trash_bytes).toBe(0);
    const time = expect.stringMatching(/^\d{4}-.*Z$/) as string;
    expect(status.repositories).toEqual([
      { name: 'both', repo_type: 'virtual' },
      {
        name: 'hub',
        repo_type: 'remote',
        images: 0,
        tags: 0,
        bytes: 0,
        unique_bytes: 0,
        pushed_at: null,
        counters: { hit: 0, miss: 0, stale: 0, refresh: 0, upstream_bytes: 0, since: time },
        upstream: { host: '127.0.0.1:1', state: 'closed', failures: 0, budget: 1 },
      },
      { name: 'local', repo_type: 'local', images: 2, tags: 2, bytes: 2 * shared, unique_bytes: 0, pushed_at: time },
      { name: 'other', repo_type: 'local', images: 1, tags: 1, bytes: shared, unique_bytes: 0, pushed_at: time },
      { name: 'pass', repo_type: 'remote', images: 0, tags: 0, bytes: 0, unique_bytes: 0, pushed_at: null },
      { name: 'secret', repo_type: 'local', images: 1, tags: 1, bytes: alone, unique_bytes: alone, pushed_at: time },
    ]);
  });

  it.each([
    ['root', 'admin', ['both', 'hub', 'local', 'other', 'pass', 'secret'], true],
    ['watch', 'monitor', ['both', 'hub', 'local', 'other', 'pass', 'secret'], true],
    ['team', 'pull of whole repositories', ['both', 'hub', 'local'], false],
    ['part', 'pull of some images', ['local'], false],
  ])('shows %s, who has %s, the repositories %j', async (user, _permission, names, isMonitor) => {
    const status = await wholeStatus(user);
    expect(status.repositories.map(({ name }) => name)).toEqual(names);
    expect('disk' in status).toBe(isMonitor);
    expect('trash_bytes' in status).toBe(isMonitor);
    expect('problems' in status).toBe(isMonitor);
  });

  it('shows no figures of a repository to those who may pull only some of its images', async () => {
    expect((await wholeStatus('part')).repositories).toEqual([{ name: 'local', repo_type: 'local' }]);
    expect((await wholeStatus('team')).repositories[2]).toMatchObject({ name: 'local', images: 2 });
  });

  it.each([
    ['someone who did not log in', undefined, '', 401],
    ['a user who may pull nothing', 'none', '', 403],
    ['an unknown query parameter', 'root', '?n=1', 400],
  ])('refuses %s', async (_who, user, query, code) => {
    const ask = user === undefined ? scene.ask : scene.as(basic(user));
    expect((await ask('GET', `/api/v1/status${query}`)).status).toBe(code);
  });

  it('reports a quota that is nearly full, with advice, until tags are deleted', async () => {
    expect(kinds(await statusFor('watch'))).not.toContain('quota-nearly-full');
    const { stored_bytes: before } = await statusFor('root');
    const blob = Buffer.alloc(3000);
    await root('POST', `/v2/local/big/blobs/uploads/?digest=${digest(blob)}`, { body: blob });
    const { problems = [] } = await statusFor('watch');
    expect(problems.find(({ kind }) => kind === 'quota-nearly-full')).toMatchObject({
      severity: 'warning',
      where: 'local',
      what: expect.stringMatching(/KiB of 3\.91 KiB are used$/) as string,
      advice: expect.stringContaining('raise the quota') as string,
    });
    expect((await statusFor('root')).stored_bytes).toBe(before + 3000);
    await root('DELETE', `/v2/local/big/blobs/${digest(blob)}`);
    expect(kinds(await statusFor('watch'))).not.toContain('quota-nearly-full');
  });

  it('counts the trash, and what a collection would free after it was emptied', async () => {
    const { manifest } = await pushImage(root, 'other/gone', 'deleted');
    await root('DELETE', `/v2/other/gone/manifests/${manifest.digest}`);
    await manage(root, 'POST', 'gc', {}, 200);
    // An answer has the older figures while the new ones are computed.
    const trashBytes = async () => (await wholeStatus()).trash_bytes;
    await expect.poll(trashBytes).toBeGreaterThan(0);
    await root('DELETE', '/api/v1/repositories/other/trash');
    await manage(root, 'POST', 'gc', { grace_seconds: 0 }, 200);
    await expect.poll(trashBytes).toBe(0);
  });
});

it('reports in how many days the disk is full, at the growth of the last days', async () => {
  const own = new Cleanups();
  const folder = await makeScratchFolder();
  own.add(() => removeScratchFolder(folder));
  const space = async () => ({ freeBytes: 4000, totalBytes: 2 ** 31, reserveBytes: 0, isReserveComplete: true });
  const blobs = Object.assign(new MemoryBlobStore(createMemoryDisk()), { space });
  const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
  const { as } = await startAccess(own, {
    storage: { blobs, metadata },
    repositories: [{ name: 'local', type: 'local' }],
    access: { rules: [{ users: ['root'], allow: ['admin'] }] },
  });
  const asRoot = as(basic('root'));
  const read = async (): Promise<Status['disk']> => ((await asRoot('GET', '/api/v1/status')).json() as Status).disk;
  await pushImage(asRoot, 'local/app');
  expect(await read()).toEqual({ free_bytes: 4000, total_bytes: 2 ** 31, full_in_days: null });
  const none = { images: 1, pulls: 0, pushes: 0, hit: 0, miss: 0, stale: 0, upstreamBytes: 0 };
  const changes = [6, 5, 4, 3, 2].map((daysAgo) => {
    const at = Math.floor(Date.now() / 86_400_000 - daysAgo) * 86_400_000;
    const sample = { at, repositories: { local: { ...none, bytes: 10 * (10 - daysAgo) } } };
    return { type: 'sample.put', step: 'day', sample } as const;
  });
  await metadata.apply(changes, { durable: false });
  // It depends on the size of today, if that is counted already.
  expect((await read())?.full_in_days).toBeGreaterThan(0);
  await own.run();
});
