import { readFile, realpath, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeFile, renameFile } from '../../files/system/files.js';
import { describeSelf, isAlive, type Owner } from './level-owner.js';

/**
 * The index folders that this process has open, by device and inode: a folder can have several paths, through bind
 * mounts or on case-insensitive file systems. This is module-level state, against the house rule, because it mirrors a
 * fact about the process: LevelDB's lock on a folder belongs to the process, and any second attempt to open the folder
 * in it, even a failing one, silently releases that lock. No registry in the process may make such an attempt.
 */
const openFolders = new Set<string>();

/** Stored among LevelDB's own files; LevelDB ignores it. */
const ownerFile = 'owner.json';

interface StoredOwner extends Owner {
  /**
   * The device and inode of the owned folder, because copies of the folder contain this file too. Older releases do not
   * write it.
   */
  readonly folder?: string;
}

/** Another owner has the folder open. */
export class FolderInUseError extends Error {
  override readonly name = 'FolderInUseError';
  readonly code = 'FOLDER_IN_USE';
}

/**
 * A claim on an index folder, in addition to LevelDB's `LOCK`. LevelDB's lock decides between two processes, unless the
 * owning process opens or copies the lock file: closing it anywhere in the process drops the lock. This claim holds
 * even then.
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

  /** Claims a folder. @throws FolderInUseError when this process or another running one has it open */
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

  /**
   * Writes the owner file. Called once LevelDB holds its lock, which decides between processes that start at the same
   * time.
   */
  async confirm(): Promise<void> {
    const path = join(this.#folder, ownerFile);
    const draft = `${path}.${process.pid}`;
    await writeFile(draft, JSON.stringify({ ...describeSelf(), folder: this.#identity } satisfies StoredOwner));
    await renameFile(draft, path);
    this.#confirmed = true;
  }

  /** Removes the claim. */
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
    // Only this class writes the file.
    return JSON.parse(await readFile(join(folder, ownerFile), 'utf8')) as StoredOwner;
  } catch {
    // Missing, or unreadable after a power cut: LevelDB's lock alone decides.
    return undefined;
  }
}
