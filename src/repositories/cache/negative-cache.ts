import { LRUCache } from 'lru-cache';

/** The limit for one repository. */
const maxBytes = 2 * 1024 * 1024;
const sizeCalculation = (_value: true, key: string): number => key.length + 100;

/** Remembers in memory, for a short time, what an upstream reported as absent. */
export class NegativeCache {
  readonly #absent: LRUCache<string, true>;
  readonly #ttlMs: number;
  readonly #now: () => number;

  constructor(ttlSeconds: number, now: () => number) {
    this.#ttlMs = ttlSeconds * 1000;
    this.#now = now;
    this.#absent = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation,
      ttl: this.#ttlMs,
      ttlResolution: 0,
      perf: { now },
    });
  }

  has(image: string, what: string): boolean {
    return this.#absent.get(keyOf(image, what)) === true;
  }

  note(image: string, what: string): void {
    // lru-cache treats a ttl of 0 as no expiry.
    if (this.#ttlMs > 0) this.#absent.set(keyOf(image, what), true, { start: this.#now() });
  }

  /** Forgets the absences of one image, or of all. */
  forget(image?: string): void {
    if (image === undefined) return this.#absent.clear();
    for (const key of this.#absent.keys()) if (key.startsWith(keyOf(image, ''))) this.#absent.delete(key);
  }
}

function keyOf(image: string, what: string): string {
  return `${image}\0${what}`;
}
