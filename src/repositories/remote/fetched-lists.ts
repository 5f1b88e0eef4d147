/**
 * Shared by caches and pass-throughs: lists fetched from an upstream. Imported by cache/ and passthrough/; imports content/.
 */
import { LRUCache } from 'lru-cache';
import type { Referrer } from '../../ports/metadata/images.js';
import type { UpstreamResult } from '../../ports/upstream.js';
import type { Tag } from '../../protocol/names.js';
import { Semaphore, SingleFlight } from '../../util/scheduling/concurrency.js';
import type { KeptList, ListCache } from './list-cache.js';
import { isRecent, timeLeft } from '../../protocol/recent.js';

/** The number of lists that are fetched at a time: each may be large. */
const maxFetches = 4;
/** How long a list that is too long or malformed is not fetched again, because each attempt reads up to the bound. */
const unreadableSeconds = 60;
const maxUnreadable = 1000;
/** How long a client may take for the pages of a list. */
export const listingMs = 60_000;

export interface FetchedListsParts {
  /** The name of the repository whose lists these are. */
  readonly repository: string;
  readonly lists: ListCache;
  readonly now: () => number;
}

interface Unreadable {
  readonly result: UpstreamResult<never>;
  readonly until: number;
}

/**
 * Fetches the lists of one upstream: once for all concurrent callers, with a pause after an unreadable list. Keeps the
 * results.
 */
export class FetchedLists {
  readonly #parts: FetchedListsParts;
  readonly #flights = new SingleFlight<UpstreamResult<KeptList>>();
  readonly #fetches = new Semaphore(maxFetches);
  readonly #unreadable = new LRUCache<string, Unreadable>({ maxSize: maxUnreadable, sizeCalculation: () => 1 });

  constructor(parts: FetchedListsParts) {
    this.#parts = parts;
  }

  /** Returns the list as last fetched, if it is not older than `maxAgeMs`. */
  kept(key: string, maxAgeMs = Infinity): KeptList | undefined {
    const kept = this.#parts.lists.get(this.#parts.repository, key);
    if (kept === undefined || maxAgeMs === Infinity) return kept;
    return isRecent(kept.checkedAt, maxAgeMs, this.#parts.now()) ? kept : undefined;
  }

  fetch(
    key: string,
    trail: readonly string[],
    ask: () => Promise<UpstreamResult<readonly (Tag | Referrer)[]>>,
  ): Promise<UpstreamResult<KeptList>> {
    const { repository, lists, now } = this.#parts;
    const unreadable = this.#unreadable.get(key);
    if (unreadable !== undefined && timeLeft(unreadable.until, unreadableSeconds * 1000, now()) > 0)
      return Promise.resolve(unreadable.result);
    // Per trail, for the same reason as in `CachedManifests`.
    return this.#flights.run([key, ...trail].join('\0'), async () => {
      const result = await this.#fetches.run(ask);
      if (result.type === 'found') {
        const list = { items: result.value, checkedAt: now() };
        lists.set(repository, key, list);
        return { type: 'found', value: list };
      }
      if (result.type !== 'failed' || result.reason.isLasting !== true) return result;
      const reason = { ...result.reason, retryAfterSeconds: unreadableSeconds };
      const failure = { type: 'failed', reason } as const;
      this.#unreadable.set(key, { result: failure, until: now() + unreadableSeconds * 1000 });
      return failure;
    });
  }

  /** Forgets the lists whose keys start with the prefix. */
  forget(prefix: string): void {
    this.#parts.lists.forget(this.#parts.repository, prefix);
    for (const key of this.#unreadable.keys()) if (key.startsWith(prefix)) this.#unreadable.delete(key);
  }
}
