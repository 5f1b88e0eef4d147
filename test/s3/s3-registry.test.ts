import { afterEach, beforeEach, expect, it } from 'vitest';
import type { S3Connection } from '../../src/storage/s3/s3-options.js';
import { Client } from '../support/clients/client.js';
import { digest } from '../support/content/content.js';
import { MiB } from '../support/content/bytes.js';
import { startRegistry } from '../support/servers/registry.js';
import { pullsCompletely, pushSmallImage, quiet } from '../support/storage/backup-scene.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { createBucket, listBucket, storageIn } from './support/bucket.js';

let folder: string;
let connection: S3Connection;
beforeEach(async () => {
  folder = await makeScratchFolder();
  connection = await createBucket();
});
afterEach(() => removeScratchFolder(folder));

it('serves images whose blobs are in a bucket, also after a restart', async () => {
  const storage = storageIn(folder, connection);
  const registry = await startRegistry({ ...quiet, storage });
  const client = new Client(registry.url);
  const images = [
    await pushSmallImage(client, 'local/app', '1'),
    await pushSmallImage(client, 'local/app', '2', 20 * MiB),
    await pushSmallImage(client, 'local/other', '1', 0),
  ];
  for (const image of images) expect(await pullsCompletely(client, image)).toBe(true);
  const [, large] = images;
  const range = await client.get(`/v2/local/app/blobs/${digest(large?.layer ?? Buffer.alloc(0))}`, {
    Range: 'bytes=1000-1999',
  });
  expect([range.status, range.body]).toEqual([206, large?.layer.subarray(1000, 2000)]);
  expect(await registry.registry.health()).toMatchObject({ status: 'ok' });
  await client.close();
  await registry.close();
  const again = await startRegistry({ ...quiet, storage });
  const second = new Client(again.url);
  for (const image of images) expect(await pullsCompletely(second, image)).toBe(true);
  await second.close();
  await again.close();
});

it('garbage collection deletes the objects of a deleted image', async () => {
  const options = {
    ...quiet,
    storage: storageIn(folder, connection, 0),
    garbageCollection: { intervalSeconds: 0, graceSeconds: 0 },
  };
  const registry = await startRegistry(options);
  const client = new Client(registry.url);
  const image = await pushSmallImage(client, 'local/app', '1', 20 * MiB);
  const kept = await pushSmallImage(client, 'local/app', '2');
  expect(await listBucket(connection)).toHaveLength(1 + 6);
  expect((await client.delete(`/v2/local/app/manifests/${image.manifest.digest}`)).status).toBe(202);
  // The second pass sees candidates that the first one left in the same millisecond.
  for (let blobs = 0; blobs < 3;) blobs += (await registry.registry.collectGarbage({ graceSeconds: 0 })).blobsDeleted;
  expect(await pullsCompletely(client, kept)).toBe(true);
  await client.close();
  await registry.close();
  const again = await startRegistry(options);
  await expect.poll(() => listBucket(connection)).toHaveLength(1 + 3);
  const second = new Client(again.url);
  expect(await pullsCompletely(second, kept)).toBe(true);
  await second.close();
  await again.close();
});

it('refuses the bucket of another registry, and an index whose folder has blobs', async () => {
  const first = await startRegistry({ ...quiet, storage: storageIn(`${folder}/one`, connection) });
  await first.close();
  const other = startRegistry({ ...quiet, storage: storageIn(`${folder}/two`, connection) });
  await expect(other).rejects.toThrow('the bucket belongs to another registry');
  await expect(startRegistry({ ...quiet, storage: `${folder}/one` })).rejects.toThrow('its blobs are in a bucket');
  const files = await startRegistry({ ...quiet, storage: `${folder}/files` });
  await files.close();
  const mixed = startRegistry({ ...quiet, storage: storageIn(`${folder}/files`, await createBucket()) });
  await expect(mixed).rejects.toThrow('has blobs as files');
});

it('refuses an empty bucket for an index with blobs, which keeps them', async () => {
  const registry = await startRegistry({ ...quiet, storage: storageIn(folder, connection) });
  const client = new Client(registry.url);
  const image = await pushSmallImage(client, 'local/app', '1');
  await client.close();
  await registry.close();
  const moved = { ...connection, prefix: 'elsewhere/' };
  await expect(startRegistry({ ...quiet, storage: storageIn(folder, moved) })).rejects.toThrow('the index has blobs');
  const again = await startRegistry({ ...quiet, storage: storageIn(folder, connection) });
  const second = new Client(again.url);
  expect(await pullsCompletely(second, image)).toBe(true);
  await second.close();
  await again.close();
});
