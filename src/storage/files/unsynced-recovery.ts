import type { BlobInfo } from '../../ports/bytes.js';
import { algorithmOf, digestOf, type Digest } from '../../protocol/digest.js';
import type { BlobFolders } from './blob-folders.js';
import {
  closeNow,
  openFile,
  readFully,
  removeFile,
  renameFile,
  statOpen,
  syncData,
  syncFolder,
  TruncatedFileError,
  writeFully,
} from './system/files.js';
import { hasCode } from './storage-errors.js';

/**
 * Called for an acknowledged blob that could not be made durable. `lost`: its bytes are gone or damaged. `kept`: the disk failed, and its
 * file stays for another attempt.
 */
export type OnUnsynced = (state: 'lost' | 'kept', digest: Digest, cause: unknown) => void;

/**
 * Settles the unsynced blobs that a killed process left: moves complete ones to the folder of blobs, and deletes those that a power
 * cut damaged. Requires that no process has the folder open. Returns those that the disk could not read or write, which stay.
 */
export async function recoverUnsynced(folders: BlobFolders, onUnsynced?: OnUnsynced): Promise<readonly Digest[]> {
  const left: Digest[] = [];
  const touched = new Set<string>();
  for (const digest of await folders.unsyncedDigests()) {
    const path = folders.unsynced(digest);
    try {
      await syncAgain(path, digest);
    } catch (error) {
      if (isDamage(error)) {
        onUnsynced?.('lost', digest, error);
        await removeFile(path);
      } else if (hasCode(error, 'EIO')) {
        // Perhaps the disk can read it later.
        onUnsynced?.('kept', digest, error);
        left.push(digest);
      } else throw error;
      continue;
    }
    await renameFile(path, folders.blob(digest));
    touched.add(folders.folder(digest));
  }
  for (const folder of touched) await syncFolder(folder);
  return left;
}

async function syncAgain(path: string, digest: Digest): Promise<void> {
  const fd = await openFile(path, 'r+');
  try {
    await rewrite(fd, { digest, size: (await statOpen(fd)).size });
    await syncData(fd);
  } finally {
    closeNow(fd);
  }
}

/**
 * Writes the bytes of a file again, since after a failed sync the system treats lost pages as written, and the next sync would
 * succeed.
 * @throws DamagedError, TruncatedFileError when the file has other bytes by now.
 */
export async function rewrite(fd: number, { digest, size }: Pick<BlobInfo, 'digest' | 'size'>): Promise<void> {
  const bytes = await readFully(fd, size);
  if (digestOf(bytes, algorithmOf(digest)) !== digest) throw new DamagedError(digest);
  if (size > 0) await writeFully(fd, [bytes], 0, () => undefined);
}

class DamagedError extends Error {
  override readonly name = 'DamagedError';

  constructor(digest: Digest) {
    super(`the file does not have the bytes of ${digest}`);
  }
}

/** Returns whether a file does not have the bytes of its digest. */
export function isDamage(error: unknown): boolean {
  return error instanceof DamagedError || error instanceof TruncatedFileError;
}
