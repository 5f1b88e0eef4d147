/** Runs tasks of one key one after the other, in the order they asked; tasks of different keys do not meet. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<unknown>>();

  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    // `then` on a settled-or-not predecessor: its failure is its own caller's, never the next one's.
    const mine = before === undefined ? task() : before.then(task, task);
    this.#tails.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(key) === mine) this.#tails.delete(key);
    }
  }

  /** Whether a task of this key is running or waiting. */
  isHeld(key: string): boolean {
    return this.#tails.has(key);
  }
}

/** Joins callers of one key to the task that is already running for it. */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Promise<T>>();

  run(key: string, task: () => Promise<T>): Promise<T> {
    const flight = this.#flights.get(key);
    if (flight !== undefined) return flight;
    const started = task().finally(() => this.#flights.delete(key));
    this.#flights.set(key, started);
    return started;
  }
}

/** Runs so many tasks at a time at most; the others wait in the order they asked. */
export class Semaphore {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(max: number) {
    this.#free = max;
  }

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
