import type { BlobContent, BlobInfo, ByteRange } from '../../ports/bytes.js';
import type { Digest } from '../../protocol/digest.js';
import { inParallel } from '../../util/scheduling/concurrency.js';
import { statFile, type BlobFolders } from './blob-folders.js';
import type { PublishedBlobs } from './published-blobs.js';
import { FileContent, type BufferPool } from './file-content.js';
import { closeNow, removeFile, renameFile, syncData } from './system/files.js';
import { hasCode, toStorageError } from './storage-errors.js';
import { isDamage, rewrite, type OnUnsynced } from './unsynced-recovery.js';

/** The size of the largest blob that may wait: after a crash, the next start reads all of them. */
export const maxUnsyncedBytes = 1024 * 1024;
/** How long a blob waits for a manifest before it is synced in the background. */
const defaultDelayMs = 5000;
/** Half of the threads of the pool, which requests need too. */
const maxBackgroundSyncs = 2;

export interface UnsyncedOptions {
  /** Beyond it, blobs are synced at once. */
  readonly maxFiles: number;
  readonly delayMs?: number | undefined;
  readonly onUnsynced?: OnUnsynced | undefined;
  /** The files that the start could not settle. */
  readonly left?: Iterable<Digest>;
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
  /** The log has the first failure. */
  isReported: boolean;
  settling: Promise<void> | undefined;
}

const noState = {
  isNamed: false,
  hasFailed: false,
  isSynced: false,
  isMoved: false,
  isReported: false,
  settling: undefined,
};

/**
 * Blobs whose bytes may not be on the disk yet. Their files are in a folder of their own, so that a file in the folder of
 * blobs always has synced bytes, even after a process was killed. Not in use by a closed store.
 */
export class UnsyncedBlobs {
  readonly #folders: BlobFolders;
  readonly #published: PublishedBlobs;
  readonly #options: UnsyncedOptions;
  readonly #files = new Map<Digest, UnsyncedFile>();
  /** Absent blobs whose files wait for the next start. */
  readonly #left: Set<Digest>;
  /** How many running writes name a digest. */
  readonly #named = new Map<Digest, number>();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(folders: BlobFolders, published: PublishedBlobs, options: UnsyncedOptions) {
    this.#folders = folders;
    this.#published = published;
    this.#options = options;
    this.#left = new Set(options.left);
  }

  /** Returns an unsynced blob. */
  find(digest: Digest): BlobInfo | undefined {
    const file = this.#files.get(digest);
    return file?.isNamed === true ? file.info : undefined;
  }

  /**
   * Makes a blob durable. If that fails, returns its content, without the path, because the file moves as soon as the disk allows it;
   * otherwise `undefined`.
   */
  async read(digest: Digest, range: ByteRange | undefined, buffers: BufferPool): Promise<BlobContent | undefined> {
    const file = this.#files.get(digest);
    if (file === undefined) return undefined;
    const isSettled = await this.settle(digest).then(
      () => true,
      () => false,
    );
    if (isSettled) return undefined;
    const path = file.isMoved ? this.#folders.blob(digest) : this.#folders.unsynced(digest);
    const content = new FileContent(path, file.info.size, range, buffers);
    return { size: content.size, writeTo: (sink) => content.writeTo(sink) };
  }

  /**
   * Takes over a verified file and its descriptor. Returns false when the file has to be synced at once, because too many files or one
   * of the same blob wait, or a running write names the blob.
   */
  async add(path: string, fd: number, info: BlobInfo): Promise<boolean> {
    const { digest } = info;
    if (this.#isClosed || this.#files.size >= this.#options.maxFiles) return false;
    if (this.#files.has(digest) || this.#named.has(digest)) return false;
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
    this.#left.delete(digest);
    this.#startTimer();
    return true;
  }

  /** Runs a task during which no blob of these digests is added. */
  async naming<T>(digests: readonly Digest[], task: () => Promise<T>): Promise<T> {
    for (const digest of digests) this.#named.set(digest, (this.#named.get(digest) ?? 0) + 1);
    try {
      return await task();
    } finally {
      for (const digest of digests) {
        const left = (this.#named.get(digest) ?? 0) - 1;
        if (left > 0) this.#named.set(digest, left);
        else this.#named.delete(digest);
      }
    }
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
    if (file === undefined && !this.#left.has(digest)) return false;
    await this.settle(digest).catch(() => undefined);
    if (file !== undefined && !(await this.#giveUp(file))) return false;
    await removeFile(this.#folders.unsynced(digest));
    this.#left.delete(digest);
    return true;
  }

  /** Makes all blobs durable that can be. Returns the others, which stay. */
  async settleAll(): Promise<readonly BlobInfo[]> {
    await inParallel([...this.#files.keys()], maxBackgroundSyncs, (digest) =>
      // After a failure, the next push of a manifest tries again, and so does the timer.
      this.settle(digest).catch(() => undefined),
    );
    return [...this.#files.values()].filter(({ isNamed }) => isNamed).map(({ info }) => info);
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
    await this.settleAll();
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
      if (!isMissing && !isDamage(error)) {
        if (!file.isReported) this.#options.onUnsynced?.('kept', info.digest, error);
        file.isReported = true;
        throw toStorageError(error);
      }
      this.#forget(file);
      await removeFile(path).catch(() => undefined);
      this.#options.onUnsynced?.('lost', info.digest, error);
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
