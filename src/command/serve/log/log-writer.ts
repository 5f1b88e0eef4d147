import { write, writeSync } from 'node:fs';

/** Receives the bytes of lines: a file descriptor, or the recorder of a test. */
export interface LogTarget {
  /** Calls `done` with the number of bytes that were written, which may be less than all. */
  write(bytes: Buffer, done: (error: NodeJS.ErrnoException | null, written: number) => void): void;
  /** Returns the number of bytes that were written. */
  writeSync(bytes: Buffer): number;
}

/** Limits of a `LogWriter`. Lengths count characters. */
export interface LogWriterOptions {
  /** How long a line may wait for others. @default 100 */
  readonly delayMs?: number;
  /** Lines of this length together are written without that delay. @default 64 KiB */
  readonly maxBatchLength?: number;
  /** Lines that may wait for a target that does not accept them. Further ones are dropped. @default 16 MiB */
  readonly maxWaitingLength?: number;
  /** How long the end of the process may wait for such a target. @default 1000 */
  readonly maxEndMs?: number;
  /** Called with the number of dropped lines, once lines can be written again. */
  readonly onDropped?: (lines: number) => void;
}

/** How long to wait when the pipe is full, and after other errors, such as a full disk. */
const retryMs = { full: 20, failed: 1000 };
/** A batch that another thread writes is written within this time, unless no one reads it. */
const maxInFlightMs = 50;

/**
 * Writes lines in order and in batches, one batch at a time. A system call for each line would cost more than the rest of
 * the line, and a synchronous one would stop the server when the reader of the log stops.
 */
export class LogWriter {
  readonly #target: LogTarget;
  readonly #options: Required<Omit<LogWriterOptions, 'onDropped'>> & Pick<LogWriterOptions, 'onDropped'>;
  #lines: string[] = [];
  /** The length of the lines that are not written, including those of the batch. */
  #waiting = 0;
  #batch: Buffer | undefined;
  #batchLength = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Set while the batch waits for its next attempt. */
  #retry: NodeJS.Timeout | undefined;
  #hasFailed = false;
  #hasGivenUp = false;
  #dropped = 0;
  #onProgress: (() => void) | undefined;

  constructor(target: LogTarget, options: LogWriterOptions = {}) {
    this.#target = target;
    this.#options = {
      delayMs: 100,
      maxBatchLength: 64 * 1024,
      maxWaitingLength: 16 * 1024 * 1024,
      maxEndMs: 1000,
      ...options,
    };
  }

  /** Accepts a line, which ends in a newline. */
  write(line: string): void {
    if (this.#waiting + line.length > this.#options.maxWaitingLength) {
      this.#dropped++;
      return;
    }
    this.#lines.push(line);
    this.#waiting += line.length;
    this.#schedule();
  }

  /** Resolves when all lines are written, or when the target did not accept any for `maxEndMs`. */
  async end(): Promise<void> {
    this.#begin();
    while (this.#batch !== undefined && !this.#hasGivenUp) {
      const left = this.#waiting;
      if (!this.#hasFailed) await this.#progress();
      this.#hasGivenUp = this.#hasFailed || this.#waiting === left;
      this.#begin();
    }
  }

  /** Writes all lines before it returns, for the end of the process. Gives up when the target accepts nothing. */
  flushSync(): void {
    if (this.#hasGivenUp) return;
    // Another thread writes the batch, and this one cannot see when it has: later lines must not overtake it.
    if (this.#batch !== undefined && this.#retry === undefined) pause(maxInFlightMs);
    const unwritten = this.#retry === undefined ? [] : [this.#dropBatch()];
    let bytes = Buffer.concat([...unwritten, this.#takeLines()]);
    this.#waiting = this.#batch === undefined ? 0 : this.#batchLength;
    let leftMs = this.#options.maxEndMs;
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(this.#target.writeSync(bytes));
      } catch (error) {
        if (!isFull(error) || leftMs <= 0) return;
        leftMs -= retryMs.full;
        pause(retryMs.full);
      }
    }
  }

  /** Resolves when a batch is written or fails, or after `maxEndMs`. */
  #progress(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#options.maxEndMs);
      this.#onProgress = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #schedule(): void {
    if (this.#batch !== undefined || this.#lines.length === 0) return;
    if (this.#waiting >= this.#options.maxBatchLength) this.#begin();
    else this.#timer ??= setTimeout(() => this.#begin(), this.#options.delayMs).unref();
  }

  #begin(): void {
    if (this.#batch !== undefined || this.#lines.length === 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#batchLength = this.#waiting;
    this.#writeOn(this.#takeLines());
  }

  #takeLines(): Buffer {
    const bytes = Buffer.from(this.#lines.join(''));
    this.#lines = [];
    return bytes;
  }

  #dropBatch(): Buffer {
    const bytes = this.#batch ?? Buffer.alloc(0);
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#batch = undefined;
    return bytes;
  }

  #writeOn(bytes: Buffer): void {
    this.#batch = bytes;
    this.#retry = undefined;
    this.#target.write(bytes, (error, written) => {
      if (error !== null) this.#writeLater(bytes, error);
      else if (written < bytes.length) this.#writeOn(bytes.subarray(written));
      else this.#finish();
    });
  }

  #writeLater(bytes: Buffer, error: NodeJS.ErrnoException): void {
    this.#retry = setTimeout(() => this.#writeOn(bytes), isFull(error) ? retryMs.full : retryMs.failed).unref();
    if (isFull(error)) return;
    this.#hasFailed = true;
    this.#onProgress?.();
  }

  #finish(): void {
    this.#hasFailed = false;
    this.#batch = undefined;
    this.#waiting -= this.#batchLength;
    const dropped = this.#dropped;
    this.#dropped = 0;
    if (dropped > 0) this.#options.onDropped?.(dropped);
    this.#schedule();
    this.#onProgress?.();
  }
}

/** Returns the target that writes to a file descriptor. */
export function writeToDescriptor(fd: number): LogTarget {
  return {
    write: (bytes, done) => write(fd, bytes, 0, bytes.length, null, done),
    writeSync: (bytes) => writeSync(fd, bytes),
  };
}

function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN';
}

/** Blocks this thread. Other threads continue, such as the one that writes a batch. */
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
