import { copyFile, mkdir, open } from 'node:fs/promises';
import path from 'node:path';
import type { BackupCheck, WorkOptions } from '../../ports/operations/backup.js';
import { BlobFolders } from '../files/blob-folders.js';
import { blobsInOf, claimLayout, type BlobsIn } from '../files/layout.js';
import { removeFile, removeFolder, renameFile, syncFolder } from '../files/system/files.js';
import { makeFolder } from '../level/database/level-folder.js';
import { readMarker, writeMarker } from '../level/database/level-marker.js';
import { checkBlobs, summarize } from './backup-check.js';
import { findDamagedIndexFiles, requireBackupDocument, type BackupDocument } from './backup-document.js';
import { namesIn, refuseNested } from './backup-target.js';
import { placeFile } from './blob-copy.js';

const ownerOnly = 0o700;
const draftName = 'restoring';
/** The entries of a folder that an interrupted restore may leave. */
const unfinished: ReadonlySet<string> = new Set([
  'index.json',
  'index.json.new',
  'index.new',
  'blobs',
  'VERSION',
  draftName,
]);

/**
 * Creates a data folder from a backup. Hashes everything first; damaged blobs are left out and listed. An interrupted restore
 * continues when it is started again.
 * @throws Error that names the folder when it is not empty, or when the index of the backup is damaged; nothing was written.
 */
export async function restoreBackup(backup: string, folder: string, work: WorkOptions = {}): Promise<BackupCheck> {
  const document = await requireBackupDocument(backup);
  await refuseNested(folder, backup, 'the backup');
  const blobsIn = checkLayout(backup, document);
  await checkEmpty(folder, document);
  const damagedIndexFiles = await findDamagedIndexFiles(backup, document);
  if (damagedIndexFiles.length > 0) {
    throw new Error(`the index of the backup ${backup} is damaged: ${damagedIndexFiles.join(', ')}`);
  }
  await makeFolder(folder, 0o777);
  const index = path.join(folder, 'index');
  // Written first: a registry that is started on an unfinished restore finds the index missing, and refuses.
  await writeMarker(index, { id: document.registry, sequence: document.index.sequence });
  const checked = await restoreBlobs(backup, folder, document, work);
  await restoreIndex(path.join(backup, document.index.folder), `${index}.new`, document);
  await claimLayout(folder, blobsIn);
  await renameFile(`${index}.new`, index);
  await syncFolder(folder);
  return { folder, ...summarize(document), ...checked, damagedIndexFiles };
}

function checkLayout(backup: string, { layout }: BackupDocument): BlobsIn {
  const blobsIn = blobsInOf(layout);
  if (blobsIn !== undefined) return blobsIn;
  throw new Error(
    `the backup ${backup} has layout version "${layout}", which this release does not read: use the release that took the backup`,
  );
}

async function checkEmpty(folder: string, { registry }: BackupDocument): Promise<void> {
  const names = await namesIn(folder);
  const isUnfinished = (await readMarker(path.join(folder, 'index')).catch(() => undefined))?.id === registry;
  const isAllowed = (name: string): boolean => name === 'lost+found' || (isUnfinished && unfinished.has(name));
  const found = names.find((name) => !isAllowed(name));
  if (found === undefined) return;
  throw new Error(
    `${folder} is not empty: it contains ${found}. Restore to a new folder, or move this one aside first`,
  );
}

async function restoreBlobs(
  backup: string,
  folder: string,
  document: BackupDocument,
  work: WorkOptions,
): Promise<Pick<BackupCheck, 'blobs' | 'bytes' | 'inBucket' | 'damaged'>> {
  const blobs = new BlobFolders(folder);
  const draft = path.join(folder, draftName);
  const touched = new Set<string>([folder]);
  const checked = await checkBlobs(backup, document, work, async ({ digest }, file) => {
    const target = blobs.folder(digest);
    if (!touched.has(target)) {
      await mkdir(target, { recursive: true });
      for (const above of [target, path.dirname(target), path.dirname(path.dirname(target))]) touched.add(above);
    }
    await placeFile(file, blobs.blob(digest), draft);
  });
  for (const each of touched) await syncFolder(each);
  return checked;
}

/** Copies the index, which is never linked: LevelDB appends to some of its files. */
async function restoreIndex(from: string, to: string, { index }: BackupDocument): Promise<void> {
  await removeFolder(to);
  await makeFolder(to, ownerOnly);
  for (const { name } of index.files) {
    const file = path.join(to, name);
    await copyFile(path.join(from, name), file);
    const copy = await open(file, 'r+');
    try {
      await copy.sync();
    } finally {
      await copy.close();
    }
  }
  await syncFolder(to);
  await removeFile(path.join(to, 'owner.json'));
}
