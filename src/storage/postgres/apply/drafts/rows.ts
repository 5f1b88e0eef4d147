/** The rows that a write reads and changes, in memory. */

/**
 * Rows of one table, as stored and as changed. Only loaded rows can be read: an attempt to read another one is a bug of
 * `image-load.ts`.
 */
export class Rows<K extends string, V> {
  readonly #table: string;
  readonly #stored = new Map<K, V>();
  readonly #now = new Map<K, V>();
  readonly #known = new Set<K>();

  constructor(table: string) {
    this.#table = table;
  }

  /** Notes a row as it is stored; `undefined` if there is none. */
  load(key: K, value: V | undefined): void {
    this.#known.add(key);
    if (value === undefined) return;
    this.#stored.set(key, value);
    this.#now.set(key, value);
  }

  isLoaded(key: K): boolean {
    return this.#known.has(key);
  }

  get(key: K): V | undefined {
    if (!this.#known.has(key)) throw new Error(`the row ${key} of ${this.#table} was not loaded`);
    return this.#now.get(key);
  }

  set(key: K, value: V): void {
    this.#known.add(key);
    this.#now.set(key, value);
  }

  delete(key: K): void {
    this.#now.delete(key);
  }

  stored(key: K): V | undefined {
    return this.#stored.get(key);
  }

  entries(): Iterable<[K, V]> {
    return this.#now;
  }

  /** Returns new and changed rows, sorted by key. */
  puts(): [K, V][] {
    return [...this.#now].filter(([key, value]) => this.#stored.get(key) !== value).sort(byKey);
  }

  /** Returns the keys of rows to delete, sorted. */
  deletes(): K[] {
    return [...this.#stored.keys()].filter((key) => !this.#now.has(key)).sort();
  }
}

function byKey(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : 1;
}
