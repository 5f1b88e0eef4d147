import type { Writable } from 'node:stream';

/**
 * Writes to a sink chunk by chunk, and notices at once when it fails or closes. After a rejected `write`, the sink may
 * still hold the chunk, so its memory must not be reused.
 */
export class SinkWriter {
  readonly #sink: Writable;
  #failure: Error | undefined;
  #rejectWrite: ((error: Error) => void) | undefined;
  readonly #onClose = (): void => this.#fail(new Error('sink closed early'));
  readonly #onError = (error: Error): void => this.#fail(new Error('sink failed', { cause: error }));

  constructor(sink: Writable) {
    this.#sink = sink;
    if (sink.destroyed || sink.writableEnded) this.#failure = new Error('sink closed early');
    sink.on('close', this.#onClose).on('error', this.#onError);
  }

  /** Resolves after the callback of the sink, when the chunk may be reused. One write at a time. */
  write(chunk: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      this.#rejectWrite = reject;
      this.#sink.write(chunk, (error) => {
        if (error) this.#onError(error);
        this.#rejectWrite = undefined;
        resolve();
      });
    });
  }

  /** Checks the sink. @throws Error when it has failed or closed */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Stops observing the sink, without ending it. */
  release(): void {
    this.#sink.off('close', this.#onClose);
    // A failed write is followed by an 'error' event, possibly after this call, and no one else might be listening.
    if (this.#failure === undefined) this.#sink.off('error', this.#onError);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#rejectWrite?.(this.#failure);
    this.#rejectWrite = undefined;
  }
}

/** Writes bytes to a sink. Resolves when it has taken them. @throws Error when it fails or closes early */
export async function writeBytes(sink: Writable, bytes: Buffer): Promise<void> {
  const writer = new SinkWriter(sink);
  try {
    writer.check();
    if (bytes.length > 0) await writer.write(bytes);
  } finally {
    writer.release();
  }
}
