import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandResult } from './commands.js';
import type { Workspace } from './test-bed.js';

/** Runs podman or buildah with image storage and state of its own, in the test's folder. */
export async function containersTool(
  bed: Workspace,
  tool: 'podman' | 'buildah',
): Promise<(...args: string[]) => Promise<CommandResult>> {
  const folder = join(bed.folder, tool);
  const policy = join(folder, 'policy.json');
  await mkdir(folder, { recursive: true });
  await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }));
  // Plain copies of folders: no overlay mounts that a failing test could leave behind.
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

/** Where the image policy counts, it is the test's, not the machine's, which may demand signatures. */
function withPolicy([command = '', ...rest]: string[], policy: string): string[] {
  const takesPolicy = ['pull', 'push', 'build', 'from'].includes(command);
  return takesPolicy ? [command, '--signature-policy', policy, ...rest] : [command, ...rest];
}
