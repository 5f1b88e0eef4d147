import { mkdir, readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { backupStoppedFolder } from '../../src/storage/backup/backups.js';
import { openCopySource } from '../../src/storage/copy/copy-source.js';
import { hasBlobs } from '../../src/storage/files/blob-folders.js';
import { repairIndex } from '../../src/storage/level/database/repair/level-repair.js';
import { FolderObjects } from '../../src/storage/rebuild/folder-objects.js';
import { Client } from '../support/clients/client.js';
import { digest } from '../support/content/content.js';
import { startRegistry } from '../support/servers/registry.js';
import { blobFile, pushSmallImage, quiet, type PushedImage } from '../support/storage/backup-scene.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

let folder: string;
let data: string;
let image: PushedImage;

/** Leaves the layer of an image unsynced, as a killed registry does. */
beforeEach(async () => {
  folder = await makeScratchFolder();
  data = path.join(folder, 'data');
  const registry = await startRegistry({ ...quiet, storage: data });
  const client = new Client(registry.url);
  image = await pushSmallImage(client, 'local/a', '1');
  await client.close();
  await registry.close();
  const file = path.join(data, 'unsynced', digest(image.layer).replace(':', '-'));
  await rename(blobFile(data, image.layer), file);
});
afterEach(() => removeScratchFolder(folder));

const unsynced = (): Promise<string[]> => readdir(path.join(data, 'unsynced'));

it('a backup of a stopped folder contains blobs that a killed registry left unsynced', async () => {
  expect(await backupStoppedFolder(data, path.join(folder, 'backup'))).toMatchObject({ blobs: 3, damaged: [] });
  expect(await readdir(path.dirname(blobFile(path.join(folder, 'backup'), image.layer)))).toHaveLength(1);
  expect(await unsynced()).toEqual([]);
});

it('a copy of a stopped folder finds blobs that a killed registry left unsynced', async () => {
  await (await openCopySource(data)).close();
  expect(await readdir(path.dirname(blobFile(data, image.layer)))).toHaveLength(1);
  expect(await unsynced()).toEqual([]);
});

it('a repair does not report blobs as lost that a killed registry left unsynced', async () => {
  expect(await repairIndex(path.join(data, 'index'))).toMatchObject({ lost: [] });
  expect(await unsynced()).toEqual([]);
});

it('a rebuild finds blobs that a killed registry left unsynced', async () => {
  const objects = await FolderObjects.open(data);
  await objects.adopt();
  const names: string[] = [];
  for await (const { name } of objects.objects()) names.push(path.basename(name));
  expect(names).toContain(digest(image.layer).slice('sha256:'.length));
});

it('a folder that only has unsynced blobs has blobs', async () => {
  const only = path.join(folder, 'only');
  expect(await hasBlobs(only)).toBe(false);
  await mkdir(path.join(only, 'unsynced'), { recursive: true });
  expect(await hasBlobs(only)).toBe(false);
  const [name = ''] = await unsynced();
  await rename(path.join(data, 'unsynced', name), path.join(only, 'unsynced', name));
  expect(await hasBlobs(only)).toBe(true);
});
