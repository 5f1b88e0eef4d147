/**
 * The size limit of a cache, pins, purges and access times. Imported by cache/ only.
 */
import type {
  CacheItem,
  CacheRecords,
  ImageRecords,
  MetadataStore,
  MetadataWriter,
} from '../../../ports/metadata/metadata.js';
import type { Runtime } from '../../../ports/runtime.js';
import type { Tag } from '../../../protocol/names.js';
import { Leases } from '../../../util/scheduling/leases.js';
import { dropCached } from './drop-cached.js';
import { CachePins } from './cache-pins.js';
import { CachePurge, type PurgeTotals } from './cache-purge.js';
import type { AccessTimes } from './access-times.js';
import { timeLeft } from '../../../protocol/recent.js';

export type { PurgeTotals } from './cache-purge.js';

export interface EvictionParts {
  readonly metadata: ImageRecords & CacheRecords & MetadataWriter & Pick<MetadataStore, 'shared'>;
  readonly runtime: Runtime;
  readonly accessTimes: Pick<AccessTimes, 'flush' | 'isTouched' | 'betweenFlushes'>;
  /** Frees bytes that nothing refers to. Evictions wait for it. */
  readonly collect: () => Promise<unknown>;
  /** Returns whether bytes are kept for now, whatever refers to them. */
  readonly isHeld: () => boolean;
}

/** The settings that limit a cache. */
export interface CacheLimits {
  readonly name: string;
  /** The size limit, or high mark. Absent: no limit. */
  readonly maxCacheBytes?: number | undefined;
  /** Patterns of `image` or `image:tag` that are never evicted. */
  readonly pins: readonly string[];
}

export interface EvictionReport {
  /** The number of links and manifests. */
  readonly evicted: number;
  readonly bytes: number;
}

const batchSize = 100;
/** Eviction continues down to this part of the high mark, so that not every new blob triggers a run. */
const lowMark = 0.9;
/**
 * The pause after a run that failed or found too little; otherwise every new blob would trigger a scan of the whole
 * cache.
 */
const restMs = 60_000;
/** How often a cache that other processes fill too is checked while it grows in this process. */
const sharedCheckMs = 60_000;
/** The part of the room that this process fills without a check in a cache that others fill too. */
const sharedShare = 0.25;

/**
 * Keeps one cache below its limit: drops the least recently used references first, never pinned content. Bytes are
 * deleted when no reference is left. Evictions and purges of a cache run one at a time.
 */
export class CacheEviction {
  readonly #parts: EvictionParts;
  readonly #limits: CacheLimits;
  /** The bytes that may arrive before the size must be checked. */
  #headroom = 0;
  #checking = false;
  /** True after a run that stayed above its goal and logged it. */
  #isExhausted = false;
  #restUntil = 0;
  #checkedAt = -Infinity;
  readonly #leases: Leases;
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(parts: EvictionParts, limits: CacheLimits) {
    this.#parts = parts;
    this.#limits = limits;
    this.#leases = new Leases(parts.metadata.shared);
  }

  /** Call it after content was stored. Evicts in the background when the cache exceeds its limit. */
  noteGrowth(bytes: number): void {
    if (this.#limits.maxCacheBytes === undefined || this.#closed) return;
    this.#headroom -= bytes;
    const { metadata, runtime } = this.#parts;
    const now = runtime.now();
    const isOld = metadata.shared !== undefined && now - this.#checkedAt >= sharedCheckMs;
    if ((this.#headroom >= 0 && !isOld) || this.#checking || timeLeft(this.#restUntil, restMs, now) > 0) return;
    this.#checkedAt = now;
    this.#checking = true;
    void this.#evictInBackground().finally(() => {
      this.#checking = false;
      // Content may have arrived since the size was checked.
      this.noteGrowth(0);
    });
  }

  /** Evicts down to the low mark if the cache exceeds the high mark. */
  evict(): Promise<EvictionReport> {
    return this.#inTurn(async () => {
      const { name, maxCacheBytes: max } = this.#limits;
      if (max === undefined) return { evicted: 0, bytes: 0 };
      const { metadata } = this.#parts;
      const isTooLarge = (await metadata.usage(name)) > max;
      // Two processes would evict twice as much. The second one checks again after a pause.
      const run = (): Promise<EvictionReport> => this.#run(Math.floor(max * lowMark));
      const outcome = isTooLarge ? await this.#leases.run(`evict ${name}`, run) : { result: { evicted: 0, bytes: 0 } };
      if (outcome === undefined) this.#restUntil = this.#parts.runtime.now() + restMs;
      this.#headroom = 0;
      const usage = await metadata.usage(name);
      // Added, not set: content may have arrived during the read. Counting it twice costs one more check.
      this.#headroom += (max - usage) * (metadata.shared === undefined ? 1 : sharedShare);
      return outcome?.result ?? { evicted: 0, bytes: 0 };
    });
  }

  /**
   * Evicts this many bytes because the disk is full, with or without a limit. Evicts nothing while a backup copies the blobs:
   * no space would come free, and the next attempt would evict more.
   */
  evictBytes(bytes: number): Promise<EvictionReport> {
    return this.#inTurn(async () => {
      if (this.#parts.isHeld()) return { evicted: 0, bytes: 0 };
      const usage = await this.#parts.metadata.usage(this.#limits.name);
      return this.#run(Math.max(0, usage - bytes));
    });
  }

  /**
   * Drops a tag, with its manifest and blobs when nothing else in the image needs them; or an image; or all images.
   * Drops pinned content too. Content that arrives during the purge may stay.
   */
  purge(image?: string, tag?: Tag): Promise<PurgeTotals> {
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
      runtime.log.info({ repository: name, image, tag, ...report }, 'cache purged');
      if (report.manifests + report.blobs > 0) await this.#collect();
      return report;
    });
  }

  /** Starts no more batches and waits for the running one. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#turn;
  }

  async #evictInBackground(): Promise<void> {
    try {
      await this.evict();
    } catch (error) {
      const { runtime } = this.#parts;
      runtime.log.error({ err: error, repository: this.#limits.name }, 'cache eviction failed');
      this.#restUntil = runtime.now() + restMs;
    }
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const running = this.#turn.then(task);
    this.#turn = running.catch(() => undefined);
    return running;
  }

  /** @param goal the target size. */
  async #run(goal: number): Promise<EvictionReport> {
    const { metadata, runtime, accessTimes } = this.#parts;
    const repository = this.#limits.name;
    let [evicted, bytes] = [0, 0];
    let isExhausted = false;
    // Otherwise all recent content would count as in use, and a burst would exceed the limit by far.
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
      runtime.log.info({ repository, evicted, bytes }, 'cache evicted');
      await this.#collect();
    }
    this.#noteOutcome(isExhausted, goal);
    return { evicted, bytes };
  }

  /** Drops the oldest of the next items that together have the excess size. `last` is absent after the end. */
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

  /** Logs once that nothing more can be evicted. */
  #noteOutcome(isExhausted: boolean, goal: number): void {
    const { runtime } = this.#parts;
    if (isExhausted && !this.#isExhausted) {
      const fields = { repository: this.#limits.name, goal };
      runtime.log.warn(fields, 'cache exceeds its limit: its content is pinned or in use');
    }
    this.#isExhausted = isExhausted;
    this.#restUntil = isExhausted ? runtime.now() + restMs : 0;
  }

  /** After a failed flush, times are too old and unwritten items count as in use: inaccurate, but safe. */
  async #flushTouches(): Promise<void> {
    try {
      await this.#parts.accessTimes.flush();
    } catch (error) {
      this.#parts.runtime.log.warn({ err: error }, 'failed to save access times');
    }
  }

  async #collect(): Promise<void> {
    try {
      await this.#parts.collect();
    } catch (error) {
      // The references are gone, so the next collection frees the bytes.
      this.#parts.runtime.log.error({ err: error }, 'failed to free evicted bytes');
    }
  }
}

function weigh(items: readonly { readonly size: number }[]): number {
  return items.reduce((sum, { size }) => sum + size, 0);
}
