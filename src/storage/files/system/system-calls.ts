import fs from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { hasCode } from '../storage-errors.js';

/** An open folder. `sync` makes the names in it durable. */
export interface OpenFolder {
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The file-system calls that behave differently on Windows. */
export interface SystemCalls {
  /** Renames a file and replaces the target if there is one. */
  readonly renameFile: (from: string, to: string) => Promise<void>;
  /** Deletes a file. @throws ENOENT when it does not exist. */
  readonly unlinkFile: (path: string) => Promise<void>;
  /**
   * Renames a file over one that others may be reading. Windows refuses this while they read. In that case, `from` is
   * deleted if `isIntact` confirms the target; otherwise the target is moved to `aside` and deleted first. `aside` is
   * an unused name on the same file system.
   */
  readonly replaceFile: (from: string, to: string, aside: string, isIntact: () => Promise<boolean>) => Promise<void>;
  /**
   * Deletes a file that others may be reading. Windows keeps its name in use while they read, so it is moved to `aside`
   * first.
   * @throws ENOENT when it does not exist
   */
  readonly unlinkSharedFile: (path: string, aside: string) => Promise<void>;
  /** Deletes a file if it exists. */
  readonly removeFile: (path: string) => Promise<void>;
  /** Deletes a folder and everything in it, if it exists. */
  readonly removeFolder: (path: string) => Promise<void>;
  /** Opens a folder that is synced often. On Windows its `sync` does nothing. */
  readonly openFolder: (path: string) => Promise<OpenFolder>;
  /** Makes the names in a folder durable. Does nothing on Windows, which cannot sync a folder. */
  readonly syncFolder: (path: string) => Promise<void>;
}

/** The primitives of Node that `createSystemCalls` needs. */
export interface SystemPrimitives {
  readonly platform: NodeJS.Platform;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  open(path: string, flags: 'r'): Promise<OpenFolder>;
  pause(milliseconds: number): Promise<unknown>;
}

const ofThisSystem: SystemPrimitives = {
  platform: process.platform,
  rename: fs.rename,
  unlink: fs.unlink,
  open: fs.open,
  pause,
};

/** Pauses between attempts of a call that Windows refuses because the file is open: 10 retries within 2 seconds. */
const retryDelaysMs: readonly number[] = [5, 10, 20, 40, 80, 160, 250, 400, 500, 500];

const unsyncedFolder: OpenFolder = { sync: async () => {}, close: async () => {} };

/** Returns whether Windows may have refused a call because another handle has the file open. */
function isOpenElsewhere(error: unknown): boolean {
  return hasCode(error, 'EPERM', 'EBUSY', 'EACCES');
}

/** Creates the calls for a platform. Tests pass other primitives. */
export function createSystemCalls(primitives: SystemPrimitives = ofThisSystem): SystemCalls {
  const isWindows = primitives.platform === 'win32';

  /**
   * Retries on Windows, which does not rename over or delete a file that another handle has open: a reader of ours, a
   * virus scanner or an indexer. Such handles close soon.
   */
  async function retry(call: () => Promise<void>): Promise<void> {
    for (const delayMs of isWindows ? retryDelaysMs : []) {
      try {
        return await call();
      } catch (error) {
        if (!isOpenElsewhere(error)) throw error;
      }
      await primitives.pause(delayMs);
    }
    return call();
  }

  const openFolder = async (path: string): Promise<OpenFolder> =>
    isWindows ? unsyncedFolder : primitives.open(path, 'r');
  const renameFile = (from: string, to: string): Promise<void> => retry(() => primitives.rename(from, to));
  const unlinkFile = (path: string): Promise<void> => retry(() => primitives.unlink(path));
  const removeFile = async (path: string): Promise<void> => {
    await unlinkFile(path).catch((error: unknown) => {
      if (!hasCode(error, 'ENOENT')) throw error;
    });
  };
  const unlinkSharedFile = async (path: string, aside: string): Promise<void> => {
    if (!isWindows) return unlinkFile(path);
    await renameFile(path, aside);
    await removeFile(aside);
  };
  return {
    openFolder,
    renameFile,
    unlinkFile,
    removeFile,
    removeFolder: (path) => fs.rm(path, { recursive: true, force: true, maxRetries: retryDelaysMs.length }),
    unlinkSharedFile,
    async replaceFile(from, to, aside, isIntact) {
      try {
        await renameFile(from, to);
      } catch (error) {
        if (!isWindows || !isOpenElsewhere(error)) throw error;
        if (await isIntact()) return removeFile(from);
        await unlinkSharedFile(to, aside);
        await renameFile(from, to);
      }
    },
    async syncFolder(path) {
      const folder = await openFolder(path);
      try {
        await folder.sync();
      } finally {
        await folder.close();
      }
    },
  };
}
