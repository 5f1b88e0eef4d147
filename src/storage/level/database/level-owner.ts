import { readFileSync, readlinkSync } from 'node:fs';
import { uptime } from 'node:os';

/** The process that has a folder open, described so that a later process with the same pid is not taken for it. */
export interface Owner {
  readonly pid: number;
  /** The boot and the pid namespace in which `pid` means something. */
  readonly machine: string;
  /** When the process began, in the kernel's ticks; empty where the system does not say. */
  readonly began: string;
}

/** What identifies processes on a system. */
export interface ProcessTable {
  readonly platform: NodeJS.Platform;
  readonly pid: number;
  /** Milliseconds since the epoch, as the clock and the uptime say now. */
  bootedAt(): number;
  /** The text of a file, or the target of a link, under /proc. @throws where there is none. */
  readFile(path: string): string;
  readLink(path: string): string;
  /** Throws ESRCH for a process that does not exist. */
  signal(pid: number, signal: 0): void;
}

const ofThisSystem: ProcessTable = {
  platform: process.platform,
  pid: process.pid,
  bootedAt: () => Date.now() - uptime() * 1000,
  readFile: (path) => readFileSync(path, 'utf8'),
  readLink: (path) => readlinkSync(path),
  signal: (pid, signal) => void process.kill(pid, signal),
};

export function describeSelf(table: ProcessTable = ofThisSystem): Owner {
  return { pid: table.pid, machine: machineOf(table), began: beginningOf(table, table.pid) };
}

/**
 * Whether the owner still runs. An owner of another boot, or of another container's pids, cannot be looked up: LevelDB's
 * lock decides about it alone.
 */
export function isAlive(owner: Owner, table: ProcessTable = ofThisSystem): boolean {
  // LevelDB's lock is an open handle there, which cannot get lost, and the pid of a dead owner is soon another program's.
  if (table.platform === 'win32') return false;
  if (owner.machine !== machineOf(table)) return false;
  // Without start times, our own pid can only be a reused one: what this process has open is known.
  if (owner.pid === table.pid) return owner.began !== '' && owner.began === beginningOf(table, table.pid);
  try {
    table.signal(owner.pid, 0);
  } catch (error) {
    // EPERM: it lives, and belongs to another user.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const began = beginningOf(table, owner.pid);
  // Ended, and not yet reaped by its parent: it holds nothing any more.
  if (began === 'ended') return false;
  return began === owner.began || began === '' || owner.began === '';
}

function machineOf(table: ProcessTable): string {
  try {
    return `${table.readFile('/proc/sys/kernel/random/boot_id').trim()} ${table.readLink('/proc/self/ns/pid')}`;
  } catch {
    // To the minute, since clock and uptime are read one after the other. When the clock was set meanwhile, or at the edge
    // of a minute, it looks like another boot, and LevelDB's lock decides.
    return `${table.platform} ${Math.round(table.bootedAt() / 60_000)}`;
  }
}

/**
 * Field 22 of /proc/<pid>/stat, or `ended` for a zombie; the fields before it may hold a name with spaces, in parentheses.
 */
function beginningOf(table: ProcessTable, pid: number): string {
  try {
    const stat = table.readFile(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? 'ended' : (fields[19] ?? '');
  } catch {
    return '';
  }
}
