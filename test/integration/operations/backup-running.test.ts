import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { restoreBackup, verifyBackup } from '../../../src/storage/backup/backups.js';
import { Client } from '../../support/clients/client.js';
import { postJob, runJob, type JobDocument } from '../../support/clients/jobs.js';
import { runCommand } from '../../support/servers/run-command.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { digest, pushBlob, someBytes } from '../../support/content/content.js';
import {
  blobFile,
  flipByte,
  pullsCompletely,
  pushSmallImage,
  quiet,
  type PushedImage,
} from '../../support/storage/backup-scene.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

let folder: string;
let registry: TestRegistry;
let client: Client;

beforeEach(async () => {
  folder = await makeScratchFolder();
  registry = await startRegistry({
    storage: path.join(folder, 'data'),
    backups: { folder: path.join(folder, 'backups') },
    ...quiet,
  });
  client = new Client(registry.url);
});
afterEach(async () => {
  await client.close();
  await registry.close();
  await removeScratchFolder(folder);
});

const backUp = (document: object): Promise<JobDocument> => runJob(client, { kind: 'backup', ...document });

/** Frees what nothing refers to now. Spares running pushes. */
const collectNow = (one: Client): Promise<unknown> =>
  one.post('/api/v1/gc', { headers: { 'Content-Type': 'application/json' }, body: '{"grace_seconds":0}' });

describe('a backup of a running registry', () => {
  it('is made by the command, which prints the job', async () => {
    await pushSmallImage(client, 'local/a', 'v1', 3000);
    const { code, stdout, stderr } = await runCommand(['backup', 'nightly', '--url', registry.url, '--json']);
    expect([code, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toMatchObject({ kind: 'backup', state: 'succeeded', report: { folder: 'nightly' } });
    expect(await verifyBackup(path.join(folder, 'backups', 'nightly'))).toMatchObject({ images: 1, damaged: [] });
  });

  it('contains blobs that no manifest names yet, which may be unsynced', async () => {
    const layer = someBytes('layer', 3000);
    await pushBlob(client, 'local/a', layer);
    expect(await backUp({ folder: 'nightly' })).toMatchObject({ report: { damaged_count: 0 } });
    expect(await readFile(blobFile(path.join(folder, 'backups', 'nightly'), layer))).toEqual(layer);
  });

  it('contains every image acknowledged before it, complete, under 8 clients that push, delete and collect', async () => {
    const acknowledged: PushedImage[] = [];
    const deleted = new Set<PushedImage>();
    const stop = new AbortController();
    let isDeleting = false;
    const clients = Array.from({ length: 8 }, () => new Client(registry.url));
    const working = clients.map(async (one, i) => {
      for (let round = 0; !stop.signal.aborted; round++) {
        acknowledged.push(await pushSmallImage(one, `local/c${i}`, `r${round}`, 3000));
        const old = isDeleting
          ? acknowledged.find((image) => image.name === `local/c${i}` && !deleted.has(image))
          : undefined;
        if (old === undefined) continue;
        deleted.add(old);
        await one.delete(`/v2/${old.name}/manifests/${old.manifest.digest}`);
        await collectNow(one);
      }
    });
    while (acknowledged.length < 24) await new Promise((resolve) => setTimeout(resolve, 5));
    const before = acknowledged.slice();
    isDeleting = true;
    const job = await backUp({ folder: 'nightly' });
    stop.abort();
    await Promise.all(working);
    for (const one of clients) await one.close();
    expect(job).toMatchObject({ state: 'succeeded', report: { folder: 'nightly', damaged_count: 0 } });

    const backup = path.join(folder, 'backups', 'nightly');
    expect(await verifyBackup(backup)).toMatchObject({ damaged: [], damagedIndexFiles: [] });
    const restored = path.join(folder, 'restored');
    await restoreBackup(backup, restored);
    const second = await startRegistry({ storage: restored, reserveBytes: 0 });
    const reader = new Client(second.url);
    for (const image of before) {
      const found = await reader.head(`/v2/${image.name}/manifests/${image.tag}`);
      if (found.status === 404) expect(deleted.has(image)).toBe(true);
      else expect(await pullsCompletely(reader, image)).toBe(true);
    }
    await reader.close();
    await second.close();
  });

  it('keeps the bytes of deleted content until it has ended, also when it fails', async () => {
    const image = await pushSmallImage(client, 'local/a', '1');
    const stored = blobFile(registry.folder, image.layer);
    await backUp({ folder: 'a/b' });
    expect(await backUp({ folder: 'a' })).toMatchObject({ state: 'failed' });
    await client.delete(`/v2/local/a/manifests/${image.manifest.digest}`);
    await client.delete(`/v2/local/a/blobs/${digest(image.layer)}`);
    await runJob(client, { kind: 'garbage', grace_seconds: 0 });
    expect(existsSync(stored)).toBe(false);
  });

  it('takes no bytes that a scrub found damaged, and keeps its older copy of them', async () => {
    const [kept, lost] = [await pushSmallImage(client, 'local/a', '1'), await pushSmallImage(client, 'local/b', '1')];
    // Copies, as on another disk: the damage does not reach them.
    const backup = path.join(folder, 'backups');
    await backUp({});
    await rm(blobFile(backup, lost.layer));
    for (const { layer } of [kept, lost]) await flipByte(blobFile(registry.folder, layer));
    await runJob(client, { kind: 'scrub' });
    const job = await backUp({});
    expect(job).toMatchObject({ state: 'partly', report: { damaged_count: 2 } });
    const use = [{ repository: 'local', image: 'b', tag: '1' }];
    expect((await verifyBackup(backup)).damaged).toMatchObject([
      { digest: digest(lost.layer), problem: 'missing', uses: use },
    ]);
    const restored = path.join(folder, 'restored');
    await restoreBackup(backup, restored);
    const second = await startRegistry({ ...quiet, storage: restored });
    const reader = new Client(second.url);
    expect(await pullsCompletely(reader, kept)).toBe(true);
    expect(await pullsCompletely(reader, lost)).toBe(false);
    expect(await pullsCompletely(reader, await pushSmallImage(reader, 'local/b', '1'))).toBe(true);
    await reader.close();
    await second.close();
  });

  it('emits backup.completed', async () => {
    const events: unknown[] = [];
    registry.registry.events.on('backup.completed', (report) => events.push(report));
    await pushSmallImage(client, 'local/a', '1');
    await backUp({});
    expect(events).toMatchObject([{ blobs: 3, damaged: [], folder: path.join(folder, 'backups') }]);
  });
});

describe('a backup through the API refuses', () => {
  it.each([
    ['a path outside of the folder', { folder: '../x' }, 'must be a path inside the folder that backups.folder names'],
    ['another absolute path', { folder: '/etc' }, 'must be a path inside the folder that backups.folder names'],
    ['a path that is not text', { folder: 7 }, 'must be a string'],
    ['an unknown parameter', { directory: 'x' }, 'unknown option "directory"'],
  ])('%s', async (_name, document, problem) => {
    const answer = await postJob(client, { kind: 'backup', ...document });
    expect(answer.status).toBe(400);
    expect(JSON.stringify(await answer.json())).toContain(JSON.stringify(problem).slice(1, -1));
  });

  it('where the command names no registry that has a folder for backups', async () => {
    const other = await startRegistry({ reserveBytes: 0 });
    const { code, stderr } = await runCommand(['backup', '--url', other.url]);
    expect([code, stderr]).toEqual([1, expect.stringContaining('set backups.folder')]);
    await other.close();
  });

  it('where backups.folder is not set', async () => {
    const other = await startRegistry({ reserveBytes: 0 });
    const one = new Client(other.url);
    const answer = await postJob(one, { kind: 'backup' });
    expect([answer.status, answer.body.toString()]).toEqual([409, expect.stringContaining('set backups.folder')]);
    await one.close();
    await other.close();
  });

  it('a folder with other content, without naming paths', async () => {
    await backUp({ folder: 'a/b' });
    const job = await backUp({ folder: 'a' });
    expect(job).toMatchObject({
      state: 'failed',
      error: 'a is not a backup and not empty: it contains b. Choose another folder',
    });
  });
});
