/** What operators watch: the figures of each hour, and the latest requests. Imported by the composition root only. */
import type { AnsweredRequest, RecentRequests } from '../../ports/monitoring.js';
import type { RequestEvent, Runtime } from '../../ports/runtime.js';

/** The number of requests that are kept. */
const maxRequests = 1000;

/** Keeps the last 1000 requests in memory. */
export class RequestRing implements RecentRequests {
  readonly #kept: { readonly event: RequestEvent; readonly at: number; readonly seq: number }[] = [];
  #last = 0;
  readonly #stop: () => void;

  constructor(runtime: Pick<Runtime, 'now' | 'observe'>) {
    this.#stop = runtime.observe('request', (event: RequestEvent) => {
      const slot = this.#last % maxRequests;
      this.#last += 1;
      // Copied only when it is read: every request pays for what happens here.
      this.#kept[slot] = { event, at: runtime.now(), seq: this.#last };
    });
  }

  after(seq: number, limit: number): readonly AnsweredRequest[] {
    // A larger number is of an earlier process.
    const missed = this.#last - (seq > this.#last ? 0 : seq);
    return this.latest(Math.min(missed, maxRequests)).slice(0, limit);
  }

  latest(limit: number): readonly AnsweredRequest[] {
    const count = Math.min(limit, this.#kept.length);
    const first = this.#last - count;
    return Array.from({ length: count }, (_, i) => this.#kept[(first + i) % maxRequests])
      .filter((request) => request !== undefined)
      .map(({ event, at, seq }) => ({ ...event, at, seq }));
  }

  /** Stops keeping requests. */
  close(): void {
    this.#stop();
  }
}
