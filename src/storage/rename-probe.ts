import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeFile, renameFile } from './files.js';
import { hasCode } from './storage-errors.js';

/** Always the same name, so that a start replaces what a stopped one left. No blob and no staged bytes have it. */
const probeName = '.rename-probe';

/**
 * Renames an empty file through all folders, since only a rename shows whether it works: it fails between bind mounts of one
 * device too. A full disk proves nothing and is accepted.
 * @param onUnusable called for a folder that refuses the file for another reason; the others are still tried.
 * @throws Error that names the first folder and the one that is not on its file system.
 */
export async function probeRenames(
  [first, ...others]: readonly [string, ...string[]],
  onUnusable: (folder: string, cause: unknown) => void,
): Promise<void> {
  let at = join(first, probeName);
  try {
    await writeFile(at, '');
    for (const folder of others) {
      const next = join(folder, probeName);
      try {
        await renameFile(at, next);
        at = next;
      } catch (cause) {
        if (hasCode(cause, 'EXDEV')) throw otherFileSystem(first, folder, cause);
        if (isFull(cause)) return;
        onUnusable(folder, cause);
      }
    }
  } catch (error) {
    if (!isFull(error)) throw error;
  } finally {
    await removeFile(at);
  }
}

function isFull(error: unknown): boolean {
  return hasCode(error, 'ENOSPC', 'EDQUOT');
}

function otherFileSystem(first: string, folder: string, cause: unknown): Error {
  return new Error(
    `cannot rename files from ${first} to ${folder}: they are on different file systems or mounts. ` +
      'Mount the whole data folder, not a folder inside it',
    { cause },
  );
}
