import { closeFile, cutFile, openFile, removeFile, statOpen, syncData, writeFully } from './system/files.js';

/** So often the written bytes are sent to the disk in the background: the last flush has little left to do then. */
const flushEveryBytes = 64 * 1024 * 1024;

/** Lets a few flushes run in the background at a time: each holds a thread of the pool that all file access shares. */
export class FlushGate {
  readonly #max: number;
  #running = 0;

  constructor(max: number) {
    this.#max = max;
  }

  tryEnter(): boolean {
    if (this.#running >= this.#max) return false;
    this.#running++;
    return true;
  }

  leave(): void {
    this.#running--;
  }
}

/**
 * The file of a staged blob: made with its first byte, appended to, and closed when nothing uses its descriptor. Calls take
 * turns. The hash worker uses the descriptor too: whoever calls `close` has made sure that it is at rest.
 */
export class StagedFile {
  readonly path: string;
  readonly #gate: FlushGate;
  #exists: boolean;
  #size: number;
  #fd: number | undefined;
  /** Up to here the bytes are known to be on the disk. */
  #durableSize = 0;
  #flushedSize: number;
  #flush: Promise<void> | undefined;
  #flushFailure: Error | undefined;

  /** @param size of what an earlier process left; `undefined` when there is no file. */
  constructor(path: string, size: number | undefined, gate: FlushGate) {
    this.path = path;
    this.#gate = gate;
    this.#exists = size !== undefined;
    this.#size = size ?? 0;
    this.#flushedSize = this.#size;
  }

  /** The contiguous bytes that were really written. */
  get size(): number {
    return this.#size;
  }

  get exists(): boolean {
    return this.#exists;
  }

  /** The descriptor, for reading and writing; makes the file if there is none. */
  async open(): Promise<number> {
    if (this.#fd !== undefined) return this.#fd;
    // Exclusive: bytes that somebody else put there are never taken for ours.
    const fd = await openFile(this.path, this.#exists ? 'r+' : 'wx+', 0o644);
    this.#exists = true;
    this.#fd = fd;
    return fd;
  }

  /** @throws what the write threw, or a flush in the background before it; `size` counts what was written. */
  async append(chunks: readonly Buffer[]): Promise<void> {
    const fd = await this.open();
    await writeFully(fd, chunks, this.#size, (bytes) => (this.#size += bytes));
    if (this.#flushFailure !== undefined) throw this.#flushFailure;
    if (this.#size - this.#flushedSize >= flushEveryBytes && this.#flush === undefined && this.#gate.tryEnter()) {
      void this.#startFlush(fd).finally(() => this.#gate.leave());
    }
  }

  /** Makes all bytes durable; resolves to the time of the last write. */
  async sync(): Promise<{ readonly modifiedAt: number }> {
    const fd = await this.open();
    await this.#flush;
    if (this.#flushFailure === undefined) void this.#startFlush(fd);
    const [stats] = await Promise.all([statOpen(fd), this.#flush]);
    if (this.#flushFailure !== undefined) throw this.#flushFailure;
    return { modifiedAt: Math.trunc(stats.mtimeMs) };
  }

  /** Back to an earlier size. */
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
   * After a failed flush the system takes the lost pages for clean, and another flush would succeed: so what is not known to
   * be on the disk is cut off. False when there was no such failure.
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
    if (fd !== undefined) await closeFile(fd);
  }

  /** Closes and removes the file, if there is one. */
  async remove(): Promise<void> {
    await this.close();
    if (!this.#exists) return;
    await removeFile(this.path);
    this.#exists = false;
    this.#size = 0;
  }

  /** Never rejects: the failure is kept for the next call. */
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
