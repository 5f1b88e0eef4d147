/**
 * Pull-through caches of other registries. This file is the only entry point: the rest of the folder is private to it. A
 * read goes through `cache-repository.ts`; a tag is revalidated in `cached-manifests.ts` and stored by
 * `manifest-store.ts`; a missing blob is fetched by `fills/cache-fills.ts` through `fills/transfer.ts`. `eviction/`
 * keeps caches below their size limits and purges them.
 */
import type { Repository } from '../../ports/repository.js';
import type { Upstream } from '../../ports/upstream.js';
import { hasOfficialImages, withCanonicalPatterns } from '../../protocol/docker-hub.js';
import type { RemoteRepositoryConfig } from '../../protocol/settings/repository-config.js';
import { CacheContext, createStatistics, type CacheParts } from './cache-context.js';
import { CacheRepository } from './cache-repository.js';
import { AccessTimes } from './eviction/access-times.js';
import { CacheEviction, type EvictionParts } from './eviction/cache-eviction.js';
import { PurgeNotices, type NoticeParts } from './eviction/purge-notices.js';
import { ShortNames } from './eviction/short-names.js';
import { CacheFills } from './fills/cache-fills.js';

export interface CachesParts
  extends
    Omit<CacheParts, 'fills' | 'accessTimes' | 'statistics' | 'notices'>,
    Pick<EvictionParts, 'collect' | 'isHeld'>,
    NoticeParts {
  readonly metadata: CacheParts['metadata'] & NoticeParts['metadata'];
  /** All repositories; their caches make room when the disk is full. */
  readonly repositories: () => readonly Repository[];
}

/** The caches of one registry. They share transfers and access times. */
export class Caches {
  readonly #parts: CachesParts;
  readonly #fills: CacheFills;
  readonly #accessTimes: AccessTimes;
  readonly #notices: PurgeNotices;
  readonly #moves = new Set<Promise<void>>();
  #isClosed = false;

  constructor(parts: CachesParts) {
    this.#parts = parts;
    this.#fills = new CacheFills(parts);
    this.#accessTimes = new AccessTimes(parts);
    this.#notices = new PurgeNotices(parts);
  }

  /** @param before the repository with the previous settings, whose statistics are continued. */
  create(config: RemoteRepositoryConfig, upstream: Upstream, before?: Repository): Repository {
    const parts = { ...this.#parts, fills: this.#fills, accessTimes: this.#accessTimes, notices: this.#notices };
    const pins = hasOfficialImages(config) ? withCanonicalPatterns(config.pins) : config.pins;
    if (hasOfficialImages(config) && !hadOfficialImages(before)) this.#moveShortNames(config.name);
    const eviction = new CacheEviction(parts, { ...config, pins });
    const previous = before instanceof CacheRepository ? before.context : undefined;
    if (previous?.upstream !== upstream) this.#fills.forgetFailures(config.name);
    const statistics = previous?.parts.statistics ?? createStatistics(parts.runtime.now());
    return new CacheRepository(new CacheContext(config, upstream, eviction, { ...parts, statistics }));
  }

  /** Follows the purges by other processes. Returns a function that ends it. */
  followPurges(): () => Promise<void> {
    return this.#notices.follow((name) => {
      const repository = this.#parts.repositories().find(({ config }) => config.name === name);
      if (repository instanceof CacheRepository) repository.forget();
    });
  }

  /**
   * Aborts running transfers. Call it before the repositories close, which would look like failures of their upstreams.
   */
  stopTransfers(): Promise<void> {
    return this.#fills.close();
  }

  /** Writes the access times. Call it after the repositories are closed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#moves);
    await this.#accessTimes.close();
  }

  #moveShortNames(repository: string): void {
    const { metadata, runtime } = this.#parts;
    const names = new ShortNames(metadata, repository, () => this.#isClosed);
    const move = names.move().then(
      (images) => {
        if (images > 0) runtime.log.info({ repository, images }, 'official images moved to their full names');
      },
      (error: unknown) =>
        runtime.log.warn({ err: error, repository }, 'failed to move official images to their full names'),
    );
    this.#moves.add(move);
    void move.finally(() => this.#moves.delete(move));
  }
}

/** Returns whether the previous settings already kept official images under their full names. */
function hadOfficialImages(before: Repository | undefined): boolean {
  return before?.config.type === 'remote' && hasOfficialImages(before.config);
}
