import type { Readable } from 'node:stream';
import type { BlobInfo, ByteRange, CommitOptions, FollowedContent, StagedBlob } from '../../../ports/bytes.js';
import { algorithmOf, type Algorithm, type Digest } from '../../../protocol/digest.js';
import { writeInBatches } from '../../../util/streams/streams.js';
import { FilePieces, type BufferPool } from '../file-content.js';
import { closeFile, openFile } from '../system/files.js';
import { GrowingContent } from './growing-content.js';
import { Growth } from './growth.js';
import type { RunningHash } from '../hashing/running-hash.js';
import type { StagedFile } from './staged-file.js';
import { digestInvalid, hasCode, toStorageError } from '../storage-errors.js';
import { maxUnsyncedBytes } from '../unsynced-blobs.js';

/** Writing larger batches of small chunks takes several times as long. */
const batchBytes = 1024 * 1024;

/** The part of the store that a staged blob needs. */
export interface StagingArea {
  readonly buffers: BufferPool;
  /**
   * Reserves room before bytes are written.
   * @throws RegistryError UNAVAILABLE with status 507 when they would not fit
   */
  takeRoom(bytes: number): Promise<void>;
  /** Returns the path of the digest's blob, published or not. */
  blobPath(digest: Digest): string;
  /** Moves the file to the path of the digest's blob. */
  publish(path: string, digest: Digest): Promise<void>;
  /**
   * Publishes the file, and takes over its descriptor, without waiting for the disk. Returns false when it has to be synced at once.
   */
  publishUnsynced(path: string, fd: number, info: BlobInfo): Promise<boolean>;
  /** Makes the published name durable. */
  sealPublished(info: BlobInfo): Promise<void>;
  /** Reports that the blob is in use, or idle. An idle blob may be asked to `suspend`. */
  busy(blob: FsStagedBlob): void;
  idle(blob: FsStagedBlob): void;
  /** Reports that the blob was committed or discarded. */
  gone(blob: FsStagedBlob): void;
  /** Reports that its bytes were removed from the disk. */
  freed(): void;
}

/** Bytes staged in a file. Operations run one after the other, in the order of the calls. */
export class FsStagedBlob implements StagedBlob {
  readonly id: string;
  readonly #area: StagingArea;
  readonly #file: StagedFile;
  readonly #hash: RunningHash;
  readonly #growth: Growth;
  /** Aborted when the first follower joins: from then on partial batches are written soon. */
  readonly #hurry = new AbortController();
  #publishedPath: string | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #append: AbortController | undefined;
  #state: 'open' | 'closed' | 'gone' = 'open';

  constructor(id: string, area: StagingArea, file: StagedFile, hash: RunningHash) {
    this.id = id;
    this.#area = area;
    this.#file = file;
    this.#hash = hash;
    this.#growth = new Growth(file.size);
  }

  get size(): number {
    return this.#file.size;
  }

  append(source: Readable, options: { readonly maxBytes?: number } = {}): Promise<number> {
    return this.#exclusive(async () => {
      const { signal } = (this.#append = new AbortController());
      try {
        await this.#hash.mark();
        const hurry = this.#hurry.signal;
        await writeInBatches(source, (chunks, bytes) => this.#write(chunks, bytes), {
          batchBytes,
          freesChunks: true,
          signal,
          hurry,
          ...options,
        });
      } finally {
        this.#append = undefined;
        this.#hash.flush();
      }
      return this.size;
    });
  }

  async #write(chunks: Buffer[], bytes: number): Promise<void> {
    await this.#area.takeRoom(bytes);
    const fd = await this.#file.open();
    try {
      await this.#file.append(chunks);
    } catch (error) {
      // The batch may have been written in part.
      await this.#hash.forget();
      throw error;
    } finally {
      this.#growth.landed(this.size);
    }
    await this.#hash.written(chunks, fd, this.#file.size);
  }

  truncate(size: number): Promise<void> {
    return this.#exclusive(async () => {
      if (!Number.isInteger(size) || size < 0 || size > this.size) {
        throw new RangeError(`cannot truncate ${this.size} bytes to ${size}`);
      }
      await this.#hash.settle();
      await this.#file.truncate(size);
      this.#hash.truncate(size);
      this.#growth.landed(size);
    });
  }

  digest(algorithm: Algorithm): Promise<Digest> {
    return this.#exclusive(async () => this.#hash.digest(algorithm, await this.#file.open(), this.size));
  }

  commit(expected: Digest, { durable = true }: CommitOptions = {}): Promise<BlobInfo> {
    return this.#exclusive(async () => {
      const size = this.size;
      const fd = await this.#file.open();
      if (!durable && size <= maxUnsyncedBytes && !this.#hurry.signal.aborted && !this.#file.hasFailed) {
        const info = await this.#commitUnsynced(expected, fd);
        if (info !== undefined) return info;
      }
      // Waits for both, even when one fails: the descriptor may be closed afterwards.
      const [hashing, syncing] = await Promise.allSettled([this.#verify(expected, fd), this.#file.sync()]);
      if (hashing.status === 'rejected') throw hashing.reason;
      if (syncing.status === 'rejected') throw syncing.reason;
      await this.#hash.forget();
      await this.#publish(expected);
      const info = { digest: expected, size, modifiedAt: syncing.value.modifiedAt };
      await Promise.all([this.#area.sealPublished(info), this.#file.close()]);
      return info;
    });
  }

  /** Followers would open the file at a path that it leaves soon, so there are none. */
  async #commitUnsynced(digest: Digest, fd: number): Promise<BlobInfo | undefined> {
    await this.#verify(digest, fd);
    const info = { digest, size: this.size, modifiedAt: Date.now() };
    await this.#hash.settle();
    if (!(await this.#area.publishUnsynced(this.#file.path, fd, info))) return undefined;
    this.#file.release();
    await this.#hash.forget();
    this.#leave();
    return info;
  }

  /** Lets followers finish without waiting for the disk, since correct bytes stay correct. */
  async #verify(expected: Digest, fd: number): Promise<void> {
    const found = await this.#hash.digest(algorithmOf(expected), fd, this.size);
    if (found === expected) {
      this.#growth.verified();
      return;
    }
    const mismatch = digestInvalid(expected, found);
    this.#growth.refuted(mismatch);
    throw mismatch;
  }

  async #publish(digest: Digest): Promise<void> {
    this.#publishedPath = this.#area.blobPath(digest);
    try {
      await this.#area.publish(this.#file.path, digest);
    } catch (error) {
      this.#publishedPath = undefined;
      throw error;
    }
    this.#leave();
  }

  follow(total: number, range?: ByteRange): FollowedContent {
    this.#hurry.abort();
    return new GrowingContent(this.#growth, total, range, async () => {
      return new FilePieces(await this.#openToRead(), this.#area.buffers);
    });
  }

  /**
   * Opens a descriptor for each reader: no one else can close it, and the system reads ahead for each of them. There is
   * at least one byte, so the file exists.
   */
  async #openToRead(): Promise<number> {
    if (this.#state !== 'gone') {
      const fd = await openFile(this.#file.path, 'r').catch((error: unknown) => {
        // EPERM: on Windows, a deleted file that a follower still has open.
        if (!hasCode(error, 'ENOENT', 'EPERM')) throw error;
        return undefined;
      });
      // After it is gone, another file may have been created under the id.
      if (fd !== undefined && !this.#isGone()) return fd;
      if (fd !== undefined) await closeFile(fd);
    }
    if (this.#publishedPath === undefined) throw new Error('the staged bytes are gone');
    return openFile(this.#publishedPath, 'r');
  }

  #isGone(): boolean {
    return this.#state === 'gone';
  }

  async discard(): Promise<void> {
    await this.#exclusive(async () => {
      if (this.#state === 'gone') return;
      this.#growth.close(new Error('the staged bytes were discarded'));
      await this.#hash.forget();
      await this.#file.remove();
      this.#area.freed();
      this.#leave();
    }, 'gone');
  }

  /** Releases the descriptor and the hash while the blob is idle. The next operation reopens them. */
  async suspend(): Promise<void> {
    await this.#enqueue(async () => {
      if (this.#state === 'gone') return;
      await this.#hash.forget();
      await this.#file.close();
    });
  }

  /** Aborts a running append, which keeps what arrived, and releases everything. All later operations reject. */
  async close(reason: Error): Promise<void> {
    if (this.#state === 'open') this.#state = 'closed';
    this.#append?.abort(reason);
    // Readers of published bytes continue.
    if (!this.#isGone()) this.#growth.close(reason);
    await this.suspend();
  }

  #leave(): void {
    this.#state = 'gone';
    this.#area.gone(this);
  }

  #enqueue<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.#tail.then(task, task);
    this.#tail = mine.catch(() => undefined);
    return mine;
  }

  #exclusive<T>(task: () => Promise<T>, alsoIn?: 'gone'): Promise<T> {
    this.#waiting++;
    this.#area.busy(this);
    return this.#enqueue(async () => {
      try {
        if (this.#state !== 'open' && this.#state !== alsoIn) throw new Error(`the staged bytes are ${this.#state}`);
        return await task();
      } catch (error) {
        await this.#afterFailure();
        throw toStorageError(error);
      } finally {
        this.#waiting--;
        if (this.#waiting === 0 && this.#state === 'open') this.#area.idle(this);
      }
    });
  }

  async #afterFailure(): Promise<void> {
    await this.#hash.settle();
    try {
      if (!(await this.#file.dropLost())) return;
      this.#growth.landed(this.size);
      await this.#hash.forget();
    } catch {
      // The bytes are still lost: the next operation fails with the same flush failure and retries.
    }
  }
}
