import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { chmod, mkdtemp, open, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { removeWithUs } from './cleanup.mjs';

const tmpfsType = 0x01021994;
const spareBytes = 2 * 1024 ** 3;

/**
 * Creates the folder for the data of all servers. It is removed when this process exits.
 * @param {string | undefined} parent
 * @param {number} bytes The maximum size of its content.
 * @returns {Promise<string>}
 * @throws {Error} if the disk has too little free space.
 */
export async function makeWorkspace(parent, bytes) {
  const base = parent ?? tmpdir();
  const { bavail, bsize, type } = await statfs(base);
  if (bavail * bsize < bytes + spareBytes) {
    throw new Error(
      `"${base}" has ${gibibytes(bavail * bsize)} GiB free, but ${gibibytes(bytes + spareBytes)} are needed: use --folder`,
    );
  }
  if (type === tmpfsType) process.stderr.write(`bench: "${base}" is in memory, where fsync is free: use --folder\n`);
  const folder = await mkdtemp(join(base, 'artifactapi-bench-'));
  // PostgreSQL has data in it and runs as another user.
  await chmod(folder, 0o711);
  removeWithUs(folder);
  return folder;
}

/**
 * Frees the pages of written files, if we are root, so that every server writes to pages that the host already provides: a new one
 * costs about 10 µs. Reads the files that the client is about to send again.
 * @param {string[]} [toSend]
 */
export async function recyclePages(toSend = []) {
  if (process.getuid?.() !== 0) return;
  await promisify(execFile)('sync');
  try {
    await writeFile('/proc/sys/vm/drop_caches', '1');
  } catch {
    // A container may not write there.
    return;
  }
  for (const path of toSend) for await (const _ of createReadStream(path, { highWaterMark: 1024 ** 2 }));
}

/**
 * Writes a file and removes it. A virtual machine may return free memory to its host after a second. A file in such memory
 * costs several times as much per page as one in memory that was just freed, which would distort the next measure.
 * @param {string} folder
 * @param {number} bytes
 */
export async function warmMemory(folder, bytes) {
  const block = Buffer.alloc(1024 ** 2, 1);
  const path = join(folder, 'warm-memory');
  const file = await open(path, 'w');
  try {
    for (let written = 0; written < bytes; written += block.length) await file.write(block);
  } finally {
    await file.close();
    await rm(path);
  }
}

/** @param {string} folder */
export async function removeFolder(folder) {
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}

/** @param {number} bytes */
function gibibytes(bytes) {
  return (bytes / 1024 ** 3).toFixed(1);
}
