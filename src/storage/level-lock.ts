import { readFileSync, readlinkSync } from 'node:fs';
import { readFile, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeFile, renameFile } from './files.js';

/**
 * The index folders that this process has open, by real path. State of the module, against the house rule, because it
 * mirrors a fact of the process: LevelDB's lock on a folder belongs to the process, and a second attempt to open the folder
 * from inside it, even a failing one, silently gives that lock away. So it must never be tried, by whichever registry.
 */
const openFolders = new Set<string>();

/** Beside LevelDB's own files, which ignores it. */
const ownerFile = 'owner.json';

/** Who has a folder open, told well enough that a later process with the same pid is not taken for it. */
interface Owner {
  readonly pid: number;
  /** The boot and the pid namespace in which `pid` means something. */
  readonly machine: string;
  /** When the process began, in the kernel's ticks; empty where the system does not tell. */
  readonly began: string;
}

/**
 * A claim on an index folder, besides LevelDB's own `LOCK`: that one decides between two processes, as long as nobody
 * opened or copied the file inside the owning process (closing it anywhere drops the lock). This one still stands then.
 */
export class FolderLock {
  readonly #folder: string;
  #confirmed = false;
  #released = false;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws Error that names the folder when this process or another living one has it. */
  static async claim(folder: string): Promise<FolderLock> {
    const real = await realpath(folder);
    if (openFolders.has(real)) throw new Error(`this process already has ${folder} open`);
    openFolders.add(real);
    try {
      const owner = await readOwner(real);
      if (owner !== undefined && isAlive(owner)) {
        if (owner.pid === process.pid) throw new Error(`another thread of this process has ${folder} open`);
        throw new Error(`another process (pid ${owner.pid}) has ${folder} open`);
      }
    } catch (error) {
      openFolders.delete(real);
      throw error;
    }
    return new FolderLock(real);
  }

  /** To be called once LevelDB has its lock, which decided between processes that start at the same time. */
  async confirm(): Promise<void> {
    const path = join(this.#folder, ownerFile);
    const draft = `${path}.${process.pid}`;
    await writeFile(draft, JSON.stringify(describeSelf()));
    await renameFile(draft, path);
    this.#confirmed = true;
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    try {
      if (this.#confirmed) await removeFile(join(this.#folder, ownerFile));
    } finally {
      openFolders.delete(this.#folder);
    }
  }
}

async function readOwner(folder: string): Promise<Owner | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, ownerFile), 'utf8')) as Owner;
  } catch {
    // None, or one that a power cut left unreadable: LevelDB's lock decides alone.
    return undefined;
  }
}

/** An owner of another boot, or of another container's pids, cannot be looked up: LevelDB's lock decides about it alone. */
function isAlive(owner: Owner): boolean {
  if (owner.machine !== machineOf()) return false;
  // Without start times, our own pid can only be a reused one: what this process has open is in `openFolders`.
  if (owner.pid === process.pid) return owner.began !== '' && owner.began === beginningOf(process.pid);
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    // EPERM: it lives, and belongs to another user.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const began = beginningOf(owner.pid);
  // Ended, and not yet reaped by its parent: it holds nothing any more.
  if (began === 'ended') return false;
  return began === owner.began || began === '' || owner.began === '';
}

function describeSelf(): Owner {
  return { pid: process.pid, machine: machineOf(), began: beginningOf(process.pid) };
}

function machineOf(): string {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return process.platform;
  }
}

/**
 * Field 22 of /proc/<pid>/stat, or `ended` for a zombie; the fields before it may hold a name with spaces, in parentheses.
 */
function beginningOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? 'ended' : (fields[19] ?? '');
  } catch {
    return '';
  }
}
