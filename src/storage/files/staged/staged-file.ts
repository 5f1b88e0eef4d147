/**
 * Files that are still being written: uploads and fills of a cache. Readers may follow them while they grow; publishing
 * renames them into the content folder.
 */

import { closeFile, closeNow, cutFile, openFile, removeFile, statOpen, syncData, writeFully } from '../system/files.js';

/** Written bytes are flushed in the background at this interval, so that the final flush is short. */
const flushEveryBytes = 64 * 1024 * 1024;

/** Limits how many flushes run in the background: each occupies a thread of the pool that all file access shares. */
export class FlushGate {
  readonly #max: number;
  #running = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Starts a flush unless the limit is reached. */
  tryEnter(): boolean {
    if (this.#running >= this.#max) return false;
    this.#running++;
    return true;
  }

  /** Ends a flush. */
  leave(): void {
    this.#running--;
  }
}

/**
 * The file of a staged blob: created with its first byte, appended to, and closed while its descriptor is unused. Calls
 * run one at a time. The hash worker shares the descriptor: the caller of `close` ensures that the worker does not use
 * it.
 */
export class StagedFile {
  readonly path: string;
  readonly #gate: FlushGate;
  readonly #isVolatile: boolean;
  #exists: boolean;
  #size: number;
  #fd: number | undefined;
  /** The number of bytes known to be on disk. */
  #durableSize = 0;
  #flushedSize: number;
  #flush: Promise<void> | undefined;
  #flushFailure: Error | undefined;

  /**
   * @param size the size of a file that an earlier process left; `undefined` when there is none.
   * @param kind volatile: `sync` does not wait for the disk.
   */
  constructor(path: string, size: number | undefined, gate: FlushGate, kind: 'durable' | 'volatile' = 'durable') {
    this.path = path;
    this.#isVolatile = kind === 'volatile';
    this.#gate = gate;
    this.#exists = size !== undefined;
    this.#size = size ?? 0;
    this.#flushedSize = this.#size;
  }

  /** Returns the number of contiguous bytes that were written. */
  get size(): number {
    return this.#size;
  }

  get exists(): boolean {
    return this.#exists;
  }

  /** Returns whether a flush in the background has failed. The next flush would not notice. */
  get hasFailed(): boolean {
    return this.#flushFailure !== undefined;
  }

  /** Returns a descriptor for reading and writing; creates the file if needed. */
  async open(): Promise<number> {
    if (this.#fd !== undefined) return this.#fd;
    // Exclusive, so that bytes from elsewhere are never taken for ours.
    const fd = await openFile(this.path, this.#exists ? 'r+' : 'wx+', 0o644);
    this.#exists = true;
    this.#fd = fd;
    return fd;
  }

  /**
   * Appends chunks. `size` counts what was written, even after a failure.
   * @throws the error of the write, or of an earlier flush in the background
   */
  async append(chunks: readonly Buffer[]): Promise<void> {
    const fd = await this.open();
    await writeFully(fd, chunks, this.#size, (bytes) => (this.#size += bytes));
    if (this.#flushFailure !== undefined) throw this.#flushFailure;
    if (this.#size - this.#flushedSize >= flushEveryBytes && this.#flush === undefined && this.#gate.tryEnter()) {
      void this.#startFlush(fd).finally(() => this.#gate.leave());
    }
  }

  /** Makes all bytes durable. Resolves to the time of the last write. */
  async sync(): Promise<{ readonly modifiedAt: number }> {
    const fd = await this.open();
    if (this.#isVolatile) return { modifiedAt: Math.trunc((await statOpen(fd)).mtimeMs) };
    await this.#flush;
    if (this.#flushFailure === undefined) void this.#startFlush(fd);
    const [stats] = await Promise.all([statOpen(fd), this.#flush]);
    if (this.#flushFailure !== undefined) throw this.#flushFailure;
    return { modifiedAt: Math.trunc(stats.mtimeMs) };
  }

  /** Cuts the file to an earlier size. */
  async truncate(size: number): Promise<void> {
    if (size === this.#size) return;
    const fd = await this.open();
    await this.#flush;
    await cutFile(fd, size);
    this.#size = size;
    this.#durableSize = Math.min(this.#durableSize, size);
    this.#flushedSize = Math.min(this.#flushedSize, size);
  }

  /**
   * Cuts off the bytes that a failed flush may have lost, since the system then marks the lost pages as clean and
   * another flush would succeed. Resolves to false when no flush failed.
   */
  async dropLost(): Promise<boolean> {
    if (this.#flushFailure === undefined) return false;
    await this.truncate(this.#durableSize);
    this.#flushFailure = undefined;
    return true;
  }

  async close(): Promise<void> {
    await this.#flush;
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd === undefined) return;
    // Closing a file whose bytes are on disk waits for nothing, and another thread would cost more than the call.
    if (this.#durableSize === this.#size) closeNow(fd);
    else await closeFile(fd);
  }

  /** Forgets the file and its descriptor, which have another owner now. */
  release(): void {
    this.#fd = undefined;
    this.#exists = false;
  }

  /** Closes the file and removes it if it exists. */
  async remove(): Promise<void> {
    await this.close();
    if (!this.#exists) return;
    await removeFile(this.path);
    this.#exists = false;
    this.#size = 0;
  }

  /** Never rejects: a failure is kept for the next call. */
  #startFlush(fd: number): Promise<void> {
    const size = this.#size;
    this.#flushedSize = size;
    this.#flush = syncData(fd).then(
      () => {
        this.#durableSize = Math.max(this.#durableSize, size);
        this.#flush = undefined;
      },
      (error: Error) => {
        this.#flushFailure = error;
        this.#flush = undefined;
      },
    );
    return this.#flush;
  }
}
