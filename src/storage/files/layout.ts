import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { renameFile, syncFolder } from './system/files.js';

/**
 * The version of the layout of the data folder (docs/storage-layout.md). Raised by a change that an older release would
 * misread.
 */
export const layoutVersion = '2';
/**
 * The versions that this release reads and upgrades. Releases of version 1 do not know the trash: their garbage collection
 * would delete the layers of its manifests.
 */
const olderVersions: ReadonlySet<string> = new Set(['1']);

/** Returns whether this release reads a layout. */
export function isReadableLayout(version: string): boolean {
  return version === layoutVersion || olderVersions.has(version);
}

/**
 * Writes the layout version into a new data folder, and refuses a folder with a version that this release does not read.
 * @throws Error that names the folder and both versions.
 */
export async function claimLayout(folder: string): Promise<void> {
  const file = path.join(folder, 'VERSION');
  refuseOther(folder, await readOrClaim(file));
}

/**
 * Raises the version of an older folder, or writes that of a folder whose creation a power cut interrupted, so that releases that would misread it refuse it. Requires the lock of the index, and
 * comes before the first write to it.
 */
export async function upgradeLayout(folder: string): Promise<void> {
  const file = path.join(folder, 'VERSION');
  const found = (await readFile(file, 'utf8')).trim();
  if (found !== '' && !olderVersions.has(found)) return;
  // Replaced as a whole: a crash leaves one version or the other.
  await writeFile(`${file}.new`, `${layoutVersion}\n`, { flush: true });
  await renameFile(`${file}.new`, file);
  await syncFolder(folder);
}

/** Refuses such a folder without writing. @throws Error that names the folder and both versions. */
export async function checkLayout(folder: string): Promise<void> {
  const found = await readFile(path.join(folder, 'VERSION'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  refuseOther(folder, found.trim());
}

function refuseOther(folder: string, found: string): void {
  // An empty file means that another process is about to write it. The index lock decides which one continues.
  if (found === '' || isReadableLayout(found)) return;
  throw new Error(
    `the data folder ${folder} has layout version "${found}": this release reads versions up to ${layoutVersion}`,
  );
}

async function readOrClaim(file: string): Promise<string> {
  try {
    await writeFile(file, `${layoutVersion}\n`, { flag: 'wx', flush: true });
    return layoutVersion;
  } catch (error) {
    // `writeFile` rejects with errors of the system only.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return (await readFile(file, 'utf8')).trim();
  }
}
