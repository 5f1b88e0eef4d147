import type { CacheItem, CacheRecords, ImageRecords, MetadataWriter } from '../../../ports/metadata.js';
import type { Runtime } from '../../../ports/runtime.js';
import type { Tag } from '../../../protocol/names.js';
import { dropCached } from './drop-cached.js';
import { CachePins } from './cache-pins.js';
import { CachePurge, type PurgeReport } from './cache-purge.js';
import type { AccessTimes } from './access-times.js';

export type { PurgeReport } from './cache-purge.js';

export interface EvictionParts {
  readonly metadata: ImageRecords & CacheRecords & MetadataWriter;
  readonly runtime: Runtime;
  readonly accessTimes: Pick<AccessTimes, 'flush' | 'isTouched' | 'betweenFlushes'>;
  /** Frees the bytes that nothing refers to any more. What asked for room waits for it. */
  readonly collect: () => Promise<unknown>;
}

/** What concerns the size of a remote repository's cache. */
export interface CacheLimits {
  readonly name: string;
  /** The high mark. Absent: no limit. */
  readonly maxCacheBytes?: number | undefined;
  /** What is never evicted: patterns of `image` or `image:tag`. */
  readonly pins: readonly string[];
}

export interface EvictionReport {
  /** Links and manifests. */
  readonly evicted: number;
  readonly bytes: number;
}

const batchSize = 100;
/** Evicting goes on down to this part of the high mark, so that not each blob that comes in makes another run. */
const lowMark = 0.9;
/** After a run that failed or found too little: else each blob that comes in would have all that is left looked through. */
const restMs = 60_000;

/**
 * Keeps the cache of one remote repository below its limit: what was asked for longest ago goes first, pinned content never.
 * It ends references; bytes go when nothing is left that refers to them. Everything here happens one after the other.
 */
export class CacheEviction {
  readonly #parts: EvictionParts;
  readonly #limits: CacheLimits;
  /** How much may come in before the size has to be looked at. */
  #headroom = 0;
  #checking = false;
  /** The last run left more than it should have, and has said so. */
  #isExhausted = false;
  #restUntil = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(parts: EvictionParts, limits: CacheLimits) {
    this.#parts = parts;
    this.#limits = limits;
  }

  /** To be called after something was stored. Evicts in the background when it has become too much. */
  noteGrowth(bytes: number): void {
    if (this.#limits.maxCacheBytes === undefined || this.#closed) return;
    this.#headroom -= bytes;
    if (this.#headroom >= 0 || this.#checking || this.#parts.runtime.now() < this.#restUntil) return;
    this.#checking = true;
    void this.#evictInBackground().finally(() => {
      this.#checking = false;
      // What came in since the size was looked at.
      this.noteGrowth(0);
    });
  }

  /** Down to the low mark, when it is above the high one. */
  evict(): Promise<EvictionReport> {
    return this.#inTurn(async () => {
      const { name, maxCacheBytes: max } = this.#limits;
      if (max === undefined) return { evicted: 0, bytes: 0 };
      const { metadata } = this.#parts;
      const isTooLarge = (await metadata.usage(name)) > max;
      const report = isTooLarge ? await this.#run(Math.floor(max * lowMark)) : { evicted: 0, bytes: 0 };
      this.#headroom = 0;
      const usage = await metadata.usage(name);
      // Not set: there may have been growth while it was read. Counted twice, it costs a look too many.
      this.#headroom += max - usage;
      return report;
    });
  }

  /** Evicts this many bytes, with or without a limit: they are missing on the disk. */
  evictBytes(bytes: number): Promise<EvictionReport> {
    return this.#inTurn(async () => {
      const usage = await this.#parts.metadata.usage(this.#limits.name);
      return this.#run(Math.max(0, usage - bytes));
    });
  }

  /**
   * Drops, pinned or not: a tag, with its manifest and blobs when nothing else in the image needs them; or an image; or all
   * images of the repository. What comes in meanwhile may stay.
   */
  purge(image?: string, tag?: Tag): Promise<PurgeReport> {
    return this.#inTurn(async () => {
      const { metadata, runtime } = this.#parts;
      const { name } = this.#limits;
      const startedAt = runtime.now();
      await this.#flushTouches();
      const purge = new CachePurge(metadata, name, () => this.#closed);
      const at = { repository: name, image: image ?? '' };
      if (image === undefined) await purge.purgeAll(startedAt);
      else if (tag === undefined) await purge.purgeImage(at, startedAt);
      else await purge.purgeTag(at, tag);
      const { report } = purge;
      runtime.log.info({ repository: name, image, tag, ...report }, 'purged the cache');
      if (report.manifests + report.blobs > 0) await this.#collect();
      return report;
    });
  }

  /** No batch begins any more; resolves when the present one is done. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#turn;
  }

  async #evictInBackground(): Promise<void> {
    try {
      await this.evict();
    } catch (error) {
      const { runtime } = this.#parts;
      runtime.log.error({ err: error, repository: this.#limits.name }, 'evicting from the cache failed');
      this.#restUntil = runtime.now() + restMs;
    }
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const running = this.#turn.then(task);
    this.#turn = running.catch(() => undefined);
    return running;
  }

  /** @param goal the size to come down to. */
  async #run(goal: number): Promise<EvictionReport> {
    const { metadata, runtime, accessTimes } = this.#parts;
    const repository = this.#limits.name;
    let [evicted, bytes] = [0, 0];
    let isExhausted = false;
    // Else all that came in lately would count as in use, and a burst would go far beyond the limit.
    await this.#flushTouches();
    for (let after: CacheItem | undefined; !this.#closed;) {
      const excess = (await metadata.usage(repository)) - goal;
      if (excess <= 0) break;
      const batch = await accessTimes.betweenFlushes(() => this.#evictBatch(after, excess));
      evicted += batch.evicted;
      bytes += batch.bytes;
      after = batch.last;
      isExhausted = after === undefined;
      if (isExhausted) break;
    }
    if (evicted > 0) {
      runtime.log.info({ repository, evicted, bytes }, 'evicted from the cache');
      await this.#collect();
    }
    this.#noteOutcome(isExhausted, goal);
    return { evicted, bytes };
  }

  /** Of the next items, the oldest that weigh enough together. `last` is absent after the end. */
  async #evictBatch(
    after: CacheItem | undefined,
    excess: number,
  ): Promise<EvictionReport & { readonly last: CacheItem | undefined }> {
    const { metadata, accessTimes } = this.#parts;
    const page = { limit: batchSize, ...(after === undefined ? {} : { after }) };
    const pins = new CachePins(metadata, this.#limits.pins);
    const chosen: CacheItem[] = [];
    let last: CacheItem | undefined;
    for (const item of await metadata.evictable(this.#limits.name, page)) {
      last = item;
      if (await pins.isPinned(item.at, item.digest)) continue;
      chosen.push(item);
      if (weigh(chosen) >= excess) break;
    }
    const dropped = await dropCached(metadata, chosen, {
      isInUse: ({ at, digest }) => accessTimes.isTouched(at, digest),
    });
    return { evicted: dropped.length, bytes: weigh(dropped), last };
  }

  /** Says once that there is nothing more to evict. */
  #noteOutcome(isExhausted: boolean, goal: number): void {
    const { runtime } = this.#parts;
    if (isExhausted && !this.#isExhausted) {
      const fields = { repository: this.#limits.name, goal };
      runtime.log.warn(fields, 'the cache is larger than it should be, and what is left of it is pinned or in use');
    }
    this.#isExhausted = isExhausted;
    this.#restUntil = isExhausted ? runtime.now() + restMs : 0;
  }

  /** Without it, times are older than they are and what is not written counts as in use: coarse, but not wrong. */
  async #flushTouches(): Promise<void> {
    try {
      await this.#parts.accessTimes.flush();
    } catch (error) {
      this.#parts.runtime.log.warn({ err: error }, 'when cached content was last asked for could not be written');
    }
  }

  async #collect(): Promise<void> {
    try {
      await this.#parts.collect();
    } catch (error) {
      // The references are gone: the next collection frees the bytes.
      this.#parts.runtime.log.error({ err: error }, 'what was evicted could not be freed');
    }
  }
}

function weigh(items: readonly { readonly size: number }[]): number {
  return items.reduce((sum, { size }) => sum + size, 0);
}
