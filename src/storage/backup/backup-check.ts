import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BackupCheck, ContentReference, DamagedContent, WorkOptions } from '../../ports/operations/backup.js';
import { algorithmOf, hexOf } from '../../protocol/digest.js';
import { BlobFolders } from '../files/blob-folders.js';
import { blobsInOf } from '../files/layout.js';
import { hasCode } from '../files/storage-errors.js';
import { FolderLock } from '../level/database/level-lock.js';
import { CopiedIndexReader } from '../level/database/level-copy-reader.js';
import { findDamagedIndexFiles, hashFile, requireBackupDocument, type BackupDocument } from './backup-document.js';
import { statIfPresent } from './blob-copy.js';

/** Called for each intact blob of a backup, with its file and size. */
export type OnIntact = (reference: ContentReference, file: string, size: number) => Promise<void>;

/**
 * Hashes everything in a backup again. Changes nothing, except that it creates a temporary folder in the backup.
 * @throws Error that names the folder when it does not contain a complete backup
 */
export async function verifyBackup(folder: string, work: WorkOptions = {}): Promise<BackupCheck> {
  const document = await requireBackupDocument(folder);
  const damagedIndexFiles = await findDamagedIndexFiles(folder, document);
  const summary = { folder, ...summarize(document), damagedIndexFiles };
  // LevelDB must not open damaged files, and only the index says which blobs to check.
  if (damagedIndexFiles.length > 0) return { ...summary, blobs: 0, bytes: 0, damaged: [] };
  return { ...summary, ...(await checkBlobs(folder, document, work)) };
}

/** Returns when a backup was taken, and what it contains. */
export function summarize({
  created_at,
  counts,
}: BackupDocument): Pick<BackupCheck, 'createdAt' | 'repositories' | 'images' | 'manifests' | 'tags'> {
  const { repositories, images, manifests, tags } = counts;
  return { createdAt: Date.parse(created_at), repositories, images, manifests, tags };
}

/** Hashes every blob that the index of a backup refers to, unless they are in a bucket. */
export async function checkBlobs(
  folder: string,
  document: BackupDocument,
  { signal, onProgress }: WorkOptions,
  onIntact?: OnIntact,
): Promise<Pick<BackupCheck, 'blobs' | 'bytes' | 'inBucket' | 'damaged'>> {
  const { blobs: total, bytes: totalBytes } = document.counts;
  // A scrub of the registry hashes those.
  if (blobsInOf(document.layout) === 'bucket') return { blobs: total, bytes: totalBytes, inBucket: true, damaged: [] };
  const files = new BlobFolders(folder);
  const { reader, close } = await openIndexOf(folder, document);
  const damaged: DamagedContent[] = [];
  let [blobs, bytes] = [0, 0];
  try {
    for await (const page of reader.references()) {
      for (const reference of page) {
        signal?.throwIfAborted();
        const { digest } = reference;
        const file = files.blob(digest);
        const found = await checkBlob(reference, file, signal);
        if (typeof found === 'number') await onIntact?.(reference, file, found);
        else damaged.push({ digest, problem: found, uses: await reader.usesOf(digest) });
        blobs += 1;
        bytes += typeof found === 'number' ? found : 0;
        onProgress?.({ phase: 'blobs', done: blobs, total, bytes, totalBytes });
      }
    }
  } finally {
    await close();
  }
  return { blobs, bytes, damaged };
}

/** Opens the index of a backup, and claims its folder: a backup removes blobs that its new index does not name. */
export async function openIndexOf(
  folder: string,
  document: BackupDocument,
): Promise<{ readonly reader: CopiedIndexReader; readonly close: () => Promise<void> }> {
  const index = path.join(folder, document.index.folder);
  const lock = await FolderLock.claim(folder);
  const partial = path.join(folder, '.partial');
  try {
    await lock.confirm();
    const reader = await CopiedIndexReader.open(index, path.join(partial, 'reading'));
    const close = async (): Promise<void> => {
      await reader.close();
      // Not empty if a backup was interrupted.
      await rmdir(partial).catch(() => undefined);
      await lock.release();
    };
    return { reader, close };
  } catch (error) {
    await lock.release();
    if (!hasCode(error, 'EROFS', 'EACCES', 'EPERM')) throw error;
    // This user cannot write to the backup, so no other process is expected to write to it either.
    const reader = await CopiedIndexReader.open(index, await mkdtemp(path.join(tmpdir(), 'artifactapi-')));
    return { reader, close: () => reader.close() };
  }
}

/** Returns the size of an intact blob, or what is wrong with it. */
export async function checkBlob(
  { digest, size }: ContentReference,
  file: string,
  signal: AbortSignal | undefined,
): Promise<number | DamagedContent['problem']> {
  const stats = await statIfPresent(file);
  if (stats === undefined) return 'missing';
  const found = Number(stats.size);
  if (size !== undefined && found !== size) return 'size';
  try {
    return (await hashFile(file, algorithmOf(digest), signal)) === hexOf(digest) ? found : 'digest';
  } catch (error) {
    signal?.throwIfAborted();
    // A disk that cannot read the file: for the operator, the bytes are damaged.
    if (error instanceof Error && 'code' in error && error.code === 'EIO') return 'digest';
    throw error;
  }
}
