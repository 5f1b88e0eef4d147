import { mkdtemp, open, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeWithUs } from './cleanup.mjs';

const tmpfsType = 0x01021994;
const spareBytes = 2 * 1024 ** 3;

/**
 * Makes the folder that all servers keep their data in, on one file system; it is removed when this process ends.
 * @param {string | undefined} parent
 * @param {number} bytes How much will be in it at most.
 * @returns {Promise<string>}
 * @throws {Error} when the disk has not that much room.
 */
export async function makeWorkspace(parent, bytes) {
  const base = parent ?? tmpdir();
  const { bavail, bsize, type } = await statfs(base);
  if (bavail * bsize < bytes + spareBytes) {
    throw new Error(
      `${base} has ${gibibytes(bavail * bsize)} GiB free, and ${gibibytes(bytes + spareBytes)} are needed: see --folder`,
    );
  }
  if (type === tmpfsType) process.stderr.write(`bench: ${base} is in memory, so fsync costs nothing: see --folder\n`);
  const folder = await mkdtemp(join(base, 'artifactapi-bench-'));
  removeWithUs(folder);
  return folder;
}

/**
 * Writes a file and removes it. On a virtual machine, memory that was free for a second may be back with the host, and then
 * each page of a file costs several times as much as one that was just freed: whoever writes next would pay for that.
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
