import type { Dirent } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

/** The system calls to find mounts. Tests pass others. */
export interface MountSystem {
  readonly platform: NodeJS.Platform;
  /** Returns the mount table of Linux: proc_pid_mountinfo(5). */
  readMountTable(): Promise<string>;
}

const thisSystem: MountSystem = {
  platform: process.platform,
  readMountTable: () => readFile('/proc/self/mountinfo', 'utf8'),
};

/**
 * Returns the names of the entries that may be on another file system than their folder, or on another mount of the
 * same one: mount points, links, and anything that is not a folder. Returns all entries where the system does not list
 * its mounts.
 */
export async function findMounted(
  folder: string,
  entries: readonly Dirent[],
  system: MountSystem = thisSystem,
): Promise<string[]> {
  const mounted = await mountPointsIn(folder, system);
  return entries.filter((entry) => mounted?.has(entry.name) !== false || !entry.isDirectory()).map(({ name }) => name);
}

/** Returns the names of the mount points directly in a folder; `undefined` where mounts are not listed. */
async function mountPointsIn(folder: string, system: MountSystem): Promise<ReadonlySet<string> | undefined> {
  // On Windows, a mounted volume is a link.
  if (system.platform === 'win32') return new Set();
  if (system.platform !== 'linux') return undefined;
  try {
    const [where, table] = await Promise.all([realpath(folder), system.readMountTable()]);
    const points = table.split('\n').map((line) => unescape(line.split(' ', 5)[4] ?? ''));
    return new Set(points.filter((point) => dirname(point) === where).map((point) => basename(point)));
  } catch {
    return undefined;
  }
}

/** Decodes the octal escapes of space, tab, newline and backslash in the table. */
function unescape(path: string): string {
  return path.replace(/\\(?<octal>[0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
