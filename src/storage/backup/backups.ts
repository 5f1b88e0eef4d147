/**
 * Backups of a data folder: this file takes them; `backup-target.ts` draws the folder of a backup, `backup-check.ts` hashes
 * it again, `backup-restore.ts` makes a data folder of it. Imports level/ and files/. Imported by folder-stores.ts, copy/ and
 * the command.
 */
import { access, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { BackupReport, WorkOptions } from '../../ports/operations/backup.js';
import { BlobFolders } from '../files/blob-folders.js';
import { checkLayout, readBlobsIn, type BlobsIn } from '../files/layout.js';
import { hasCode } from '../files/storage-errors.js';
import { recoverUnsynced } from '../files/unsynced-recovery.js';
import { copyIndex, type CopiedIndex } from '../level/database/level-copy.js';
import { LevelDatabase } from '../level/database/level-database.js';
import { readMarker } from '../level/database/level-marker.js';
import { BackupRun, measureFreeBytes, type BackupEnvironment } from './backup-run.js';
import { BackupTarget } from './backup-target.js';

export { checkBlob, openIndexOf, verifyBackup } from './backup-check.js';
export { readBackupDocument } from './backup-document.js';
export { restoreBackup } from './backup-restore.js';

/** A data folder whose index is open. */
export interface OpenDataFolder {
  readonly folder: string;
  /** With `bucket`, the backup has only the index. */
  readonly blobsIn: BlobsIn;
  /** Writes one state of the index into a new folder. */
  copyIndex(to: string, work: WorkOptions): Promise<CopiedIndex>;
}

/** Options of a backup. By default, the clock and the disk are those of the system. */
export interface BackupOptions extends WorkOptions, Partial<BackupEnvironment> {}

/**
 * Backs up a data folder while its registry runs. The caller makes sure that no bytes are deleted meanwhile.
 * @throws RegistryError CONFLICT when `target` cannot hold the backup, and nothing was written; UNAVAILABLE with status 507
 * when there is not enough space.
 */
export async function backupOpenFolder(
  open: OpenDataFolder,
  target: string,
  { now = Date.now, freeBytes = measureFreeBytes, ...work }: BackupOptions = {},
): Promise<BackupReport> {
  const index = path.join(open.folder, 'index');
  const registry = (await readMarker(index))?.id;
  if (registry === undefined) throw new Error(`the data folder ${open.folder} has no index.json`);
  const claimed = await BackupTarget.claim(path.resolve(target), { folder: open.folder, registry });
  try {
    const source = {
      folder: open.folder,
      blobsIn: open.blobsIn,
      indexBytes: () => measureFolder(index),
      copyIndex: (to: string, options: WorkOptions) => open.copyIndex(to, options),
    };
    const report = await new BackupRun(source, claimed, work, { now, freeBytes }).run();
    await claimed.finish();
    return report;
  } finally {
    await claimed.release();
  }
}

/**
 * Backs up the data folder of a stopped registry.
 * @throws Error that names the folder when it is not a data folder, or when its registry runs or its index is damaged; the
 * errors of `backupOpenFolder`.
 */
export async function backupStoppedFolder(
  folder: string,
  target: string,
  options: BackupOptions = {},
): Promise<BackupReport> {
  const source = path.resolve(folder);
  const blobsIn = await checkDataFolder(source);
  const database = await LevelDatabase.open(path.join(source, 'index'), { holdsContent: async () => true });
  try {
    if (blobsIn === 'folder') await recoverUnsynced(new BlobFolders(source));
    const copy = (to: string, work: WorkOptions): Promise<CopiedIndex> => copyIndex(database, to, work);
    return await backupOpenFolder({ folder: source, blobsIn, copyIndex: copy }, target, options);
  } finally {
    await database.close();
  }
}

/** Returns where its blobs are. */
async function checkDataFolder(folder: string): Promise<BlobsIn> {
  await access(path.join(folder, 'VERSION')).catch((error: unknown) => {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR')) throw error;
    throw new Error(`${folder} is not a data folder: it has no file VERSION`, { cause: error });
  });
  const blobsIn = await readBlobsIn(folder);
  await checkLayout(folder, blobsIn);
  return blobsIn;
}

async function measureFolder(folder: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(folder)) {
    // Files of LevelDB come and go.
    bytes += await stat(path.join(folder, name)).then(
      ({ size }) => size,
      () => 0,
    );
  }
  return bytes;
}
