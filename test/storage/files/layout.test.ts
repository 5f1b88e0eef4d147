import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { backupStoppedFolder, restoreBackup } from '../../../src/storage/backup/backups.js';
import { checkFolderStores } from '../../../src/storage/folder-check.js';
import { Client } from '../../support/clients/client.js';
import { startRegistry } from '../../support/servers/registry.js';
import { pullsCompletely, pushSmallImage, quiet } from '../../support/storage/backup-scene.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

let folder: string;

async function withRegistry<T>(storage: string, use: (client: Client) => Promise<T>): Promise<T> {
  const registry = await startRegistry({ ...quiet, storage });
  const client = new Client(registry.url);
  try {
    return await use(client);
  } finally {
    await client.close();
    await registry.close();
  }
}

const versionOf = async (data: string): Promise<string> => readFile(path.join(data, 'VERSION'), 'utf8');

beforeEach(async () => void (folder = await makeScratchFolder()));
afterEach(() => removeScratchFolder(folder));

describe('the layout version of a data folder', () => {
  it('is raised from 1 to 2 by a start, which keeps every image', async () => {
    const data = path.join(folder, 'data');
    const image = await withRegistry(data, (client) => pushSmallImage(client, 'local/a', '1'));
    await writeFile(path.join(data, 'VERSION'), '1\n');
    await checkFolderStores(data);
    expect(await versionOf(data)).toBe('1\n');
    await withRegistry(data, async (client) => expect(await pullsCompletely(client, image)).toBe(true));
    expect(await versionOf(data)).toBe('2\n');
    expect(await readdir(data)).not.toContain('VERSION.new');
  });

  it('is written by a start that finds the file empty, as a power cut may leave it', async () => {
    const data = path.join(folder, 'data');
    await withRegistry(data, () => Promise.resolve());
    await writeFile(path.join(data, 'VERSION'), '');
    await checkFolderStores(data);
    await withRegistry(data, () => Promise.resolve());
    expect(await versionOf(data)).toBe('2\n');
  });

  it('is 2 after a restore of a backup of version 1', async () => {
    const [data, backup, restored] = ['data', 'backup', 'restored'].map((name) => path.join(folder, name)) as [
      string,
      string,
      string,
    ];
    const image = await withRegistry(data, (client) => pushSmallImage(client, 'local/a', '1'));
    await backupStoppedFolder(data, backup);
    const file = path.join(backup, 'backup.json');
    const document = JSON.parse(await readFile(file, 'utf8')) as object;
    await writeFile(file, JSON.stringify({ ...document, layout: '1' }));
    await restoreBackup(backup, restored);
    expect(await versionOf(restored)).toBe('2\n');
    await withRegistry(restored, async (client) => expect(await pullsCompletely(client, image)).toBe(true));
  });

  it('of a newer release is refused, with both versions', async () => {
    const data = path.join(folder, 'data');
    await withRegistry(data, () => Promise.resolve());
    await writeFile(path.join(data, 'VERSION'), '4\n');
    for (const blobsIn of ['folder', 'bucket'] as const)
      await expect(checkFolderStores(data, blobsIn)).rejects.toThrow(
        /has layout version "4": this release reads versions up to 3/,
      );
  });

  it('is 3 for an index whose blobs are in a bucket, which is not taken for a folder with blobs, or the reverse', async () => {
    const data = path.join(folder, 'data');
    await withRegistry(data, () => Promise.resolve());
    await expect(checkFolderStores(data, 'bucket')).rejects.toThrow(`the data folder ${data} has blobs as files`);
    await writeFile(path.join(data, 'VERSION'), '3\n');
    await checkFolderStores(data, 'bucket');
    await expect(checkFolderStores(data)).rejects.toThrow('has only an index, and its blobs are in a bucket');
    await expect(startRegistry({ ...quiet, storage: data })).rejects.toThrow('its blobs are in a bucket');
  });
});
