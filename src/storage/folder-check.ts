import { access, constants, stat } from 'node:fs/promises';
import path from 'node:path';
import { checkLayout, type BlobsIn } from './files/layout.js';

export { hasBlobs } from './files/blob-folders.js';

/**
 * Checks whether `openFolderStores` could use a data folder, or create it. Writes nothing and does not open the index, so the
 * folder may be in use.
 * @throws the error of the system, such as EACCES; Error for the layout of another release.
 */
export async function checkFolderStores(folder: string, blobsIn: BlobsIn = 'folder'): Promise<void> {
  const found = await findExisting(path.resolve(folder));
  await checkWritable(found);
  if (found !== path.resolve(folder)) return;
  await checkLayout(folder, blobsIn);
  for (const part of ['index', 'blobs']) await checkWritable(path.join(folder, part)).catch(ignoreMissing);
}

/** Returns the folder, or else the closest folder above it. */
async function findExisting(folder: string): Promise<string> {
  try {
    await stat(folder);
    return folder;
  } catch (error) {
    const parent = path.dirname(folder);
    if (parent === folder) throw error;
    ignoreMissing(error);
    return findExisting(parent);
  }
}

async function checkWritable(folder: string): Promise<void> {
  const found = await stat(folder);
  if (!found.isDirectory()) throw Object.assign(new Error(`ENOTDIR: not a directory: ${folder}`), { code: 'ENOTDIR' });
  await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
}
