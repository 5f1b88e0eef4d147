import { rmSync } from 'node:fs';
import { mkdtemp, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Containers often have a /dev/shm of 64 MiB, which some tests would fill. */
const minMemoryBytes = 1024 ** 3;

/**
 * Creates an empty folder, in memory where possible: a blob store creates hundreds of folders, and an index syncs every
 * change.
 */
export async function makeScratchFolder(): Promise<string> {
  const inMemory = await statfs('/dev/shm').then(
    ({ bavail, bsize }) => bavail * bsize >= minMemoryBytes,
    () => false,
  );
  return mkdtemp(join(inMemory ? '/dev/shm' : tmpdir(), 'artifactapi-test-'));
}

/** Removes a folder and its content, and the marker file that an index keeps beside its folder. */
export async function removeScratchFolder(path: string): Promise<void> {
  // A blob store has hundreds of folders, and a round trip through the thread pool for each costs more than the work.
  for (const each of [path, `${path}.json`]) rmSync(each, { recursive: true, force: true });
}
