import { LRUCache } from 'lru-cache';
import type { Digest } from '../../protocol/digest.js';
import { isRecent } from '../../protocol/recent.js';
import type { UpstreamReason } from '../../protocol/upstream/verdict.js';

/** The limit for one repository. */
const maxBytes = 2 * 1024 * 1024;
/** The memory of an entry besides its key: at most one digest, and a reason, whose texts are shared. */
const entryBytes = 400;
const sizeCalculation = (_entry: unknown, key: string): number => key.length + entryBytes;

/** The information about absent content. */
export interface Absence {
  /** The upstream's reason, unless it is a 404. */
  readonly reason?: UpstreamReason | undefined;
  /** The digest that the tag named when it last existed. */
  readonly digest?: Digest | undefined;
}

/**
 * Remembers in memory what an upstream reported as absent. The absence expires; its reason and the last digest are kept
 * longer.
 */
export class NegativeCache {
  /** With the time of the report. */
  readonly #absent = new LRUCache<string, Absence & { readonly at: number }>({ maxSize: maxBytes, sizeCalculation });
  readonly #ttlMs: number;
  readonly #now: () => number;

  constructor(ttlSeconds: number, now: () => number) {
    this.#ttlMs = ttlSeconds * 1000;
    this.#now = now;
  }

  has(image: string, what: string): boolean {
    const entry = this.#absent.get(keyOf(image, what));
    return entry !== undefined && isRecent(entry.at, this.#ttlMs, this.#now());
  }

  /** Returns what is known about the last absence, however long ago it was reported. */
  find(image: string, what: string): Absence | undefined {
    return this.#absent.get(keyOf(image, what));
  }

  /** Remembers an absence. Without a digest, the known one stays. */
  note(image: string, what: string, { reason, digest = this.find(image, what)?.digest }: Absence = {}): void {
    this.#absent.set(keyOf(image, what), { at: this.#now(), reason, digest });
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
