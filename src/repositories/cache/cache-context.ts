import type { BlobStore } from '../../ports/bytes.js';
import type { CacheOutcome, ImageKey } from '../../ports/metadata/images.js';
import type {
  CacheRecords,
  GarbageRecords,
  ImageRecords,
  MetadataWriter,
  RepositoryRecords,
} from '../../ports/metadata/metadata.js';
import type { DamageRecords } from '../../ports/operations/backup.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Upstream } from '../../ports/upstream.js';
import type { Digest } from '../../protocol/digest.js';
import type { RemoteRepositoryConfig } from '../../protocol/settings/repository-config.js';
import type { KeyedMutex } from '../../util/scheduling/concurrency.js';
import type { PullCounts } from '../content/pull-counts.js';
import type { RecentContent } from '../content/recent-content.js';
import type { ListCache } from '../remote/list-cache.js';
import type { PurgeNotices } from './eviction/purge-notices.js';
import type { AccessTimes } from './eviction/access-times.js';
import type { CacheEviction } from './eviction/cache-eviction.js';
import type { CacheFills } from './fills/cache-fills.js';
import { RunningFill, type Fill } from './fills/fill.js';
import { NegativeCache } from './negative-cache.js';

/** The counters of a cache, in memory. They survive changes of the settings. */
export interface CacheStatistics {
  readonly counters: Record<CacheOutcome, number>;
  upstreamBytes: number;
  /** When the counts began. */
  readonly countedSince: number;
}

/** Starts counting. */
export function createStatistics(now: number): CacheStatistics {
  return { counters: { hit: 0, miss: 0, stale: 0, refresh: 0 }, upstreamBytes: 0, countedSince: now };
}

/** The parts of a cache. All but the statistics are shared by the caches of one registry. */
export interface CacheParts {
  readonly blobs: BlobStore;
  readonly metadata: MetadataWriter &
    RepositoryRecords &
    ImageRecords &
    CacheRecords &
    Pick<GarbageRecords, 'isCandidate'>;
  readonly recent: RecentContent;
  readonly damage: DamageRecords;
  readonly runtime: Runtime;
  readonly digestLocks: KeyedMutex;
  readonly fills: CacheFills;
  readonly accessTimes: AccessTimes;
  readonly pullCounts: Pick<PullCounts, 'count'>;
  readonly lists: ListCache;
  readonly notices: Pick<PurgeNotices, 'announce'>;
  readonly statistics: CacheStatistics;
}

/** The state of one cache that its parts share: upstream, eviction, counters and known absences. */
export class CacheContext {
  readonly config: RemoteRepositoryConfig;
  readonly upstream: Upstream;
  readonly parts: CacheParts;
  readonly eviction: CacheEviction;
  readonly negatives: NegativeCache;
  readonly #counted = new WeakSet<Fill>();

  constructor(config: RemoteRepositoryConfig, upstream: Upstream, eviction: CacheEviction, parts: CacheParts) {
    this.config = config;
    this.upstream = upstream;
    this.eviction = eviction;
    this.parts = parts;
    this.negatives = new NegativeCache(config.negativeTtlSeconds, () => parts.runtime.now());
  }

  at(image: string): ImageKey {
    return { repository: this.config.name, image };
  }

  count(image: string, what: 'manifest' | 'blob' | 'list', outcome: CacheOutcome): void {
    const { runtime, statistics } = this.parts;
    statistics.counters[outcome]++;
    if (!runtime.isHeard('cache.answered')) return;
    runtime.emit('cache.answered', { repository: this.config.name, image, what, outcome });
  }

  /** Records that the image now holds the content, whether or not its bytes came from the upstream. */
  noteStored(image: string, digest: Digest, bytes: number): void {
    this.parts.accessTimes.touch(this.at(image), digest);
    this.eviction.noteGrowth(bytes);
  }

  /** Records bytes that came from the upstream and were stored. */
  noteFetched(image: string, digest: Digest, bytes: number): void {
    this.parts.statistics.upstreamBytes += bytes;
    this.parts.runtime.emit('cache.filled', { repository: this.config.name, image, digest, bytes });
  }

  /** Records bytes that came from the upstream and were not stored. */
  noteUncached(bytes: number): void {
    this.parts.statistics.upstreamBytes += bytes;
  }

  /** Counts a transfer once, however many readers join it. Does not count content that was already stored. */
  noteFill(image: string, fill: Fill): void {
    if (!(fill instanceof RunningFill) || this.#counted.has(fill)) return;
    this.#counted.add(fill);
    fill.done.then(
      ({ digest, size }) => this.noteFetched(image, digest, size),
      () => undefined,
    );
  }
}
