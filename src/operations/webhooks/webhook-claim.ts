import type { Runtime } from '../../ports/runtime.js';
import type { Leases } from '../../util/scheduling/leases.js';
import type { Wait, WebhookWorker } from './webhook-worker.js';

/** How often a process checks whether the one that sends the events of a webhook has died. */
const retryMs = 10_000;

/** The dependencies of `WebhookClaim`. */
export interface ClaimParts {
  readonly runtime: Runtime;
  readonly wait: Wait;
  /** Decides which process sends the events, of those that share the index. */
  readonly leases: Leases;
  /** Starts the worker from the progress in the index. */
  readonly start: () => Promise<WebhookWorker>;
}

/** Runs the worker of a webhook while no other process does. */
export class WebhookClaim {
  readonly #name: string;
  readonly #parts: ClaimParts;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #worker: WebhookWorker | undefined;

  constructor(name: string, parts: ClaimParts) {
    this.#name = name;
    this.#parts = parts;
    this.#running = this.#run();
  }

  /** See `WebhookWorker.retryNow`. Returns false if another process sends the events. */
  retryNow(seq: number): boolean {
    return this.#worker?.retryNow(seq) === true;
  }

  /** Stops the worker and leaves the events to other processes. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { leases, runtime, wait } = this.#parts;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await leases.run(leaseOf(this.#name), (lost) => this.#work(lost));
      } catch (err) {
        runtime.log.error({ err, webhook: this.#name }, 'webhook could not be started');
      }
      if (!signal.aborted) await wait(retryMs, signal);
    }
  }

  async #work(lost: AbortSignal): Promise<void> {
    const worker = await this.#parts.start();
    this.#worker = worker;
    const isOver = AbortSignal.any([lost, this.#stopping.signal]);
    if (!isOver.aborted) await new Promise((resolve) => isOver.addEventListener('abort', resolve, { once: true }));
    this.#worker = undefined;
    await worker.stop();
  }
}

/** Returns the name of the lease under which the events of a webhook are sent. */
export function leaseOf(webhook: string): string {
  return `webhook ${webhook}`;
}
