import fs from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { hasCode } from './storage-errors.js';

/** An open folder: `sync` makes the names in it durable. */
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
  /** Deletes a file if it exists. */
  readonly removeFile: (path: string) => Promise<void>;
  /** Opens a folder that is synced often. On Windows its `sync` does nothing. */
  readonly openFolder: (path: string) => Promise<OpenFolder>;
  /** Makes the names in a folder durable. Does nothing on Windows, which cannot sync a folder. */
  readonly syncFolder: (path: string) => Promise<void>;
}

/** What `createSystemCalls` needs from Node. */
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

/** Pauses between the attempts of a call that Windows refuses because the file is open: 10 retries within 2 seconds. */
const retryDelaysMs: readonly number[] = [5, 10, 20, 40, 80, 160, 250, 400, 500, 500];

const unsyncedFolder: OpenFolder = { sync: async () => {}, close: async () => {} };

/** The calls for a platform. Tests pass other primitives. */
export function createSystemCalls(primitives: SystemPrimitives = ofThisSystem): SystemCalls {
  const isWindows = primitives.platform === 'win32';

  /**
   * Windows does not rename over or delete a file that another handle has open, be it a reader of ours, a virus scanner or
   * an indexer. Such handles close soon, so the call is tried again.
   */
  async function retry(call: () => Promise<void>): Promise<void> {
    for (const delayMs of isWindows ? retryDelaysMs : []) {
      try {
        return await call();
      } catch (error) {
        if (!hasCode(error, 'EPERM', 'EBUSY', 'EACCES')) throw error;
      }
      await primitives.pause(delayMs);
    }
    return call();
  }

  const openFolder = async (path: string): Promise<OpenFolder> =>
    isWindows ? unsyncedFolder : primitives.open(path, 'r');
  const unlinkFile = (path: string): Promise<void> => retry(() => primitives.unlink(path));
  return {
    openFolder,
    unlinkFile,
    renameFile: (from, to) => retry(() => primitives.rename(from, to)),
    async removeFile(path) {
      await unlinkFile(path).catch((error: unknown) => {
        if (!hasCode(error, 'ENOENT')) throw error;
      });
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
