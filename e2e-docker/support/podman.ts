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
  await writeFile(policy, anyPolicy);
  const own = containersArgs(bed, tool);
  return (...args) => bed.run(tool, ...own, ...withPolicy(args, policy));
}

/** The text of an image policy that accepts images without signatures. */
export const anyPolicy = JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] });

/** Returns the flags that keep the images and the state of podman or buildah in the folder of the test. */
export function containersArgs({ folder: parent }: Workspace, tool: 'podman' | 'buildah'): readonly string[] {
  const folder = join(parent, tool);
  // The vfs driver copies folders, so a failing test leaves no overlay mounts behind.
  const storage = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run'), '--storage-driver', 'vfs'];
  if (tool === 'buildah') return storage;
  const state = ['--tmpdir', join(folder, 'tmp'), '--events-backend', 'none'];
  return [...storage, ...state, '--runtime', 'runc', '--cgroup-manager', 'cgroupfs'];
}

/** Replaces the image policy of the machine, which may require signatures. */
function withPolicy([command = '', ...rest]: string[], policy: string): string[] {
  const takesPolicy = ['pull', 'push', 'build', 'from'].includes(command);
  return takesPolicy ? [command, '--signature-policy', policy, ...rest] : [command, ...rest];
}
