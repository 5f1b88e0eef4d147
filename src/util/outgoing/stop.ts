import type { PendingAnswer } from './pending-answer.js';

/**
 * Ends one exchange: the request that waits for its answer, and those that would follow. An AbortSignal would do the same for
 * several times the CPU time, and each exchange needs its own.
 */
export class Stop {
  #pending: PendingAnswer | undefined;
  #cause: { readonly error: Error } | undefined;

  get isStopped(): boolean {
    return this.#cause !== undefined;
  }

  /** Ends the exchange with an error. */
  stop(error: Error): void {
    this.#cause ??= { error };
    this.#pending?.cancel(this.#cause.error);
  }

  /** @throws Error that of `stop`. */
  throwIfStopped(): void {
    if (this.#cause !== undefined) throw this.#cause.error;
  }

  /** Sets the request that waits for its answer, if any. */
  watch(pending: PendingAnswer | undefined): void {
    this.#pending = pending;
  }
}
