import { link, lstat } from 'node:fs/promises';
import type { AdoptedFile } from '../../ports/bytes.js';
import { hasCode, sizeInvalid, toStorageError } from './storage-errors.js';
import { closeFile, openFile, removeFile, statOpen, syncData } from './system/files.js';

/**
 * The file system cannot link the file here: it is on another one or mounted separately, has too many links, or the file
 * system has no links.
 */
const unlinkable = ['EXDEV', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];
/** Windows syncs only files that were opened for writing. */
const syncFlags = process.platform === 'win32' ? 'r+' : 'r';

/**
 * Links a file of another owner to `target` and makes its bytes durable, but not yet the new name. Returns the time of its
 * last change, or `undefined` when the file system cannot link it.
 * @throws RegistryError SIZE_INVALID; an error of the system. Then `target` does not exist.
 */
export async function linkFile({ path, size }: AdoptedFile, target: string): Promise<number | undefined> {
  // link(2) would link a symbolic link itself, and the blob would change with what it points to.
  if (!(await lstat(path)).isFile()) throw new Error(`${path} is not a regular file`);
  try {
    await link(path, target);
  } catch (error) {
    if (hasCode(error, ...unlinkable)) return undefined;
    throw toStorageError(error);
  }
  try {
    return await seal(target, path, size);
  } catch (error) {
    await removeFile(target);
    throw toStorageError(error);
  }
}

/** Syncs the linked file, since its owner may not have, and checks that it is whole. */
async function seal(target: string, path: string, size: number): Promise<number> {
  const fd = await openFile(target, syncFlags);
  try {
    const stats = await statOpen(fd);
    if (stats.size !== size) throw sizeInvalid(path, size, stats.size);
    await syncData(fd);
    return Math.trunc(stats.mtimeMs);
  } finally {
    await closeFile(fd);
  }
}
