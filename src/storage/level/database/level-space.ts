import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { removeFile } from '../../files/system/files.js';
import { isDiskFull } from '../../files/storage-errors.js';

/** LevelDB takes it for a temporary file of its own: it deletes one that a stop has left. */
const probeName = '000000.dbtmp';
const probeMinBytes = 256 * 1024;

/** Rejects when the disk would not take what LevelDB writes to open the folder again. */
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

/** The log becomes a table, and the MANIFEST is written anew. */
async function bytesToRewrite(folder: string): Promise<number> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.log') || name.startsWith('MANIFEST-'));
  const sizes = await Promise.all(names.map(async (name) => (await stat(path.join(folder, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Does the work again after each release of space, as long as it fails on a full disk. */
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
