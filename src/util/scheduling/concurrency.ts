/**
 * When work runs: one task per key, at most so many at once, in fair order, and in turns that let the event loop serve
 * others in between.
 */

/**
 * Runs tasks with the same key one after the other, in the order of the calls. Tasks with different keys run
 * concurrently.
 */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs a task after earlier tasks of the key; settles like the task. */
  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    // A failure of the previous task belongs to its own caller and does not affect this task.
    const mine = before === undefined ? task() : before.then(task, task);
    this.#tails.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(key) === mine) this.#tails.delete(key);
    }
  }

  /**
   * Runs a task after earlier tasks of all keys. Takes the keys in one order, so that two such calls cannot wait for each
   * other.
   */
  async runAll<T>(keys: Iterable<string>, task: () => Promise<T>): Promise<T> {
    const releases: (() => void)[] = [];
    try {
      for (const key of [...new Set(keys)].sort()) releases.push(await this.#hold(key));
      return await task();
    } finally {
      for (const release of releases) release();
    }
  }

  /** Resolves when the key is held, to a function that releases it. */
  #hold(key: string): Promise<() => void> {
    return new Promise((held) => void this.run(key, () => new Promise<void>((release) => held(release))));
  }

  /** Returns whether a task of this key is running or waiting. */
  isHeld(key: string): boolean {
    return this.#tails.has(key);
  }
}

/** Lets callers with the same key share one running task. */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Promise<T>>();

  /** Joins the running task of the key, or starts one. */
  run(key: string, task: () => Promise<T>): Promise<T> {
    const flight = this.#flights.get(key);
    if (flight !== undefined) return flight;
    const started = task().finally(() => this.#flights.delete(key));
    this.#flights.set(key, started);
    return started;
  }
}

/** Limits how many tasks run concurrently. Other tasks wait in the order of the calls. */
export class Semaphore {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(max: number) {
    this.#free = max;
  }

  /** Runs a task once a slot is free; settles like the task. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

/** Applies `work` to all items, a few at the same time. `slot` is not used by two calls at the same time. */
export async function inParallel<T, R>(
  items: readonly T[],
  max: number,
  work: (item: T, slot: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const runSlot = async (slot: number): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      // `index` is below the length.
      results[index] = await work(items[index] as T, slot);
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: max }, (_, slot) => runSlot(slot)));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  return results;
}

/**
 * Applies `work` to all items of an iterable, a few at the same time. After a failure, waits for what is running and starts
 * nothing else.
 */
export async function forEachParallel<T>(
  items: AsyncIterable<T>,
  max: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.asyncIterator]();
  let hasFailed = false;
  const runSlot = async (): Promise<void> => {
    try {
      for (;;) {
        const next = await iterator.next();
        if (next.done === true || hasFailed) return;
        await work(next.value);
      }
    } catch (error) {
      hasFailed = true;
      throw error;
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: max }, runSlot));
  await iterator.return?.();
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}
