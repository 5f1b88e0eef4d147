import { LRUCache } from 'lru-cache';
import { isRecent } from '../../protocol/recent.js';

/** The limit for one repository. */
const maxBytes = 2 * 1024 * 1024;
const sizeCalculation = (_at: number, key: string): number => key.length + 100;

/** Remembers in memory, for a short time, what an upstream reported as absent. */
export class NegativeCache {
  /** When the upstream reported each as absent. */
  readonly #absent = new LRUCache<string, number>({ maxSize: maxBytes, sizeCalculation });
  readonly #ttlMs: number;
  readonly #now: () => number;

  constructor(ttlSeconds: number, now: () => number) {
    this.#ttlMs = ttlSeconds * 1000;
    this.#now = now;
  }

  has(image: string, what: string): boolean {
    const at = this.#absent.get(keyOf(image, what));
    return at !== undefined && isRecent(at, this.#ttlMs, this.#now());
  }

  note(image: string, what: string): void {
    if (this.#ttlMs > 0) this.#absent.set(keyOf(image, what), this.#now());
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
