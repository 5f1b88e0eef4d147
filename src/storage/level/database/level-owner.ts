import { readFileSync, readlinkSync } from 'node:fs';
import { uptime } from 'node:os';

/**
 * The process that has a folder open, described precisely enough that a later process with the same pid is not mistaken
 * for it.
 */
export interface Owner {
  readonly pid: number;
  /** The boot and the pid namespace in which `pid` is valid. */
  readonly machine: string;
  /** Start time of the process in kernel ticks; empty where the system does not report it. */
  readonly began: string;
}

/** The system calls that identify processes. */
export interface ProcessTable {
  readonly platform: NodeJS.Platform;
  readonly pid: number;
  /** Returns the boot time in milliseconds since the epoch, from the clock and the uptime. */
  bootedAt(): number;
  /** Reads a file under /proc. @throws where it does not exist */
  readFile(path: string): string;
  /** Reads a link under /proc. @throws where it does not exist */
  readLink(path: string): string;
  /** Signals a process. @throws ESRCH when it does not exist */
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

/** Describes this process. */
export function describeSelf(table: ProcessTable = ofThisSystem): Owner {
  return { pid: table.pid, machine: machineOf(table), began: startTimeOf(table, table.pid) };
}

/**
 * Returns whether the owner is still running. Returns false for an owner of another boot or pid namespace, which cannot
 * be looked up: LevelDB's lock alone decides.
 */
export function isAlive(owner: Owner, table: ProcessTable = ofThisSystem): boolean {
  // On Windows, LevelDB's lock is an open handle, which cannot be lost, and other programs soon reuse the pid of a dead
  // owner.
  if (table.platform === 'win32') return false;
  if (owner.machine !== machineOf(table)) return false;
  // Without start times, an owner with our pid is an earlier process: the folders that this process has open are known.
  if (owner.pid === table.pid) return owner.began !== '' && owner.began === startTimeOf(table, table.pid);
  try {
    table.signal(owner.pid, 0);
  } catch (error) {
    // EPERM: the process exists and belongs to another user.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const began = startTimeOf(table, owner.pid);
  // A zombie that its parent has not reaped holds nothing any more.
  if (began === 'ended') return false;
  return began === owner.began || began === '' || owner.began === '';
}

function machineOf(table: ProcessTable): string {
  try {
    return `${table.readFile('/proc/sys/kernel/random/boot_id').trim()} ${table.readLink('/proc/self/ns/pid')}`;
  } catch {
    // Rounded to the minute, since clock and uptime are read one after the other. After a change of the clock, or at
    // the edge of a minute, this looks like another boot, and LevelDB's lock decides.
    return `${table.platform} ${Math.round(table.bootedAt() / 60_000)}`;
  }
}

/**
 * Returns field 22 of /proc/<pid>/stat, or `ended` for a zombie. An earlier field holds a name in parentheses, which
 * may contain spaces.
 */
function startTimeOf(table: ProcessTable, pid: number): string {
  try {
    const stat = table.readFile(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? 'ended' : (fields[19] ?? '');
  } catch {
    return '';
  }
}
