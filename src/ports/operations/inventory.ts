/** The content of images, other holders of it, and its size: for lists, deletions and figures. */
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import type { ImageKey, ManifestRecord } from '../metadata/images.js';
import type { Page, PageRequest } from '../pages.js';

/** The reasons why a manifest of an image is kept, each list in byte order. */
export interface ManifestHolders {
  readonly tags: readonly Tag[];
  /** The manifests of the image that name it: indexes. */
  readonly namedBy: readonly Digest[];
}

/** The total size of all bytes by digest. */
export interface StoredBytes {
  /** The size of all content that an image held and that the collector has not deleted yet. Each digest counts once. */
  readonly bytes: number;
  /** False while content that a release without this count stored is not counted yet; see `countStored`. */
  readonly isComplete: boolean;
}

/** A part of the sums of content that only one repository holds. */
export interface ExclusiveBytes {
  /** By repository. */
  readonly bytes: ReadonlyMap<string, number>;
  /** The digest after which the next part begins. Absent in the last part. */
  readonly next?: Digest;
}

/** Part of the index. An unknown repository reads like an empty one. */
export interface Inventory {
  /** Lists the manifests of an image, in byte order of the digest; `after` is a digest. */
  manifests(at: ImageKey, page: PageRequest): Promise<Page<ManifestRecord>>;
  holders(at: ImageKey, digest: Digest): Promise<ManifestHolders>;
  /**
   * Returns whether another image, or its trash, has the digest. The content of a deleted repository counts until it is
   * purged.
   */
  isHeldElsewhere(at: ImageKey, digest: Digest): Promise<boolean>;
  /** Returns the part of the size of the image that no other image holds. Reads all its links. */
  uniqueBytes(at: ImageKey): Promise<number>;
  /** Sums the content that only one repository holds, over a bounded number of digests. */
  exclusiveBytes(after?: Digest): Promise<ExclusiveBytes>;
  storedBytes(): Promise<StoredBytes>;
  /** Counts a bounded part of what is not counted yet. Returns true while there is more. */
  countStored(): Promise<boolean>;
}
