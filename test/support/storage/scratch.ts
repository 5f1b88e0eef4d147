import { existsSync, rmSync } from 'node:fs';
import { mkdtemp, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Containers often have a /dev/shm of 64 MiB, which some tests would fill. */
const minMemoryBytes = 1024 ** 3;

const made = new Set<string>();

/**
 * Creates an empty folder, in memory where possible: a blob store creates hundreds of folders, and an index syncs every
 * change.
 */
export async function makeScratchFolder(): Promise<string> {
  const inMemory = await statfs('/dev/shm').then(
    ({ bavail, bsize }) => bavail * bsize >= minMemoryBytes,
    () => false,
  );
  const path = await mkdtemp(join(inMemory ? '/dev/shm' : tmpdir(), 'artifactapi-test-'));
  made.add(path);
  return path;
}

/** Returns the folders created since the last call that still exist. */
export function takeLeftFolders(): string[] {
  const left = [...made].filter((path) => existsSync(path));
  made.clear();
  return left;
}

/** Removes a folder and its content, and the marker file that an index keeps beside its folder. */
export async function removeScratchFolder(path: string): Promise<void> {
  // A blob store has hundreds of folders, and a round trip through the thread pool for each costs more than the work.
  for (const each of [path, `${path}.json`]) rmSync(each, { recursive: true, force: true });
}
