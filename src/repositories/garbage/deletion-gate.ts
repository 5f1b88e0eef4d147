import type { DeletionHolds } from '../../ports/operations/garbage.js';

/** Holds back deletions while something copies the blobs. Lives in memory, so the hold ends with the process. */
export class DeletionGate implements DeletionHolds {
  readonly #holds = new Set<object>();
  readonly #running = new Set<Promise<unknown>>();

  /** Whether deletions are held. */
  get isHeld(): boolean {
    return this.#holds.size > 0;
  }

  async hold(): Promise<() => void> {
    const hold = {};
    this.#holds.add(hold);
    await Promise.allSettled(this.#running);
    return () => void this.#holds.delete(hold);
  }

  /** Runs a task that deletes or moves bytes. Resolves to `undefined` without running it while deletions are held. */
  async run<T>(task: () => Promise<T>): Promise<T | undefined> {
    if (this.isHeld) return undefined;
    const running = task();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }
}
