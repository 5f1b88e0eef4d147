import type { DeletionHolds } from '../../ports/operations/garbage.js';

/** Keeps the bytes of blobs while someone copies them. Lives in memory, so a process that ends holds nothing. */
export class DeletionGate implements DeletionHolds {
  readonly #holds = new Set<object>();
  readonly #running = new Set<Promise<unknown>>();

  /** Whether bytes are kept. */
  get isHeld(): boolean {
    return this.#holds.size > 0;
  }

  async hold(): Promise<() => void> {
    const hold = {};
    this.#holds.add(hold);
    await Promise.allSettled(this.#running);
    return () => void this.#holds.delete(hold);
  }

  /** Runs a task that deletes or moves bytes. Resolves to `undefined` without running it while bytes are kept. */
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
