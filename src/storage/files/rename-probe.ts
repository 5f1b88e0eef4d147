import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeFile, renameFile } from './system/files.js';
import { hasCode, isDiskFull } from './storage-errors.js';

/** Always the same name, so that a start replaces what a stopped one left. No blob and no staged bytes have it. */
const probeName = '.rename-probe';

/** The calls of the probe. Tests pass others. */
export interface RenameCalls {
  create(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
}

const ofThisSystem: RenameCalls = {
  create: (path) => writeFile(path, ''),
  rename: renameFile,
  remove: removeFile,
};

/**
 * Renames an empty file through the folders, since only a rename shows whether it works: it fails between bind mounts of one
 * device too. A full disk proves nothing and is accepted.
 * @param onUnusable called for a folder that refuses the file for another reason; the others are still tried.
 * @throws Error that names the first folder and the one that is not on its file system.
 */
export async function probeRenames(
  [first, ...others]: readonly [string, ...string[]],
  onUnusable: (folder: string, cause: unknown) => void,
  calls: RenameCalls = ofThisSystem,
): Promise<void> {
  let at = join(first, probeName);
  try {
    await calls.create(at);
    for (const folder of others) {
      const next = join(folder, probeName);
      try {
        await calls.rename(at, next);
        at = next;
      } catch (cause) {
        if (hasCode(cause, 'EXDEV')) throw otherFileSystem(first, folder);
        if (isDiskFull(cause)) return;
        onUnusable(folder, cause);
      }
    }
  } catch (error) {
    if (!isDiskFull(error)) throw error;
  } finally {
    await calls.remove(at);
  }
}

/** Without the cause: its paths are those of one step of the probe. */
function otherFileSystem(first: string, folder: string): Error {
  return new Error(
    `cannot rename files from ${first} to ${folder} (EXDEV): they are on different file systems or mounts. ` +
      'Mount the whole data folder, not a folder inside it',
  );
}
