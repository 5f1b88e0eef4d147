import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandResult } from './commands.js';
import type { Workspace } from './test-bed.js';

/** Runs podman or buildah with its own image storage and state in the folder of the test. */
export async function containersTool(
  bed: Workspace,
  tool: 'podman' | 'buildah',
): Promise<(...args: string[]) => Promise<CommandResult>> {
  const folder = join(bed.folder, tool);
  const policy = join(folder, 'policy.json');
  await mkdir(folder, { recursive: true });
  await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }));
  // The vfs driver copies folders, so a failing test leaves no overlay mounts behind.
  const storage = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run'), '--storage-driver', 'vfs'];
  const own =
    tool === 'podman'
      ? [
          ...storage,
          '--tmpdir',
          join(folder, 'tmp'),
          '--runtime',
          'runc',
          '--cgroup-manager',
          'cgroupfs',
          '--events-backend',
          'none',
        ]
      : storage;
  return (...args) => bed.run(tool, ...own, ...withPolicy(args, policy));
}

/** Replaces the image policy of the machine, which may require signatures. */
function withPolicy([command = '', ...rest]: string[], policy: string): string[] {
  const takesPolicy = ['pull', 'push', 'build', 'from'].includes(command);
  return takesPolicy ? [command, '--signature-policy', policy, ...rest] : [command, ...rest];
}
