/** Reads sources: in batches, as a whole up to a limit, or to discard them. */
import { Writable, type Readable } from 'node:stream';
import { ChunkList, freeChunks } from './chunk-list.js';
import { isOnlyListener, listen } from './source-listener.js';

/** The source has more bytes than allowed. */
export class TooManyBytesError extends Error {
  override readonly name = 'TooManyBytesError';
}

function ignore(): void {}

/** Stores one batch. Resolves when it can take the next one. The callee owns the chunks. */
export type BatchWrite = (chunks: Buffer[], bytes: number) => Promise<void>;

/** Options of reading in batches. */
export interface BatchOptions {
  /** Size at which a batch is written; the last chunk may exceed it. The rest is written at the end. */
  readonly batchBytes: number;
  /** Frees the memory of written chunks, if nothing else has them. */
  readonly freesChunks?: boolean;
  /** Maximum number of bytes to read. */
  readonly maxBytes?: number | undefined;
  /** Aborts reading. The promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Aborted once a reader waits for the bytes. From then on partial batches are written too, at most every `lingerMs`,
   * so that readers see the bytes of a slow source. Batches of a fast source fill up sooner.
   */
  readonly hurry?: AbortSignal | undefined;
  /** Called when bytes arrive, before they are written. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** One `writev` takes at most 1024 buffers. */
const maxBatchChunks = 1000;
/** Minimum interval between partial batches while a reader waits. */
const lingerMs = 10;

class BatchPump {
  readonly #source: Readable;
  readonly #write: BatchWrite;
  readonly #options: BatchOptions;
  #stop: () => void = ignore;
  #resolve: () => void = ignore;
  #reject: (error: unknown) => void = ignore;
  #isFreed: boolean;
  readonly #batch: ChunkList;
  #taken = 0;
  #writing = false;
  #startedAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #isFinished = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(source: Readable, write: BatchWrite, options: BatchOptions) {
    this.#source = source;
    this.#write = write;
    this.#options = options;
    this.#isFreed = options.freesChunks === true && isOnlyListener(source);
    this.#batch = new ChunkList(this.#isFreed);
  }

  /** Runs the pump. Called once. */
  async run(): Promise<void> {
    const { signal, hurry } = this.#options;
    const onAbort = (): void => this.#finish({ error: signal?.reason });
    const onHurry = (): void => this.#turn();
    signal?.addEventListener('abort', onAbort);
    // A signal that is aborted already is often shared, and never fires again.
    if (hurry?.aborted === false) hurry.addEventListener('abort', onHurry);
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
    if (this.#isFinished) return;
    // The host may begin to listen later than we do, and then has the chunks too.
    if (this.#isFreed && this.#source.listenerCount('data') > 1) this.#isFreed = false;
    const allowed = (this.#options.maxBytes ?? Infinity) - this.#taken;
    const isTooMuch = chunk.length > allowed;
    const bytes = isTooMuch ? chunk.subarray(0, allowed) : chunk;
    if (bytes.length > 0) this.#batch.add(bytes);
    this.#taken += bytes.length;
    this.#options.onBytes?.(bytes.length);
    if (isTooMuch) this.#finish({ error: new TooManyBytesError('more bytes than allowed') });
    else if (this.#isFull()) this.#turn();
    else this.#linger();
  }

  /** Stops reading from the source. Bytes that arrived are still written. */
  #finish(failure?: { readonly error: unknown }): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#failure = failure;
    this.#stop();
    this.#turn();
  }

  #isFull(): boolean {
    return this.#batch.bytes >= this.#options.batchBytes || this.#batch.length >= maxBatchChunks;
  }

  /** Decides what to do after each event. One write is in progress at a time, while the next batch fills. */
  #turn(): void {
    const due = this.#batch.length > 0 && (this.#isFinished || this.#isFull());
    if (this.#writing) {
      if (due && !this.#isFinished) this.#source.pause();
    } else if (due) {
      this.#start();
    } else if (!this.#isFinished) {
      if (this.#source.isPaused()) this.#source.resume();
      this.#linger();
    } else if (this.#failure !== undefined) {
      this.#reject(this.#failure.error);
    } else {
      this.#resolve();
    }
  }

  /** Schedules the write of a partial batch while a reader waits. */
  #linger(): void {
    if (this.#options.hurry?.aborted !== true || this.#timer !== undefined) return;
    if (this.#writing || this.#isFinished || this.#batch.length === 0) return;
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
    if (!this.#isFinished && this.#source.isPaused()) this.#source.resume();
    this.#write(batch, bytes).then(
      () => {
        if (this.#isFreed) freeChunks(batch);
        this.#writing = false;
        this.#turn();
      },
      (error: unknown) => this.#abandon(error),
    );
  }

  /** Stops after a failed write: writing more would leave a gap. */
  #abandon(error: unknown): void {
    this.#writing = false;
    clearTimeout(this.#timer);
    this.#batch.take();
    this.#isFinished = true;
    this.#stop();
    this.#reject(error);
  }
}

/**
 * Passes the bytes of a source to `write` in batches, one at a time, while the next batch fills. Pauses the source when
 * it is further ahead. Resolves when the source has ended and everything is written.
 *
 * When the source fails (SourceClosedError), exceeds `maxBytes` (TooManyBytesError) or the signal aborts, the bytes
 * that arrived are written and the promise then rejects. When a write fails, it rejects with that error and writes no
 * more. A source that has not ended is left paused for the caller to drain or destroy.
 */
export function writeInBatches(source: Readable, write: BatchWrite, options: BatchOptions): Promise<void> {
  return new BatchPump(source, write, options).run();
}

/**
 * Reads a source to its end. Resolves to `undefined` as soon as it has more than `maxBytes`, and leaves it paused.
 * @param onBytes is called with the number of bytes received so far. An error that it throws ends the reading.
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
 * Discards the remaining bytes of a source. Resolves to true at its end, or to false when a limit is exceeded (the
 * source is then left paused) or it closes early. Never rejects.
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

/** Collects a copy of the bytes that `content` writes. The structural type is `BlobContent` of the ports. */
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
