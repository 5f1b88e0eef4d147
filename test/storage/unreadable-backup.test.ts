import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { backupStoppedFolder, verifyBackup } from '../../src/storage/backup/backups.js';
import * as copies from '../../src/storage/backup/blob-copy.js';
import * as documents from '../../src/storage/backup/backup-document.js';
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

/** Makes the copy of the layer's file fail. */
async function failToCopy(code: string): Promise<void> {
  const real = await vi.importActual<typeof copies>('../../src/storage/backup/blob-copy.js');
  vi.mocked(copies.placeFile).mockImplementation(async (file, ...rest) => {
    if (file === blobFile(data, image.layer)) throw Object.assign(new Error(code), { code });
    await real.placeFile(file, ...rest);
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

  it.each(['EIO', 'EACCES'])('fails with %s if its file can be read', async (code) => {
    await failToCopy(code);
    await expect(backupStoppedFolder(data, backup)).rejects.toMatchObject({ code });
    expect(await readdir(backup)).not.toContain('backup.json');
  });
});
