import { copyFile, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BlobFolders } from '../files/blob-folders.js';
import { blobsInOf, checkLayout } from '../files/layout.js';
import { openIndexOf, readBackupDocument } from '../backup/backups.js';
import { removeFolder } from '../files/system/files.js';
import { recoverUnsynced } from '../files/unsynced-recovery.js';
import { CopiedIndexReader } from '../level/database/level-copy-reader.js';
import { LevelDatabase } from '../level/database/level-database.js';
import { FolderInUseError, FolderLock } from '../level/database/level-lock.js';
import { readMarker } from '../level/database/level-marker.js';
import { checkUnlocked } from '../level/database/level-open.js';

/** The folder that is copied: the data folder of a stopped registry, or a backup of one that runs. */
export interface CopySource {
  readonly folder: string;
  /** The id of the index, which identifies the registry. */
  readonly registry: string;
  readonly index: CopiedIndexReader;
  close(): Promise<void>;
}

/**
 * Opens a folder to copy it, and keeps other processes from it. Changes neither the index nor the blobs, except that
 * it settles blobs that a killed registry left unsynced.
 * @throws Error that names the folder when it is neither of both, or when its registry runs or its index is damaged.
 */
export async function openCopySource(folder: string): Promise<CopySource> {
  const backup = await readBackupDocument(folder);
  if (backup !== undefined) {
    if (blobsInOf(backup.layout) === 'bucket')
      throw new Error(`${folder} is a backup of an index: its blobs are in a bucket, from which nothing can be copied`);
    const { reader: index, close } = await openIndexOf(folder, backup);
    return { folder, registry: backup.registry, index, close };
  }
  await checkLayout(folder);
  const indexFolder = path.join(folder, 'index');
  const marker = await readMarker(indexFolder);
  if (marker === undefined)
    throw new Error(`${folder} is neither a data folder nor a backup: it has no index.json and no backup.json`);
  const lock = await claim(indexFolder, folder);
  const scratch = await mkdtemp(path.join(tmpdir(), 'artifactapi-copy-'));
  const release = async (): Promise<void> => {
    await removeFolder(scratch);
    await lock.release();
  };
  try {
    const copy = path.join(scratch, 'index');
    // Recovers what a killed registry left in its log, and checks that this is the index that belongs here.
    const recover = async (): Promise<void> => {
      await copyFile(`${indexFolder}.json`, `${copy}.json`);
      await (await LevelDatabase.open(copy, { holdsContent: async () => true })).close();
    };
    const index = await CopiedIndexReader.open(indexFolder, copy, recover);
    await recoverUnsynced(new BlobFolders(folder));
    const close = async (): Promise<void> => {
      try {
        await index.close();
      } finally {
        await release();
      }
    };
    return { folder, registry: marker.id, index, close };
  } catch (error) {
    await release();
    throw error;
  }
}

async function claim(index: string, folder: string): Promise<FolderLock> {
  const inUse = (cause: unknown): Error =>
    new Error(
      `the registry of ${folder} runs: copy from a backup of it first (artifactapi backup --url), then stop it and copy from the folder`,
      { cause },
    );
  const lock = await FolderLock.claim(index).catch((error: unknown) => {
    throw error instanceof FolderInUseError ? inUse(error) : error;
  });
  try {
    await checkUnlocked(index).catch((error: unknown) => {
      throw inUse(error);
    });
    await lock.confirm();
    return lock;
  } catch (error) {
    await lock.release();
    throw error;
  }
}
