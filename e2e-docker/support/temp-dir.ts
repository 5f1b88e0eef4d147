import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findTool, run } from './commands.js';

export interface TempDir {
  readonly path: string;
  /** Stops processes that use the folder, such as shims of containers, unmounts everything in it and removes it. */
  release(): Promise<void>;
}

/** Creates a folder with a short path, because paths of sockets are limited to 108 bytes. */
export async function createTempDir(): Promise<TempDir> {
  const path = await mkdtemp(join(tmpdir(), 'e2e-'));
  return { path, release: () => release(path) };
}

async function release(path: string): Promise<void> {
  for (const pid of processesNaming(path)) endProcess(pid);
  // Deepest first: a mount cannot be unmounted before those inside it.
  const mounts = mountsUnder(path).toSorted((a, b) => b.length - a.length);
  for (const mount of mounts) await run('umount', ['--lazy', mount]);
  await removeFolder(path);
}

/**
 * Returns the ids of processes whose command line contains the folder. Its name is random, so these are descendants of our
 * daemons: shims of containerd, which leave the process group of their parent.
 */
function processesNaming(path: string): number[] {
  return listOrEmpty('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => readOrEmpty(`/proc/${pid}/cmdline`).includes(path))
    .map(Number)
    .filter((pid) => pid !== process.pid);
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // The process has exited in the meantime.
  }
}

function mountsUnder(path: string): string[] {
  if (findTool('umount') === undefined) return [];
  return readOrEmpty('/proc/self/mountinfo')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((mount) => mount.startsWith(`${path}/`));
}

/** Removes the folder. Retries for a moment, because a process that was just killed may still write its last file. */
async function removeFolder(path: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await rm(path, { recursive: true, force: true });
    } catch (error) {
      if (attempt === 100) throw error;
      await sleep(100);
    }
  }
}

function listOrEmpty(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
