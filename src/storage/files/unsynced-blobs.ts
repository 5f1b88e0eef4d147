import type { BlobInfo } from '../../ports/bytes.js';
import { algorithmOf, digestOf, type Digest } from '../../protocol/digest.js';
import { inParallel } from '../../util/scheduling/concurrency.js';
import { statFile, type BlobFolders } from './blob-folders.js';
import type { PublishedBlobs } from './published-blobs.js';
import {
  closeNow,
  openFile,
  readFully,
  removeFile,
  renameFile,
  statOpen,
  syncData,
  syncFolder,
  writeFully,
} from './system/files.js';
import { hasCode, toStorageError } from './storage-errors.js';

/** The size of the largest blob that may wait: after a crash, the next start reads all of them. */
export const maxUnsyncedBytes = 1024 * 1024;
/** How long a blob waits for a manifest before it is synced in the background. */
const defaultDelayMs = 5000;
/** Half of the threads of the pool, which requests need too. */
const maxBackgroundSyncs = 2;

/** Called when the bytes of an acknowledged blob are gone or damaged before they were on the disk. */
export type OnLost = (digest: Digest, cause?: unknown) => void;

export interface UnsyncedOptions {
  /** Beyond it, blobs are synced at once. */
  readonly maxFiles: number;
  readonly delayMs?: number | undefined;
  readonly onLost?: OnLost | undefined;
}

interface UnsyncedFile {
  readonly info: BlobInfo;
  /** Stays open, because the sync would have to open the file again. */
  readonly fd: number;
  /** Resolves when the file has its name in the folder. */
  readonly named: Promise<void>;
  isNamed: boolean;
  /** A sync failed, or may have. */
  hasFailed: boolean;
  isSynced: boolean;
  isMoved: boolean;
  settling: Promise<void> | undefined;
}

const noState = { isNamed: false, hasFailed: false, isSynced: false, isMoved: false, settling: undefined };

/**
 * Blobs whose bytes may not be on the disk yet. Their files are in a folder of their own, so that a file in the folder of
 * blobs always has synced bytes, even after a process was killed. Not in use by a closed store.
 */
export class UnsyncedBlobs {
  readonly #folders: BlobFolders;
  readonly #published: PublishedBlobs;
  readonly #options: UnsyncedOptions;
  readonly #files = new Map<Digest, UnsyncedFile>();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(folders: BlobFolders, published: PublishedBlobs, options: UnsyncedOptions) {
    this.#folders = folders;
    this.#published = published;
    this.#options = options;
  }

  /** Returns an unsynced blob. */
  find(digest: Digest): BlobInfo | undefined {
    const file = this.#files.get(digest);
    return file?.isNamed === true ? file.info : undefined;
  }

  /**
   * Takes over a verified file and its descriptor. Returns false when the file has to be synced at once, because too many files or one
   * of the same blob wait.
   */
  async add(path: string, fd: number, info: BlobInfo): Promise<boolean> {
    const { digest } = info;
    if (this.#isClosed || this.#files.size >= this.#options.maxFiles || this.#files.has(digest)) return false;
    const named = renameFile(path, this.#folders.unsynced(digest));
    const file: UnsyncedFile = { ...noState, info, fd, named };
    this.#files.set(digest, file);
    try {
      await named;
    } catch (error) {
      this.#files.delete(digest);
      throw error;
    }
    file.isNamed = true;
    this.#startTimer();
    return true;
  }

  /** Makes a blob durable; does nothing when it is. @throws the error of the disk. Then the next call tries again. */
  async settle(digest: Digest): Promise<void> {
    const file = this.#files.get(digest);
    if (file === undefined) return;
    file.settling ??= this.#sync(file).finally(() => (file.settling = undefined));
    await file.settling;
  }

  /** Deletes an unsynced blob. Returns whether there was one. */
  async drop(digest: Digest): Promise<boolean> {
    const file = this.#files.get(digest);
    if (file === undefined) return false;
    await this.settle(digest).catch(() => undefined);
    if (!(await this.#giveUp(file))) return false;
    await removeFile(this.#folders.unsynced(digest));
    return true;
  }

  /** Makes all blobs durable. @throws the error of the first that could not be; the others are tried. */
  async settleAll(): Promise<void> {
    await inParallel([...this.#files.keys()], maxBackgroundSyncs, (digest) => this.settle(digest));
  }

  /** Makes all blobs durable that can be. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#settleInBackground();
    // The next start tries again.
    for (const file of this.#files.values()) await this.#giveUp(file);
  }

  async #settleInBackground(): Promise<void> {
    // After a failure, the next push of a manifest tries again, and so does the timer.
    await inParallel([...this.#files.keys()], maxBackgroundSyncs, (digest) =>
      this.settle(digest).catch(() => undefined),
    );
    // Not earlier, because on a slow disk another round would start and occupy more threads.
    this.#timer = undefined;
    if (this.#files.size > 0) this.#startTimer();
  }

  #startTimer(): void {
    if (this.#isClosed) return;
    this.#timer ??= setTimeout(() => void this.#settleInBackground(), this.#options.delayMs ?? defaultDelayMs).unref();
  }

  async #sync(file: UnsyncedFile): Promise<void> {
    const { info } = file;
    try {
      await file.named;
    } catch {
      // Reported by `add`.
      return;
    }
    try {
      if (!file.isSynced) await this.#syncBytes(file);
      if (!file.isMoved) await this.#published.replace(this.#folders.unsynced(info.digest), info.digest);
      file.isMoved = true;
      await this.#published.seal(info);
      this.#forget(file);
    } catch (error) {
      const path = this.#folders.unsynced(info.digest);
      const isMissing = hasCode(error, 'ENOENT') && (await statFile(path)) === undefined;
      if (!isMissing && !(error instanceof DamagedError)) throw toStorageError(error);
      this.#forget(file);
      await removeFile(path).catch(() => undefined);
      this.#options.onLost?.(info.digest, error);
    }
  }

  async #syncBytes(file: UnsyncedFile): Promise<void> {
    if (file.hasFailed) await rewrite(file.fd, file.info);
    // Until the sync succeeds.
    file.hasFailed = true;
    await syncData(file.fd);
    file.isSynced = true;
  }

  /** Forgets a file that could not be settled. Returns false if it is settled by now. */
  async #giveUp(file: UnsyncedFile): Promise<boolean> {
    // Another caller may have tried again, and uses the descriptor.
    while (file.settling !== undefined) await file.settling.catch(() => undefined);
    if (this.#files.get(file.info.digest) !== file) return false;
    this.#forget(file);
    return true;
  }

  #forget({ fd, info }: UnsyncedFile): void {
    closeNow(fd);
    this.#files.delete(info.digest);
  }
}

/**
 * Settles the unsynced blobs that a killed process left: moves complete ones to the folder of blobs, and deletes those that a power
 * cut damaged. Requires that no process has the folder open.
 */
export async function recoverUnsynced(folders: BlobFolders, onLost?: OnLost): Promise<void> {
  const touched = new Set<string>();
  for (const digest of await folders.unsyncedDigests()) {
    const path = folders.unsynced(digest);
    try {
      const fd = await openFile(path, 'r+');
      try {
        await rewrite(fd, { digest, size: (await statOpen(fd)).size });
        await syncData(fd);
      } finally {
        closeNow(fd);
      }
    } catch (error) {
      if (!(error instanceof DamagedError) && !hasCode(error, 'EIO')) throw error;
      onLost?.(digest, error);
      await removeFile(path);
      continue;
    }
    await renameFile(path, folders.blob(digest));
    touched.add(folders.folder(digest));
  }
  for (const folder of touched) await syncFolder(folder);
}

/**
 * Writes the bytes of a file again, since after a failed sync the system treats lost pages as written, and the next sync would
 * succeed.
 * @throws DamagedError when the file has other bytes by now.
 */
async function rewrite(fd: number, { digest, size }: Pick<BlobInfo, 'digest' | 'size'>): Promise<void> {
  const bytes = await readFully(fd, size);
  if (digestOf(bytes, algorithmOf(digest)) !== digest) throw new DamagedError(digest);
  if (size > 0) await writeFully(fd, [bytes], 0, () => undefined);
}

class DamagedError extends Error {
  override readonly name = 'DamagedError';

  constructor(digest: Digest) {
    super(`the file does not have the bytes of ${digest}`);
  }
}
