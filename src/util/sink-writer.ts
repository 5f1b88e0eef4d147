import type { Writable } from 'node:stream';

/**
 * Writes to a sink chunk by chunk and notices at once when it fails or closes. After a rejected `write` the sink may still
 * hold that chunk: its memory must not be used again.
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

  /** Resolves when the sink has called back, so that the chunk may be used again. One write at a time. */
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

  /** Throws when the sink has failed or closed. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Leaves the sink alone; it is not ended. */
  release(): void {
    this.#sink.off('close', this.#onClose);
    // A write that failed is followed by an 'error' event, perhaps after this; nobody else might be listening.
    if (this.#failure === undefined) this.#sink.off('error', this.#onError);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#rejectWrite?.(this.#failure);
    this.#rejectWrite = undefined;
  }
}
