import { mkdir, readdir, rename, rm, truncate } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { backupStoppedFolder, verifyBackup } from '../../src/storage/backup/backups.js';
import * as copies from '../../src/storage/backup/blob-copy.js';
import * as documents from '../../src/storage/backup/backup-document.js';
import { BlobFolders } from '../../src/storage/files/blob-folders.js';
import { digestOf } from '../../src/protocol/digest.js';
import { Client } from '../support/clients/client.js';
import { digest } from '../support/content/content.js';
import { startRegistry } from '../support/servers/registry.js';
import { blobFile, pushSmallImage, quiet, type PushedImage } from '../support/storage/backup-scene.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

vi.mock('../../src/storage/backup/blob-copy.js', { spy: true });
vi.mock('../../src/storage/backup/backup-document.js', { spy: true });

let folder: string;
let data: string;
let backup: string;
let image: PushedImage;

beforeEach(async () => {
  vi.resetAllMocks();
  folder = await makeScratchFolder();
  [data, backup] = [path.join(folder, 'data'), path.join(folder, 'backup')];
  const registry = await startRegistry({ ...quiet, storage: data });
  const client = new Client(registry.url);
  image = await pushSmallImage(client, 'local/a', '1');
  await client.close();
  await registry.close();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await removeScratchFolder(folder);
});

/** Runs `act` before the file is copied. */
async function beforeCopy(file: string, act: () => unknown): Promise<void> {
  const real = await vi.importActual<typeof copies>('../../src/storage/backup/blob-copy.js');
  vi.mocked(copies.placeFile).mockImplementation(async (source, ...rest) => {
    if (source === file) await act();
    await real.placeFile(source, ...rest);
  });
}

/** Makes the copy of the layer's file fail. */
function failToCopy(code: string, meanwhile: () => unknown = () => {}): Promise<void> {
  return beforeCopy(blobFile(data, image.layer), async () => {
    await meanwhile();
    throw Object.assign(new Error(code), { code });
  });
}

describe('a backup whose copy of one file fails', () => {
  it('contains all others, and lists the blob as damaged if its file cannot be read', async () => {
    await failToCopy('EIO');
    // Hashes the file that could not be copied, then those of the index.
    vi.mocked(documents.hashFile).mockRejectedValueOnce(Object.assign(new Error('EIO'), { code: 'EIO' }));
    const damaged = [{ digest: digest(image.layer), problem: 'digest', uses: [{ tag: '1' }] }];
    expect(await backupStoppedFolder(data, backup)).toMatchObject({ blobs: 3, added: 2, damaged });
    expect(await verifyBackup(backup)).toMatchObject({
      damaged: [{ digest: digest(image.layer), problem: 'missing' }],
    });
  });

  it.each<[problem: string, what: string, code: string, change: (file: string) => Promise<void>]>([
    ['missing', 'disappears', 'ENOENT', (file) => rm(file)],
    ['missing', 'cannot be read and disappears', 'EIO', (file) => rm(file)],
    ['size', 'cannot be read and becomes shorter', 'EIO', (file) => truncate(file, 1)],
  ])('lists the blob as %s if its file %s', async (problem, _what, code, change) => {
    await failToCopy(code, () => change(blobFile(data, image.layer)));
    const damaged = [{ digest: digest(image.layer), problem, uses: [{ tag: '1' }] }];
    expect(await backupStoppedFolder(data, backup)).toMatchObject({ blobs: 3, added: 2, damaged });
  });

  it('contains the blob if a read moved its file out of quarantine', async () => {
    const file = blobFile(data, image.layer);
    const quarantined = new BlobFolders(data).quarantined(digestOf(image.layer));
    await mkdir(path.dirname(quarantined), { recursive: true });
    await rename(file, quarantined);
    await beforeCopy(quarantined, () => rename(quarantined, file));
    expect(await backupStoppedFolder(data, backup)).toMatchObject({ blobs: 3, added: 3, damaged: [] });
    expect(await verifyBackup(backup)).toMatchObject({ damaged: [] });
  });

  it.each(['EIO', 'EACCES', 'ENOENT'])('fails with %s if its file can be read', async (code) => {
    await failToCopy(code);
    await expect(backupStoppedFolder(data, backup)).rejects.toMatchObject({ code });
    expect(await readdir(backup)).not.toContain('backup.json');
  });
});
