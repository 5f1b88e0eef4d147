import type { Runtime } from '../ports/runtime.js';
import type { OnlineGarbageCollector } from '../repositories/garbage/garbage-collector.js';

/** Runs the garbage collector in the background and logs its failures. */
export class BackgroundCollection {
  readonly #garbage: OnlineGarbageCollector;
  readonly #runtime: Runtime;
  #timer: NodeJS.Timeout | undefined;

  constructor(garbage: OnlineGarbageCollector, runtime: Runtime) {
    this.#garbage = garbage;
    this.#runtime = runtime;
  }

  /** Finishes interrupted purges now, and collects at this interval; 0 means never. */
  start(intervalSeconds: number): void {
    this.purge();
    if (intervalSeconds > 0) this.#timer = setInterval(() => this.#collect(), intervalSeconds * 1000).unref();
  }

  /** Removes the content of deleted repositories from the index. */
  purge(): void {
    this.#garbage
      .purge()
      .catch((err: unknown) => this.#runtime.log.error({ err }, 'purge of deleted repositories failed'));
  }

  /** Stops the timer. Running work ends when the collector is closed. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #collect(): void {
    this.#garbage.collect().catch((err: unknown) => this.#runtime.log.error({ err }, 'garbage collection failed'));
  }
}
