/** Reads sources: in batches, as a whole within bounds, or only to discard them. */
import { Writable, type Readable } from 'node:stream';
import { ChunkList } from './chunk-list.js';
import { listen } from './source-listener.js';

/** The source has more bytes than were allowed. */
export class TooManyBytesError extends Error {
  override readonly name = 'TooManyBytesError';
}

function ignore(): void {}

/** Stores one batch; resolves when the next may come. The chunks are the callee's. */
export type BatchWrite = (chunks: Buffer[], bytes: number) => Promise<void>;

export interface BatchOptions {
  /** A batch is handed over when it holds this many bytes (plus what one chunk brings more), and at the end. */
  readonly batchBytes: number;
  /** The bytes to take at most. */
  readonly maxBytes?: number | undefined;
  /** Ends it early; rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Aborted as soon as somebody waits for the bytes: from then on a batch that is not full is handed over too, at once when
   * none was for a while, so that a slow source's bytes are seen. A fast one's batches are full before.
   */
  readonly hurry?: AbortSignal | undefined;
}

/** One `writev` takes at most 1024 buffers. */
const maxBatchChunks = 1000;
/** So often batches that are not full are handed over, when somebody waits for them. */
const lingerMs = 10;

class BatchPump {
  readonly #source: Readable;
  readonly #write: BatchWrite;
  readonly #options: BatchOptions;
  #stop: () => void = ignore;
  #resolve: () => void = ignore;
  #reject: (error: unknown) => void = ignore;
  readonly #batch = new ChunkList();
  #taken = 0;
  #writing = false;
  #startedAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #over = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(source: Readable, write: BatchWrite, options: BatchOptions) {
    this.#source = source;
    this.#write = write;
    this.#options = options;
  }

  /** Once. */
  async run(): Promise<void> {
    const { signal, hurry } = this.#options;
    const onAbort = (): void => this.#finish({ error: signal?.reason });
    const onHurry = (): void => this.#turn();
    signal?.addEventListener('abort', onAbort);
    hurry?.addEventListener('abort', onHurry);
    try {
      await this.#flow();
    } finally {
      signal?.removeEventListener('abort', onAbort);
      hurry?.removeEventListener('abort', onHurry);
    }
  }

  #flow(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#stop = listen(this.#source, {
        chunk: (bytes) => this.#take(bytes),
        end: () => this.#finish(),
        fail: (error) => this.#finish({ error }),
      });
      if (this.#options.signal?.aborted === true) this.#finish({ error: this.#options.signal.reason });
    });
  }

  #take(chunk: Buffer): void {
    if (this.#over) return;
    const allowed = (this.#options.maxBytes ?? Infinity) - this.#taken;
    const bytes = chunk.length > allowed ? chunk.subarray(0, allowed) : chunk;
    if (bytes.length > 0) this.#batch.add(bytes);
    this.#taken += bytes.length;
    if (chunk.length > allowed) this.#finish({ error: new TooManyBytesError('more bytes than allowed') });
    else if (this.#isFull()) this.#turn();
    else this.#linger();
  }

  /** The source gives no more; what it gave is still written. */
  #finish(failure?: { readonly error: unknown }): void {
    if (this.#over) return;
    this.#over = true;
    this.#failure = failure;
    this.#stop();
    this.#turn();
  }

  #isFull(): boolean {
    return this.#batch.bytes >= this.#options.batchBytes || this.#batch.length >= maxBatchChunks;
  }

  /** Decides what is next, after each event. One write is in flight at a time, and the next batch fills meanwhile. */
  #turn(): void {
    const due = this.#batch.length > 0 && (this.#over || this.#isFull());
    if (this.#writing) {
      if (due && !this.#over) this.#source.pause();
    } else if (due) {
      this.#start();
    } else if (!this.#over) {
      if (this.#source.isPaused()) this.#source.resume();
      this.#linger();
    } else if (this.#failure !== undefined) {
      this.#reject(this.#failure.error);
    } else {
      this.#resolve();
    }
  }

  /** Sees to it that a batch which is not full does not rest for long, when somebody waits for it. */
  #linger(): void {
    if (this.#options.hurry?.aborted !== true || this.#timer !== undefined) return;
    if (this.#writing || this.#over || this.#batch.length === 0) return;
    const restMs = this.#startedAt + lingerMs - performance.now();
    if (restMs <= 0) this.#start();
    else this.#timer = setTimeout(() => this.#start(), restMs);
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#startedAt = performance.now();
    const { bytes } = this.#batch;
    const batch = this.#batch.take();
    this.#writing = true;
    if (!this.#over && this.#source.isPaused()) this.#source.resume();
    this.#write(batch, bytes).then(
      () => {
        this.#writing = false;
        this.#turn();
      },
      (error: unknown) => this.#abandon(error),
    );
  }

  /** A write failed: nothing more may be written after the gap. */
  #abandon(error: unknown): void {
    this.#writing = false;
    clearTimeout(this.#timer);
    this.#batch.take();
    this.#over = true;
    this.#stop();
    this.#reject(error);
  }
}

/**
 * Hands the source's bytes to `write` in batches, one at a time, while the next batch fills; the source is paused when it is
 * ahead by more than that. Resolves when the source has ended and all is written.
 * When the source fails (SourceClosedError), has too much (TooManyBytesError) or the signal aborts, what arrived is written
 * and then it rejects; when a write fails, it rejects with that error and writes no more. A source that is not over is left
 * paused for the caller to drain or destroy.
 */
export function writeInBatches(source: Readable, write: BatchWrite, options: BatchOptions): Promise<void> {
  return new BatchPump(source, write, options).run();
}

/**
 * Reads the source to its end. Returns `undefined` as soon as it has more than `maxBytes`; the source is then left paused.
 * @param onBytes is called with the number of bytes received so far; what it throws ends the reading.
 */
export function readBounded(
  source: Readable,
  maxBytes: number,
  onBytes: (bytes: number) => void = ignore,
): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const list = new ChunkList();
    const stop = listen(source, {
      chunk: (chunk) => {
        list.add(chunk);
        try {
          onBytes(list.bytes);
          if (list.bytes <= maxBytes) return;
          resolve(undefined);
        } catch (error) {
          reject(error);
        }
        stop();
        list.take();
      },
      end: () => {
        const { bytes } = list;
        const chunks = list.take();
        resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, bytes));
      },
      fail: reject,
    });
  });
}

/**
 * Discards what the source still brings. True when it came to its end; false when a bound was hit (then it is left paused)
 * or it closed early. Never rejects.
 */
export function drain(
  source: Readable,
  bounds: { readonly maxBytes: number; readonly maxMs: number },
): Promise<boolean> {
  return new Promise((resolve) => {
    let bytes = 0;
    const finish = (ended: boolean): void => {
      clearTimeout(timer);
      stop();
      resolve(ended);
    };
    const timer = setTimeout(() => finish(false), bounds.maxMs);
    const stop = listen(source, {
      chunk: (chunk) => {
        bytes += chunk.length;
        if (bytes > bounds.maxBytes) finish(false);
      },
      end: () => finish(true),
      fail: () => finish(false),
    });
  });
}

/** Collects what `content` writes, copied. The structural type is `BlobContent` of the ports. */
export async function readBytes(content: { writeTo(sink: Writable): Promise<void> }): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  await content.writeTo(sink);
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
}
