import { mkdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { syncFolder } from '../../files/system/files.js';

/**
 * Creates a folder and its parents durably. LevelDB syncs the content of its folder but not the entry in the parent.
 */
export async function makeFolder(folder: string, mode: number): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode });
  if (first === undefined) return;
  let parent = resolve(folder);
  do {
    parent = dirname(parent);
    await syncFolder(parent);
  } while (parent.length >= resolve(first).length);
}
