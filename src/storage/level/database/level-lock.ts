import { readFile, realpath, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeFile, renameFile } from '../../files/system/files.js';
import { describeSelf, isAlive, type Owner } from './level-owner.js';

/**
 * The index folders that this process has open, by device and inode: one folder can have several paths, by a bind mount or
 * where upper and lower case are the same. State of the module, against the house rule, because it mirrors a fact of the
 * process: LevelDB's lock on a folder belongs to the process, and a second attempt to open the folder from inside it, even a
 * failing one, silently gives that lock away. So it must never be tried, by whichever registry.
 */
const openFolders = new Set<string>();

/** Beside LevelDB's own files, which ignores it. */
const ownerFile = 'owner.json';

interface StoredOwner extends Owner {
  /** The device and inode of the folder that it owns: the file is in copies of the folder too. Older releases have none. */
  readonly folder?: string;
}

/** Another owner has the folder open. */
export class FolderInUseError extends Error {
  override readonly name = 'FolderInUseError';
  readonly code = 'FOLDER_IN_USE';
}

/**
 * A claim on an index folder, besides LevelDB's own `LOCK`: that one decides between two processes, as long as nobody
 * opened or copied the file inside the owning process (closing it anywhere drops the lock). This one still stands then.
 */
export class FolderLock {
  readonly #folder: string;
  readonly #identity: string;
  #confirmed = false;
  #released = false;

  private constructor(folder: string, identity: string) {
    this.#folder = folder;
    this.#identity = identity;
  }

  /** @throws Error that names the folder when this process or another living one has it. */
  static async claim(folder: string): Promise<FolderLock> {
    const real = await realpath(folder);
    const { dev, ino } = await stat(real, { bigint: true });
    const identity = `${dev}:${ino}`;
    if (openFolders.has(identity)) throw new FolderInUseError(`this process already has ${folder} open`);
    openFolders.add(identity);
    try {
      const owner = await readOwner(real);
      const isCopy = owner?.folder !== undefined && owner.folder !== identity;
      if (owner !== undefined && !isCopy && isAlive(owner)) {
        if (owner.pid === process.pid) throw new FolderInUseError(`another thread of this process has ${folder} open`);
        throw new FolderInUseError(`another process (pid ${owner.pid}) has ${folder} open`);
      }
    } catch (error) {
      openFolders.delete(identity);
      throw error;
    }
    return new FolderLock(real, identity);
  }

  /** To be called once LevelDB has its lock, which decided between processes that start at the same time. */
  async confirm(): Promise<void> {
    const path = join(this.#folder, ownerFile);
    const draft = `${path}.${process.pid}`;
    await writeFile(draft, JSON.stringify({ ...describeSelf(), folder: this.#identity } satisfies StoredOwner));
    await renameFile(draft, path);
    this.#confirmed = true;
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    try {
      if (this.#confirmed) await removeFile(join(this.#folder, ownerFile));
    } finally {
      openFolders.delete(this.#identity);
    }
  }
}

async function readOwner(folder: string): Promise<StoredOwner | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, ownerFile), 'utf8')) as StoredOwner;
  } catch {
    // None, or one that a power cut left unreadable: LevelDB's lock decides alone.
    return undefined;
  }
}
