import { describe, expect, test } from 'vitest';
import { findMountObstacle, type FileSystem } from './loop-disk.js';

/**
 * Declares a suite that mounts its own file systems. Where mounting is not permitted, the suite is skipped and its name
 * contains the reason. In CI (`CI=true`) it fails instead, since a run without tests must not pass.
 */
export async function describeOnDisk(name: string, fileSystem: FileSystem, body: () => void): Promise<void> {
  const obstacle = await findMountObstacle(fileSystem);
  if (obstacle === undefined) return void describe(name, body);
  const reason = `${name} (not run: ${obstacle})`;
  if (process.env['CI'] !== 'true') return void describe.skipIf(true)(reason, body);
  describe(name, () => {
    test('can mount a file system', () => expect.fail(reason));
  });
}
