/** Images and what they contain, in the terms that every part of the registry shares. */
import type { Digest } from '../../protocol/digest.js';
import type { Page, PageRequest } from '../pages.js';

/** Identifies an image: `repository` is the configured repository, `image` the rest of the name on the wire. */
export interface ImageKey {
  readonly repository: string;
  readonly image: string;
}

export interface ImageRecord {
  readonly image: string;
  /** The number of manifests. */
  readonly manifests: number;
  /** The number of tags. */
  readonly tags: number;
  /** The total size of the image's manifests and linked blobs; each digest counts once. */
  readonly bytes: number;
  readonly updatedAt: number;
  /** When a manifest or a tag was last pushed or fetched. Absent in records of older releases. */
  readonly pushedAt?: number;
  /** In a list of a virtual repository: the member that holds the image. */
  readonly member?: string;
}

/** A manifest, as the index records it. */
export interface ManifestRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  /** `artifactType`; else, for an image manifest, the media type of its config (the specification's fallback). */
  readonly artifactType?: string;
  /** Kept only for manifests with a subject, because lists of referrers show them. */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly subject?: Digest;
  /** Every digest that the manifest names, once each: config, layers, children of an index. Excludes the subject. */
  readonly references: readonly Digest[];
  /** The total size of config and layers according to their descriptors; 0 for an index. */
  readonly contentBytes: number;
  readonly pushedAt: number;
}

/** The content of a repository or an image. Counts shared content once per image. */
export interface StoredContent {
  readonly images: number;
  readonly tags: number;
  readonly manifests: number;
  readonly bytes: number;
}

export interface ImagePageRequest extends PageRequest {
  /** Lists only images whose names start with this prefix. */
  readonly prefix?: string;
}

/** A page of images. It may hold fewer than requested, or none, because a page examines a bounded number of images. */
export interface ImagePage extends Page<ImageRecord> {
  /**
   * The name after which the next page starts; defaults to the name of the last item. Do not show it to callers: they
   * may have no right to see that image.
   */
  readonly seenTo?: string;
}

export interface ManifestInfo {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  /** The total size of config and layers; 0 for an index. */
  readonly contentBytes?: number;
  /** Absent for content that the registry itself owns. */
  readonly provenance?: Provenance;
}

export interface ManifestContent extends ManifestInfo {
  readonly bytes: Buffer;
}

export interface Referrer extends ManifestInfo {
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ReferrerPageRequest extends PageRequest {
  /** The maximum size of the page's descriptors as JSON. A page holds at least one item. */
  readonly maxBytes?: number;
}

/** The origin of an answer. Shown to people in response headers, events and the log. */
export interface Provenance {
  /** The repository that answered. For a virtual repository, the member. */
  readonly repository: string;
  readonly cache: 'hit' | 'miss' | 'stale';
  /** When the upstream was last asked. Absent for content that needs no revalidation. */
  readonly checkedAt?: number;
  /** Why the answer is stale. */
  readonly reason?: string;
}

export type CacheOutcome = 'hit' | 'miss' | 'stale' | 'refresh';
