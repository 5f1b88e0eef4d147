import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { removeFile } from '../../files/system/files.js';
import { isDiskFull } from '../../files/storage-errors.js';

/** LevelDB treats this as a temporary file of its own and deletes one that a stop has left behind. */
const probeName = '000000.dbtmp';
const probeMinBytes = 256 * 1024;

/** Writes a probe file. Rejects when the disk lacks the space that LevelDB needs to reopen the folder. */
export async function probeDisk(folder: string): Promise<void> {
  const file = path.join(folder, probeName);
  const bytes = probeMinBytes + (await bytesToRewrite(folder));
  try {
    const handle = await open(file, 'w', 0o600);
    try {
      await handle.writeFile(Buffer.alloc(bytes));
      await handle.sync();
    } finally {
      await handle.close();
    }
  } finally {
    await removeFile(file);
  }
}

/**
 * Returns the size of what LevelDB rewrites when it opens the folder: logs become tables, and the MANIFEST is written
 * again.
 */
async function bytesToRewrite(folder: string): Promise<number> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.log') || name.startsWith('MANIFEST-'));
  const sizes = await Promise.all(names.map(async (name) => (await stat(path.join(folder, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Runs the work, and repeats it while it fails on a full disk and space can be freed. */
export async function withSpace<T>(
  work: () => Promise<T>,
  freeSpace: (() => Promise<boolean>) | undefined,
): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isDiskFull(error) || !((await freeSpace?.()) ?? false)) throw error;
    }
  }
}
