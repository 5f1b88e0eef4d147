/** The content of caches, by access time. Part of the index. */
import type { Digest } from '../../protocol/digest.js';
import type { ImageKey } from './images.js';

/** A linked blob or a manifest that a cache keeps. */
export interface CacheItem {
  readonly kind: 'link' | 'manifest';
  readonly at: ImageKey;
  readonly digest: Digest;
  readonly size: number;
  /** The last access time, accurate to about a minute. */
  readonly touchedAt: number;
}

/** Access times and sizes of caches. */
export interface CacheRecords {
  /** Lists items by access time, oldest first. Omits items without an access time. */
  evictable(
    repository: string,
    page: { readonly limit: number; readonly after?: CacheItem },
  ): Promise<readonly CacheItem[]>;
  /** Returns the total size of the repository's images. */
  usage(repository: string): Promise<number>;
}
