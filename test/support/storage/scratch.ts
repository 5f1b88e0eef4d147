import { access, constants, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Creates an empty folder, in memory where possible, since a blob store creates hundreds of folders. */
export async function makeScratchFolder(): Promise<string> {
  const inMemory = await access('/dev/shm', constants.W_OK).then(
    () => true,
    () => false,
  );
  return mkdtemp(join(inMemory ? '/dev/shm' : tmpdir(), 'artifactapi-test-'));
}

/** Removes a folder and its content. */
export async function removeScratchFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}
