import { access, constants, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new empty folder, in memory where the system has such a place: a blob store makes hundreds of folders. */
export async function makeScratchFolder(): Promise<string> {
  const inMemory = await access('/dev/shm', constants.W_OK).then(
    () => true,
    () => false,
  );
  return mkdtemp(join(inMemory ? '/dev/shm' : tmpdir(), 'artifactapi-test-'));
}

export async function removeScratchFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}
