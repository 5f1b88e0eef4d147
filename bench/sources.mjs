import { createHash, randomFillSync } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * @typedef {object} Source
 * @property {string} path
 * @property {string} digest
 * @property {number} size
 */

const blockBytes = 1024 * 1024;

/**
 * Writes a file with unique content that cannot be compressed block by block.
 * @param {string} folder
 * @param {string} name
 * @param {number} size A multiple of 1 MiB.
 * @returns {Promise<Source>}
 */
export async function makeSource(folder, name, size) {
  const path = join(folder, name);
  const block = randomFillSync(Buffer.alloc(blockBytes));
  const hash = createHash('sha256');
  const file = await open(path, 'wx');
  try {
    for (let offset = 0; offset < size; offset += blockBytes) {
      block.writeDoubleLE(offset, 0);
      hash.update(block);
      await file.writeFile(block);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { path, size, digest: `sha256:${hash.digest('hex')}` };
}
