import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { renameFile, syncFolder } from './system/files.js';

/**
 * The version of the layout of the data folder (docs/storage-layout.md). Raised by a change that an older release would
 * misread.
 */
const layoutVersion = '2';
/**
 * The versions that this release reads and upgrades. Releases of version 1 do not know the trash: their garbage collection
 * would delete the layers of its manifests.
 */
const olderVersions: ReadonlySet<string> = new Set(['1']);
/** The version of a folder that has only the index: its blobs are in a bucket. Releases before it would miss them. */
const bucketVersion = '3';

/** Where the blobs of a data folder are. */
export type BlobsIn = 'folder' | 'bucket';

/** Returns whether this release reads a layout. */
function isReadableLayout(version: string): boolean {
  return version === layoutVersion || olderVersions.has(version);
}

/** Returns the version of a folder with these blobs. */
export function layoutVersionOf(blobsIn: BlobsIn): string {
  return blobsIn === 'bucket' ? bucketVersion : layoutVersion;
}

/** Returns where a version has its blobs; `undefined` for a version that this release does not read. */
export function blobsInOf(version: string): BlobsIn | undefined {
  if (version === bucketVersion) return 'bucket';
  return isReadableLayout(version) ? 'folder' : undefined;
}

/** Returns where the blobs of a folder are; `folder` if it does not say. */
export async function readBlobsIn(folder: string): Promise<BlobsIn> {
  return blobsInOf(await readVersion(folder)) ?? 'folder';
}

/**
 * Writes the layout version into a new data folder, and refuses a folder with a version that this release does not read.
 * @throws Error that names the folder and both versions.
 */
export async function claimLayout(folder: string, blobsIn: BlobsIn = 'folder'): Promise<void> {
  const file = path.join(folder, 'VERSION');
  refuseOther(folder, await readOrClaim(file, layoutVersionOf(blobsIn)), blobsIn);
}

/**
 * Raises the version of an older folder, or writes that of a folder whose creation a power cut interrupted, so that releases that would misread it refuse it. Requires the lock of the index, and
 * comes before the first write to it.
 */
export async function upgradeLayout(folder: string, blobsIn: BlobsIn = 'folder'): Promise<void> {
  const file = path.join(folder, 'VERSION');
  const found = (await readFile(file, 'utf8')).trim();
  if (found !== '' && !olderVersions.has(found)) return;
  // Replaced as a whole: a crash leaves one version or the other.
  await writeFile(`${file}.new`, `${layoutVersionOf(blobsIn)}\n`, { flush: true });
  await renameFile(`${file}.new`, file);
  await syncFolder(folder);
}

/** Refuses such a folder without writing. @throws Error that names the folder and both versions. */
export async function checkLayout(folder: string, blobsIn: BlobsIn = 'folder'): Promise<void> {
  refuseOther(folder, await readVersion(folder), blobsIn);
}

/** Returns an empty text when there is none. */
async function readVersion(folder: string): Promise<string> {
  const found = await readFile(path.join(folder, 'VERSION'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return found.trim();
}

function refuseOther(folder: string, found: string, blobsIn: BlobsIn): void {
  // An empty file means that another process is about to write it. The index lock decides which one continues.
  if (found === '' || (blobsIn === 'bucket' ? found === bucketVersion : isReadableLayout(found))) return;
  if (found === bucketVersion)
    throw new Error(
      `the data folder ${folder} has only an index, and its blobs are in a bucket: set storage.metadata.level and storage.blobs.s3, or use another folder`,
    );
  if (isReadableLayout(found))
    throw new Error(
      `the data folder ${folder} has blobs as files: use another folder for an index with blobs in a bucket`,
    );
  throw new Error(
    `the data folder ${folder} has layout version "${found}": this release reads versions up to ${bucketVersion}`,
  );
}

async function readOrClaim(file: string, version: string): Promise<string> {
  try {
    await writeFile(file, `${version}\n`, { flag: 'wx', flush: true });
    return version;
  } catch (error) {
    // `writeFile` rejects with errors of the system only.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return (await readFile(file, 'utf8')).trim();
  }
}
