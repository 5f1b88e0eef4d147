import type { SharedIndex } from '../../ports/metadata/shared-index.js';

/** After which time another process may do the work of one that died. */
const leaseMs = 30_000;

/** Which work this process does, of those that share an index. With an index of one process, it does all. */
export class Leases {
  readonly #shared: Pick<SharedIndex, 'lease' | 'release'> | undefined;
  readonly #leaseMs: number;

  constructor(shared: Pick<SharedIndex, 'lease' | 'release'> | undefined, ms = leaseMs) {
    this.#shared = shared;
    this.#leaseMs = ms;
  }

  /**
   * Takes a piece of work for a time, or keeps it. Returns false if it is another process's.
   * @param ms how long the process keeps it without another call
   */
  async take(name: string, ms: number): Promise<boolean> {
    return this.#shared === undefined || this.#shared.lease(name, ms);
  }

  /**
   * Does work that one process does at a time. Returns undefined, and does nothing, while another process does it.
   * @param work gets a signal that aborts if another process may have taken over, because this one was cut off from the index
   */
  async run<T>(name: string, work: (signal: AbortSignal) => Promise<T>): Promise<{ readonly result: T } | undefined> {
    const lost = new AbortController();
    const shared = this.#shared;
    if (shared === undefined) return { result: await work(lost.signal) };
    let heldUntil = performance.now() + this.#leaseMs;
    if (!(await shared.lease(name, this.#leaseMs))) return undefined;
    const lose = (): void => lost.abort(new Error(`another process took over "${name}"`));
    const renew = async (): Promise<void> => {
      const startedAt = performance.now();
      // Without an answer, the lease is ours until it ends.
      const isOurs = await shared.lease(name, this.#leaseMs).catch(() => undefined);
      if (isOurs === true) heldUntil = startedAt + this.#leaseMs;
      else if (isOurs === false || performance.now() >= heldUntil) lose();
    };
    let renewal = Promise.resolve();
    const timer = setInterval(() => void (renewal = renew()), this.#leaseMs / 3).unref();
    try {
      return { result: await work(lost.signal) };
    } finally {
      clearInterval(timer);
      // Otherwise it could take the lease again after the release.
      await renewal;
      if (!lost.signal.aborted) await shared.release(name).catch(() => undefined);
    }
  }
}
