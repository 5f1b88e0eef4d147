import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { backupStoppedFolder, restoreBackup, verifyBackup } from '../../src/storage/backup/backups.js';
import { repairIndex } from '../../src/storage/level/database/repair/level-repair.js';
import { S3Client } from '../../src/storage/s3/client/s3-client.js';
import { defaultTimeouts, type S3Connection } from '../../src/storage/s3/s3-options.js';
import { Client } from '../support/clients/client.js';
import { startRegistry, type TestRegistry } from '../support/servers/registry.js';
import { pullsCompletely, pushSmallImage, quiet } from '../support/storage/backup-scene.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { createBucket, listBucket, storageIn } from './support/bucket.js';

let folder: string;
let connection: S3Connection;
let running: { registry: TestRegistry; client: Client } | undefined;
beforeEach(async () => {
  folder = await makeScratchFolder();
  connection = await createBucket();
});
afterEach(async () => {
  await stop();
  await removeScratchFolder(folder);
});

const index = () => join(folder, 'index');

async function start(at = index()): Promise<Client> {
  const backups = { folder: join(folder, 'backups') };
  const registry = await startRegistry({ ...quiet, access: 'open', storage: storageIn(at, connection), backups });
  running = { registry, client: new Client(registry.url) };
  return running.client;
}

async function stop(): Promise<void> {
  await running?.client.close();
  await running?.registry.close();
  running = undefined;
}

it('a backup of a running registry has its index, and a restored index serves the bucket', async () => {
  const client = await start();
  const kept = await pushSmallImage(client, 'local/app', '1');
  const deleted = await pushSmallImage(client, 'local/app', '2');
  const body = JSON.stringify({ kind: 'backup', folder: 'nightly' });
  const created = await client.post('/api/v1/jobs', { headers: { 'Content-Type': 'application/json' }, body });
  const { id } = created.json() as { id: string };
  const job = async (): Promise<unknown> => (await client.get(`/api/v1/jobs/${id}`)).json();
  await expect.poll(job).toMatchObject({ state: 'succeeded', report: { blobs: 6, images: 1, tags: 2 } });
  await client.delete(`/v2/local/app/manifests/${deleted.manifest.digest}`);
  const later = await pushSmallImage(client, 'local/later', '1');
  await running?.registry.registry.collectGarbage({ graceSeconds: 0 });
  await stop();
  const backup = join(folder, 'backups', 'nightly');
  expect(await verifyBackup(backup)).toMatchObject({ inBucket: true, blobs: 6, damaged: [], damagedIndexFiles: [] });
  const restored = join(folder, 'restored');
  expect(await restoreBackup(backup, restored)).toMatchObject({ inBucket: true, blobs: 6, tags: 2 });
  const second = await start(restored);
  // The objects of the deleted image are still in the trash of the bucket.
  for (const image of [kept, deleted]) expect(await pullsCompletely(second, image)).toBe(true);
  expect(await pullsCompletely(second, later)).toBe(false);
  await pushSmallImage(second, 'local/later', '1');
  expect(await pullsCompletely(second, later)).toBe(true);
});

it('a stopped index is backed up with the command, and a repair finds the objects of all blobs', async () => {
  const client = await start();
  const image = await pushSmallImage(client, 'local/app', '1');
  await stop();
  const report = await backupStoppedFolder(index(), join(folder, 'backup'));
  expect(report).toMatchObject({ inBucket: true, blobs: 3, added: 0, damaged: [] });
  expect(await repairIndex(join(index(), 'index'))).toMatchObject({ lost: [], images: 1, tags: 1 });
  await rm(index(), { recursive: true });
  await restoreBackup(join(folder, 'backup'), index());
  expect(await pullsCompletely(await start(), image)).toBe(true);
});

it('a scrub reports blobs whose object is missing or has other bytes, and a push heals them', async () => {
  const client = await start();
  const image = await pushSmallImage(client, 'local/app', '1');
  const intact = await pushSmallImage(client, 'local/app', '2');
  const bucket = await S3Client.create({ ...connection, prefix: '' }, defaultTimeouts);
  for (const key of (await listBucket(connection)).filter((one) => one.includes('/o/'))) {
    const bytes = (await bucket.call({ method: 'GET', key })).body;
    if (bytes.equals(image.layer)) await bucket.call({ method: 'DELETE', key });
    if (bytes.equals(image.config)) await bucket.call({ method: 'PUT', key, body: Buffer.from('other bytes') });
  }
  bucket.close();
  const headers = { 'Content-Type': 'application/json' };
  const created = await client.post('/api/v1/jobs', { headers, body: JSON.stringify({ kind: 'scrub' }) });
  const { id } = created.json() as { id: string };
  const job = async (): Promise<unknown> => (await client.get(`/api/v1/jobs/${id}`)).json();
  await expect.poll(job).toMatchObject({ state: 'partly', report: { blobs: 6, damaged_count: 2 } });
  expect(await pullsCompletely(client, intact)).toBe(true);
  expect(await pullsCompletely(client, image)).toBe(false);
  await pushSmallImage(client, 'local/app', '1');
  expect(await pullsCompletely(client, image)).toBe(true);
});
