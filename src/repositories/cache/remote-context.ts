import type { BlobStore } from '../../ports/bytes.js';
import type { CacheOutcome, ImageKey } from '../../ports/images.js';
import type {
  CacheRecords,
  GarbageRecords,
  ImageRecords,
  MetadataWriter,
  RepositoryRecords,
} from '../../ports/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Upstream } from '../../ports/upstream.js';
import type { Digest } from '../../protocol/digest.js';
import type { RemoteRepositoryConfig } from '../../protocol/settings/repository-config.js';
import type { KeyedMutex } from '../../util/concurrency.js';
import type { CacheEviction } from './eviction/cache-eviction.js';
import type { CacheFills } from './fills/cache-fill.js';
import { RunningFill, type Fill } from './fills/fill.js';
import type { ListCache } from './list-cache.js';
import type { ManifestCache } from '../manifest-cache.js';
import { Negatives } from './negatives.js';
import type { TouchLog } from './eviction/touch-log.js';

/** What the remote repositories of one registry share. */
export interface RemoteParts {
  readonly blobs: BlobStore;
  readonly metadata: MetadataWriter &
    RepositoryRecords &
    ImageRecords &
    CacheRecords &
    Pick<GarbageRecords, 'isCandidate'>;
  readonly manifests: ManifestCache;
  readonly runtime: Runtime;
  readonly digestLocks: KeyedMutex;
  readonly fills: CacheFills;
  readonly touches: TouchLog;
  readonly lists: ListCache;
}

/** One remote repository as its parts see it: its upstream, its counters, and what it remembers. */
export class RemoteContext {
  readonly config: RemoteRepositoryConfig;
  readonly upstream: Upstream;
  readonly parts: RemoteParts;
  readonly eviction: CacheEviction;
  readonly negatives: Negatives;
  readonly counters: Record<CacheOutcome, number> = { hit: 0, miss: 0, stale: 0, refresh: 0 };
  upstreamBytes = 0;
  readonly #counted = new WeakSet<Fill>();

  constructor(config: RemoteRepositoryConfig, upstream: Upstream, eviction: CacheEviction, parts: RemoteParts) {
    this.config = config;
    this.upstream = upstream;
    this.eviction = eviction;
    this.parts = parts;
    this.negatives = new Negatives(config.negativeTtlSeconds, () => parts.runtime.now());
  }

  at(image: string): ImageKey {
    return { repository: this.config.name, image };
  }

  count(image: string, what: 'manifest' | 'blob' | 'list', outcome: CacheOutcome): void {
    this.counters[outcome]++;
    const { runtime } = this.parts;
    if (runtime.events.listenerCount('cache.answered') === 0) return;
    runtime.emit('cache.answered', { repository: this.config.name, image, what, outcome });
  }

  /** The image holds it now, wherever the bytes came from. */
  noteStored(image: string, digest: Digest, bytes: number): void {
    this.parts.touches.touch(this.at(image), digest);
    this.eviction.noteGrowth(bytes);
  }

  /** Bytes that came from the upstream. */
  noteFetched(image: string, digest: Digest, bytes: number): void {
    this.upstreamBytes += bytes;
    this.parts.runtime.emit('cache.filled', { repository: this.config.name, image, digest, bytes });
  }

  /** Bytes that came from the upstream and were not kept. */
  notePassed(bytes: number): void {
    this.upstreamBytes += bytes;
  }

  /** Counts a transfer once, whatever the number of those who join it; what is in the store already is none. */
  noteFill(image: string, fill: Fill): void {
    if (!(fill instanceof RunningFill) || this.#counted.has(fill)) return;
    this.#counted.add(fill);
    fill.done.then(
      ({ digest, size }) => this.noteFetched(image, digest, size),
      () => undefined,
    );
  }
}
