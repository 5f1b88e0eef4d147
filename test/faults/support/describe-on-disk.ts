import { describe, expect, test } from 'vitest';
import { findMountObstacle, type FileSystem } from './loop-disk.js';

/**
 * A suite that mounts file systems of its own. Where that is not permitted the suite is skipped and its name says why; in CI
 * (`CI=true`) that is a failure instead, since a run that tested nothing must not look green.
 */
export async function describeOnDisk(name: string, fileSystem: FileSystem, body: () => void): Promise<void> {
  const obstacle = await findMountObstacle(fileSystem);
  if (obstacle === undefined) return void describe(name, body);
  const reason = `${name} (not run: ${obstacle})`;
  if (process.env['CI'] !== 'true') return void describe.skipIf(true)(reason, body);
  describe(name, () => {
    test('a file system can be mounted', () => expect.fail(reason));
  });
}
