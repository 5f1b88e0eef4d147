import type { Computed } from '../../ports/operations/status.js';
import { timeLeft } from '../../protocol/recent.js';

/** The settings of a figure's computation. */
export interface FigureOptions<T> {
  /** Computes the figure. Its result is dropped after `signal` was aborted. */
  readonly compute: (signal: AbortSignal) => Promise<T>;
  readonly now: () => number;
  /** The minimum pause between two computations. */
  readonly restMs: number;
  readonly onFailure: (error: unknown) => void;
}

/** A pause is at least this many times as long as the computation before it: figures take at most 5 % of a core. */
const restPerWork = 20;
const maxRestMs = 24 * 3_600_000;
/** How long a request waits for the first value. */
const firstWaitMs = 2000;
/** How long it waits for a new value when there is an older one. */
const renewalWaitMs = 100;

/** A figure that takes long to compute. Computed on request, in the background, with pauses. */
export class Figure<T> {
  readonly #options: FigureOptions<T>;
  readonly #abort = new AbortController();
  #latest: Computed<T> | undefined;
  #running: Promise<void> | undefined;
  #restUntil = 0;

  constructor(options: FigureOptions<T>) {
    this.#options = options;
  }

  /** Returns the last value, and starts to compute the next one unless that was done recently. Never rejects. */
  async get(): Promise<Computed<T> | undefined> {
    const { now } = this.#options;
    if (!this.#abort.signal.aborted && timeLeft(this.#restUntil, maxRestMs, now()) === 0)
      this.#running ??= this.#compute().finally(() => (this.#running = undefined));
    if (this.#running !== undefined)
      await settledWithin(this.#running, this.#latest === undefined ? firstWaitMs : renewalWaitMs);
    return this.#latest;
  }

  /** Ends the pause, including the one after a running computation. */
  expire(): void {
    this.#restUntil = 0;
  }

  /** Aborts a running computation and waits for it. */
  async close(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #compute(): Promise<void> {
    const { compute, now, restMs, onFailure } = this.#options;
    const { signal } = this.#abort;
    const startedAt = now();
    // An `expire` during the computation ends the pause that begins now.
    this.#restUntil = startedAt + maxRestMs;
    const until = this.#restUntil;
    try {
      const value = await compute(signal);
      if (!signal.aborted) this.#latest = { value, computedAt: startedAt };
    } catch (error) {
      if (!signal.aborted) onFailure(error);
    }
    const workMs = Math.max(0, now() - startedAt);
    const pauseMs = Math.min(maxRestMs, Math.max(restMs, restPerWork * workMs));
    if (this.#restUntil === until) this.#restUntil = now() + pauseMs;
  }
}

async function settledWithin(work: Promise<void>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, timeout]);
  clearTimeout(timer);
}
