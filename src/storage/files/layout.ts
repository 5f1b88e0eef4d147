import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

/**
 * The version of the layout of the data folder (docs/storage-layout.md). Raised by a change that an older release would
 * misread.
 */
export const layoutVersion = '1';

/**
 * Writes the layout version into a new data folder, and refuses a folder with another version.
 * @throws Error that names the folder and both versions.
 */
export async function claimLayout(folder: string): Promise<void> {
  const file = path.join(folder, 'VERSION');
  refuseOther(folder, await readOrClaim(file));
}

/** Does the same without writing. @throws Error that names the folder and both versions. */
export async function checkLayout(folder: string): Promise<void> {
  const found = await readFile(path.join(folder, 'VERSION'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  refuseOther(folder, found.trim());
}

function refuseOther(folder: string, found: string): void {
  // An empty file means that another process is about to write it. The index lock decides which one continues.
  if (found === layoutVersion || found === '') return;
  throw new Error(
    `the data folder ${folder} has layout version "${found}": this release reads version ${layoutVersion}`,
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
