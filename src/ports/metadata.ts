/** The index: typed records, and `MetadataStore`, which reads them and writes them atomically. */
import type { Algorithm, Digest } from '../protocol/digest.js';
import type { SessionId, Tag } from '../protocol/names.js';
import type { RepositoryConfig } from '../protocol/settings/repository-config.js';
import type { Page, PageRequest } from './pages.js';

/** One image: `repository` is configured, `image` is the rest of the name on the wire. */
export interface ImageKey {
  readonly repository: string;
  readonly image: string;
}

export interface RepositoryRecord {
  readonly config: RepositoryConfig;
  /** `declared` in code or the config file, and fixed; or `managed` through the API. */
  readonly origin: 'declared' | 'managed';
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface ManifestRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  /** After the fallback rule: `artifactType`, else an image manifest's config type, else absent. */
  readonly artifactType?: string;
  /** Kept only where there is a subject: a referrers list shows them. */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly subject?: Digest;
  /** Every digest that the manifest names, once each: config, layers, and an index's children. Not the subject. */
  readonly references: readonly Digest[];
  /** What its config and layers weigh together, as its descriptors say; 0 for an index. */
  readonly contentBytes: number;
  readonly pushedAt: number;
}

export interface TagRecord {
  readonly name: Tag;
  readonly digest: Digest;
  readonly updatedAt: number;
  /** In a cache: when the upstream last said that the tag names this digest. */
  readonly checkedAt?: number;
}

/** Something that a cache keeps: a linked blob or a manifest of an image. */
export interface CacheItem {
  readonly kind: 'link' | 'manifest';
  readonly at: ImageKey;
  readonly digest: Digest;
  readonly size: number;
  /** When it was last asked for, coarsely. */
  readonly touchedAt: number;
}

/** That a blob is visible in an image: by upload, mount or cache fill, nothing else. */
export interface BlobLink {
  readonly size: number;
  /** When it was linked, or last answered for while no manifest of the image named it. */
  readonly linkedAt: number;
}

export interface ImageRecord {
  readonly image: string;
  readonly manifests: number;
  readonly tags: number;
  /** The sizes of the manifests and of the linked blobs of this image, each digest once. */
  readonly bytes: number;
  readonly updatedAt: number;
}

export interface SessionRecord {
  readonly id: SessionId;
  readonly at: ImageKey;
  readonly startedAt: number;
  readonly algorithm: Algorithm;
}

/**
 * Something that a dropped reference may have left behind, since then. `link`: a blob of an image that no manifest of that
 * image names. `bytes`: content that perhaps nothing refers to any more.
 */
export type Candidate =
  | { readonly kind: 'link'; readonly at: ImageKey; readonly digest: Digest; readonly since: number }
  | { readonly kind: 'bytes'; readonly digest: Digest; readonly since: number };

/** One fact to record; the store derives reverse keys, referrers, counts and candidates in the same atomic write. */
export type Change =
  | {
      readonly type: 'repository.put';
      readonly config: RepositoryConfig;
      readonly origin: RepositoryRecord['origin'];
      readonly when: number;
    }
  /** Drops the name at once; what the repository held goes by `purge`. */
  | { readonly type: 'repository.delete'; readonly name: string; readonly when: number }
  /** Links, or renews the time of a link. Leaves a candidate when the link is new. */
  | {
      readonly type: 'blob.link';
      readonly at: ImageKey;
      readonly digest: Digest;
      readonly size: number;
      readonly when: number;
    }
  /** Leaves a candidate for the bytes. */
  | { readonly type: 'blob.unlink'; readonly at: ImageKey; readonly digest: Digest; readonly when: number }
  | { readonly type: 'manifest.put'; readonly at: ImageKey; readonly manifest: ManifestRecord }
  /** Drops its tags and its place in referrers lists too; leaves candidates for its bytes and for the links it named. */
  | { readonly type: 'manifest.delete'; readonly at: ImageKey; readonly digest: Digest; readonly when: number }
  | { readonly type: 'tag.put'; readonly at: ImageKey; readonly tag: TagRecord }
  | { readonly type: 'tag.delete'; readonly at: ImageKey; readonly tag: Tag }
  | { readonly type: 'session.put'; readonly session: SessionRecord }
  | { readonly type: 'session.delete'; readonly id: SessionId }
  /** Adds, or moves to a later time, never to an earlier one: it may have been left behind again since it was read. */
  | { readonly type: 'candidate.put'; readonly candidate: Candidate }
  /** Settles a candidate with exactly this `since`; one that was left behind again meanwhile stays. */
  | { readonly type: 'candidate.delete'; readonly candidate: Candidate }
  /** In a cache: that these were asked for. What the image does not hold is passed over; deleting an item drops its time. */
  | {
      readonly type: 'cache.touched';
      readonly at: ImageKey;
      readonly digests: readonly Digest[];
      readonly when: number;
    }
  /** Marks bytes as about to be deleted: until `bytes.forget`, a link or manifest that names them is a ConflictError. */
  | { readonly type: 'bytes.condemn'; readonly digest: Digest }
  | { readonly type: 'bytes.forget'; readonly digest: Digest }
  | { readonly type: 'record.put'; readonly kind: RecordKind; readonly id: string; readonly value: object }
  | { readonly type: 'record.delete'; readonly kind: RecordKind; readonly id: string };

/** What else is kept, few of each: documents by id, which nobody but the one who puts them understands. */
export type RecordKind = 'account' | 'account-token' | 'rule' | 'signing-key';

/** What must hold at the moment of the write, judged against the index and the writes queued before this one. */
export type Precondition =
  | { readonly type: 'repository'; readonly name: string; readonly is: 'present' | 'absent' }
  | { readonly type: 'manifest'; readonly at: ImageKey; readonly digest: Digest; readonly is: 'present' | 'absent' }
  | {
      readonly type: 'tag';
      readonly at: ImageKey;
      readonly tag: Tag;
      readonly is: 'present' | 'absent' | { readonly digest: Digest };
    }
  | {
      readonly type: 'link';
      readonly at: ImageKey;
      readonly digest: Digest;
      readonly is: 'present' | 'absent' | { readonly linkedAt: number };
    }
  /** Whether a manifest of the image names the digest. */
  | { readonly type: 'named'; readonly at: ImageKey; readonly digest: Digest }
  | { readonly type: 'unnamed'; readonly at: ImageKey; readonly digest: Digest }
  /** Whether, as `isReferenced` tells, a link or a manifest record of any image has the digest. */
  | { readonly type: 'referenced'; readonly digest: Digest }
  | { readonly type: 'unreferenced'; readonly digest: Digest }
  | { readonly type: 'session'; readonly id: SessionId; readonly is: 'present' | 'absent' }
  | { readonly type: 'record'; readonly kind: RecordKind; readonly id: string; readonly is: 'present' | 'absent' };

export interface ReferrerPageRequest extends PageRequest {
  /** The page ends before its descriptors are larger than this as JSON, but has one at least. */
  readonly maxBytes?: number;
}

export interface ImagePageRequest extends PageRequest {
  /** Only images whose names begin so. */
  readonly prefix?: string;
}

/** A page of images: shorter than was asked for, and perhaps empty, where much was looked at for it. */
export interface ImagePage extends Page<ImageRecord> {
  /** The name after which the next page goes on; absent: the last item's. It may be one that the caller must not learn. */
  readonly seenTo?: string;
}

/** Typed reads, and one atomic write. An unknown repository reads like one that holds nothing. */
export interface MetadataStore {
  /** Sorted by name. */
  repositories(): Promise<readonly RepositoryRecord[]>;
  repository(name: string): Promise<RepositoryRecord | undefined>;
  manifest(at: ImageKey, digest: Digest): Promise<ManifestRecord | undefined>;
  tag(at: ImageKey, tag: Tag): Promise<TagRecord | undefined>;
  link(at: ImageKey, digest: Digest): Promise<BlobLink | undefined>;
  /** Whether a manifest of the image names the digest. */
  isNamed(at: ImageKey, digest: Digest): Promise<boolean>;
  /** In byte order of the tag. */
  tags(at: ImageKey, page: PageRequest): Promise<Page<TagRecord>>;
  image(at: ImageKey): Promise<ImageRecord | undefined>;
  /** The images that hold a manifest, in byte order. Looks at a bounded number of images for one page. */
  images(repository: string, page: ImagePageRequest): Promise<ImagePage>;
  /** The manifests of the image that have this subject, in byte order of their digest; `after` is a digest. */
  referrers(at: ImageKey, subject: Digest, page: PageRequest): Promise<Page<ManifestRecord>>;
  /** The images that link the blob; `after` is the last item as `repository/image`. */
  imagesLinking(digest: Digest, page: PageRequest): Promise<Page<ImageKey>>;
  /** Whether any link (but those of some images) or manifest record of any image has the digest. What a deleted repository held counts until it is purged. */
  isReferenced(digest: Digest, butByLinksOf?: readonly ImageKey[]): Promise<boolean>;
  /** Whether the bytes have a candidate. */
  isCandidate(digest: Digest): Promise<boolean>;
  session(id: SessionId): Promise<SessionRecord | undefined>;
  sessions(): AsyncIterable<SessionRecord>;
  /** The candidates from before a time, oldest first. Settled ones are gone, so the next page is asked for the same way. */
  candidates(before: number, limit: number): Promise<readonly Candidate[]>;
  /** What was touched longest ago, oldest first; what was never touched is not in it. */
  evictable(
    repository: string,
    page: { readonly limit: number; readonly after?: CacheItem },
  ): Promise<readonly CacheItem[]>;
  /** The sizes of all images of the repository together. */
  usage(repository: string): Promise<number>;
  /** A document as it was put. Asked for by every request: a driver keeps them in memory. */
  record(kind: RecordKind, id: string): Promise<object | undefined>;
  /** All of a kind, by id in byte order. */
  records(kind: RecordKind): Promise<readonly { readonly id: string; readonly value: object }[]>;
  /** Condemned bytes that were not forgotten: a collector stopped between the two. */
  condemned(): Promise<readonly Digest[]>;
  /** Removes a bounded part of what deleted repositories held, leaving candidates; true while there is more. */
  purge(when: number): Promise<boolean>;
  /**
   * Writes all changes or none. Each later change sees the earlier ones.
   * @param options.durable resolve only when the write would survive a power cut. Others survive the death of the process.
   * @throws ConflictError when a precondition does not hold, or a change names an unknown repository.
   */
  apply(
    changes: readonly Change[],
    options: { readonly durable: boolean; readonly require?: readonly Precondition[] },
  ): Promise<void>;
  /**
   * Writes one entry durably and reads it back.
   * @throws RegistryError UNAVAILABLE (503, or 507 when the disk is full) while the index refuses writes.
   */
  check(): Promise<void>;
  /** Returns what went wrong with the index since it was opened. Does no I/O. */
  status(): MetadataStatus;
  close(): Promise<void>;
}

/** The health of a metadata store since it was opened. */
export interface MetadataStatus {
  /** False from a failed write until the index accepts writes again. */
  readonly writable: boolean;
  /** How many times the index was closed and opened again after a failed write. */
  readonly reopens: number;
  /** The last failed write, sync, reopen or read. */
  readonly lastFailure?: IndexFailure;
}

export interface IndexFailure {
  /** In words, without a stack. */
  readonly message: string;
  /** When it happened. */
  readonly at: number;
  /** True when the disk is full. */
  readonly noSpace: boolean;
}
