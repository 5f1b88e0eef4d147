import { copyFile, constants, link, open, stat, utimes } from 'node:fs/promises';
import type { BigIntStats } from 'node:fs';
import { removeFile, renameFile } from '../files/system/files.js';
import { hasCode } from '../files/storage-errors.js';

/** File systems store times with a precision of up to two seconds. */
const timePrecisionMs = 2000n;

/** Returns what the file system says about a file, or `undefined` when it does not exist. */
export async function statIfPresent(file: string): Promise<BigIntStats | undefined> {
  try {
    return await stat(file, { bigint: true });
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/**
 * Returns whether a file of a backup represents its source. A push that heals a damaged blob replaces the file of the source:
 * a link then has another inode, a copy another time.
 */
export function isSameFile(copy: BigIntStats, source: BigIntStats, areLinks: boolean): boolean {
  if (areLinks) return copy.dev === source.dev && copy.ino === source.ino;
  const apartMs = copy.mtimeMs > source.mtimeMs ? copy.mtimeMs - source.mtimeMs : source.mtimeMs - copy.mtimeMs;
  return copy.size === source.size && apartMs <= timePrecisionMs;
}

/** Returns whether a file can be hard-linked to a path on the same file system. */
export async function canLink(file: string, probe: string): Promise<boolean> {
  await removeFile(probe);
  const isLinked = await tryLink(file, probe);
  if (isLinked) await removeFile(probe);
  return isLinked;
}

/**
 * Puts a hard link to a file, or a copy of it, in place of a file. The content is durable; the name is so when its folder has
 * been synced. A copy keeps the time of the source, by which `isSameFile` recognizes it.
 * @param draft an unused path on the same file system.
 */
export async function placeFile(source: string, target: string, draft: string): Promise<void> {
  await removeFile(draft);
  if (!(await tryLink(source, draft))) {
    await copyFile(source, draft, constants.COPYFILE_FICLONE);
    const { atimeMs, mtimeMs } = await stat(source);
    const copy = await open(draft, 'r+');
    try {
      await utimes(draft, atimeMs / 1000, mtimeMs / 1000);
      await copy.sync();
    } finally {
      await copy.close();
    }
  }
  await renameFile(draft, target);
  // Renaming a link over another link to the same file does nothing.
  await removeFile(draft);
}

/** Returns false where the file system does not link: across devices, beyond its limit of links, or not at all. */
async function tryLink(source: string, target: string): Promise<boolean> {
  try {
    await link(source, target);
    return true;
  } catch (error) {
    if (hasCode(error, 'EXDEV', 'EPERM', 'EACCES', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL', 'UNKNOWN')) {
      return false;
    }
    throw error;
  }
}
