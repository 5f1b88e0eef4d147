import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeFile, renameFile } from './system/files.js';
import { hasCode, isDiskFull } from './storage-errors.js';

/** A fixed name, so that a start replaces the file of an interrupted one. Blobs and staged files never have it. */
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
 * Renames an empty file through the folders. Only a rename shows whether it works: it fails even between bind mounts of
 * one device. A full disk is accepted because it proves nothing.
 * @param onUnusable called for a folder that refuses the file for another reason; the others are still tried.
 * @throws Error that names the first folder and the one on another file system.
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

/** Omits the cause, whose paths are those of one step of the probe. */
function otherFileSystem(first: string, folder: string): Error {
  return new Error(
    `cannot rename files from ${first} to ${folder} (EXDEV): they are on different file systems or mounts: ` +
      'mount the whole data folder, not a folder inside it',
  );
}
