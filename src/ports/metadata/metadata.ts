/**
 * The index: its records, with one file for each kind, and the changes to them. Drivers are in storage/level/ and
 * storage/postgres/; their contract suite is test/contracts/.
 */
import type { Algorithm, Digest } from '../../protocol/digest.js';
import type { SessionId, Tag } from '../../protocol/names.js';
import type { RepositoryConfig } from '../../protocol/settings/repository-config.js';
import type { ImageKey, ImagePage, ImagePageRequest, ImageRecord, ManifestRecord } from './images.js';
import type { CacheRecords } from './cache-records.js';
import type { DocumentKind, Documents } from './documents.js';
import type { Candidate, GarbageRecords } from './garbage-records.js';
import type { MetadataStatus } from './index-status.js';
import type { ContentRecords } from '../operations/backup.js';
import type { Inventory, ManifestHolders } from '../operations/inventory.js';
import type { Attribution, Journal } from './journal.js';
import type { Sample, Samples, SampleStep } from '../operations/monitoring.js';
import type { Page, PageRequest } from '../pages.js';
import type { ExceededUsage, ImageSizes } from './quotas.js';
import type { Pulls } from './pulls.js';
import type { SharedIndex } from './shared-index.js';
import type { Trash } from './trash.js';

export type { CacheItem, CacheRecords } from './cache-records.js';
export type { Candidate, CandidateOptions, GarbageRecords } from './garbage-records.js';

export interface RepositoryRecord {
  readonly config: RepositoryConfig;
  /** `declared`: fixed by code or the config file. `managed`: changed through the API. */
  readonly origin: 'declared' | 'managed';
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** A repository, and when it last changed: each change has a later time than the one before. */
export interface RepositoryVersion {
  readonly name: string;
  readonly updatedAt: number;
}

export interface TagRecord {
  readonly name: Tag;
  readonly digest: Digest;
  readonly updatedAt: number;
  /** In a cache: when the upstream last confirmed that the tag names this digest. */
  readonly checkedAt?: number;
}

/** Makes a blob visible in an image. Only an upload, a mount or a cache fill creates a link. */
export interface BlobLink {
  readonly size: number;
  /** When the link was created or renewed. It is renewed when a client learns that an unnamed blob is present. */
  readonly linkedAt: number;
  /** Set while only manifests in the trash need the blob: it does not count in the size of the image. */
  readonly inTrash?: true;
}

export interface SessionRecord {
  readonly id: SessionId;
  readonly at: ImageKey;
  readonly startedAt: number;
  readonly algorithm: Algorithm;
}

/** One fact to record. The store derives reverse keys, referrers, counts and candidates in the same atomic write. */
export type Change =
  | {
      readonly type: 'repository.put';
      readonly config: RepositoryConfig;
      readonly origin: RepositoryRecord['origin'];
      readonly when: number;
    }
  /** Frees the name at once. `purge` removes the content later. */
  | { readonly type: 'repository.delete'; readonly name: string; readonly when: number }
  /** Creates a link, which leaves a candidate until a manifest names it, or renews the time of an existing one. */
  | {
      readonly type: 'blob.link';
      readonly at: ImageKey;
      readonly digest: Digest;
      readonly size: number;
      readonly when: number;
    }
  /**
   * Leaves a candidate for the bytes, unless a manifest in the trash names them: then they stay referenced until the last
   * one is gone, and `trash.restore` links them again.
   */
  | { readonly type: 'blob.unlink'; readonly at: ImageKey; readonly digest: Digest; readonly when: number }
  /** Settles the candidates of the links that it names. A link that is created later leaves one again. */
  | { readonly type: 'manifest.put'; readonly at: ImageKey; readonly manifest: ManifestRecord }
  /**
   * Also drops the manifest's tags and its entry in lists of referrers. Leaves candidates for its bytes and its links;
   * with `trashUntil`, moves the manifest to the trash, which keeps them.
   */
  | {
      readonly type: 'manifest.delete';
      readonly at: ImageKey;
      readonly digest: Digest;
      readonly when: number;
      readonly trashUntil?: number | undefined;
    }
  /**
   * Moves a manifest from the trash back to its image, with deleted links and without its tags. Conflicts when it is not in
   * the trash.
   */
  | { readonly type: 'trash.restore'; readonly at: ImageKey; readonly digest: Digest }
  /**
   * Deletes a manifest from the trash, with `deletedAt` only if it was deleted then. Leaves candidates from `since` for what
   * nothing else needs.
   */
  | {
      readonly type: 'trash.delete';
      readonly at: ImageKey;
      readonly digest: Digest;
      readonly since: number;
      readonly deletedAt?: number;
    }
  | { readonly type: 'tag.put'; readonly at: ImageKey; readonly tag: TagRecord }
  | { readonly type: 'tag.delete'; readonly at: ImageKey; readonly tag: Tag }
  /**
   * Adds moves of the past, oldest first, to the history of a tag that has none. Leaves no entries in the journal. The write
   * needs an attribution.
   */
  | {
      readonly type: 'tag.history';
      readonly at: ImageKey;
      readonly tag: Tag;
      readonly moves: readonly { readonly digest: Digest; readonly at: number }[];
    }
  | { readonly type: 'session.put'; readonly session: SessionRecord }
  | { readonly type: 'session.delete'; readonly id: SessionId }
  /** Adds a candidate, or moves an existing one to a later time, never to an earlier one. */
  | { readonly type: 'candidate.put'; readonly candidate: Candidate }
  /** Settles a candidate with exactly this `since`. A candidate that moved to a later time stays. */
  | { readonly type: 'candidate.delete'; readonly candidate: Candidate }
  /** Records access times in a cache. Skips digests that the image does not hold. Deleting an item deletes its time. */
  | {
      readonly type: 'cache.touched';
      readonly at: ImageKey;
      readonly digests: readonly Digest[];
      readonly when: number;
    }
  /** Adds pulls to the record of a manifest. Does nothing when the image lacks the manifest. */
  | {
      readonly type: 'manifest.pulled';
      readonly at: ImageKey;
      readonly digest: Digest;
      readonly count: number;
      readonly when: number;
    }
  /**
   * Marks bytes as about to be deleted. Until `bytes.forget`, a write with a link or manifest that names them
   * conflicts.
   */
  | { readonly type: 'bytes.condemn'; readonly digest: Digest }
  /**
   * Ends the condemnation. `deleted`: the bytes are gone, unless a push stored them again and they are no longer condemned (see
   * `ObjectLedger.putPlace`).
   */
  | { readonly type: 'bytes.forget'; readonly digest: Digest; readonly deleted?: true }
  | { readonly type: 'document.put'; readonly kind: DocumentKind; readonly id: string; readonly value: object }
  | { readonly type: 'document.delete'; readonly kind: DocumentKind; readonly id: string }
  /** Replaces the sample of the same period. */
  | { readonly type: 'sample.put'; readonly step: SampleStep; readonly sample: Sample }
  | { readonly type: 'sample.delete'; readonly step: SampleStep; readonly when: number };

/** Must hold at the moment of the write, after all writes queued before it. */
export type Precondition =
  | { readonly type: 'repository'; readonly name: string; readonly is: 'present' | 'absent' }
  /** Exactly these repositories exist, and none of them changed after the given time. */
  | { readonly type: 'repositories'; readonly are: readonly RepositoryVersion[] }
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
  /** A manifest of the image, or one in its trash, names the digest, or none does. */
  | { readonly type: 'named'; readonly at: ImageKey; readonly digest: Digest }
  | { readonly type: 'unnamed'; readonly at: ImageKey; readonly digest: Digest }
  /** Exactly these tags, and exactly these manifests of the image, name the manifest. */
  | { readonly type: 'holders'; readonly at: ImageKey; readonly digest: Digest; readonly are: ManifestHolders }
  /** A link or manifest record of any image, or its trash, has the digest, or none does; see `isReferenced`. */
  | { readonly type: 'referenced'; readonly digest: Digest }
  | { readonly type: 'unreferenced'; readonly digest: Digest }
  /**
   * The bytes are stored with this size and not condemned. An index that does not record where bytes are (see `ObjectLedger`)
   * checks only that they are not condemned.
   */
  | { readonly type: 'bytes'; readonly digest: Digest; readonly size: number }
  /** The candidate exists with exactly this `since`. */
  | { readonly type: 'candidate'; readonly candidate: Candidate }
  | { readonly type: 'session'; readonly id: SessionId; readonly is: 'present' | 'absent' }
  | { readonly type: 'document'; readonly kind: DocumentKind; readonly id: string; readonly is: 'present' | 'absent' }
  /** After the changes, the images have at most `maxBytes` (see `ImageSizes`), or the changes did not increase it. */
  | { readonly type: 'usage'; readonly names: readonly string[]; readonly maxBytes: number };

export interface WriteOptions {
  /**
   * True: resolves when the write would survive a power cut. False: the write survives the death of the process only.
   */
  readonly durable: boolean;
  readonly require?: readonly Precondition[];
  /** The actor of the changes: the write then adds journal entries and tag moves. Absent for caches and internal work. */
  readonly by?: Attribution | undefined;
}

/**
 * Writes all changes or none; each change sees the ones before it. A write conflicts, and changes nothing, when a
 * precondition does not hold or a change names an unknown repository, condemned bytes, or (a tag) a manifest that the
 * image lacks.
 */
export interface MetadataWriter {
  /** For writes that conflict only if the program has a bug. @throws ConflictError */
  apply(changes: readonly Change[], options: WriteOptions): Promise<void>;
  /** For writes that may lose to another one. Returns false on a conflict. */
  tryApply(changes: readonly Change[], options: WriteOptions): Promise<boolean>;
}

/** Writes whose preconditions limit the sizes of images. */
export interface LimitedWriter {
  /** Like `tryApply`, but returns the figures when a precondition `usage` does not hold. */
  applyWithin(changes: readonly Change[], options: WriteOptions): Promise<boolean | ExceededUsage>;
}

/** The configured repositories. */
export interface RepositoryRecords {
  /** Sorted by name. */
  repositories(): Promise<readonly RepositoryRecord[]>;
  repository(name: string): Promise<RepositoryRecord | undefined>;
}

/** Images: their manifests, tags and links. An unknown repository reads like an empty one. */
export interface ImageRecords {
  manifest(at: ImageKey, digest: Digest): Promise<ManifestRecord | undefined>;
  tag(at: ImageKey, tag: Tag): Promise<TagRecord | undefined>;
  /** Returns the manifest that a tag names: `tag`, then `manifest`, as one question to an index in a database. */
  taggedManifest(at: ImageKey, tag: Tag): Promise<ManifestRecord | undefined>;
  link(at: ImageKey, digest: Digest): Promise<BlobLink | undefined>;
  /** Returns whether a manifest of the image, or one in its trash, names the digest. */
  isNamed(at: ImageKey, digest: Digest): Promise<boolean>;
  /** In byte order of the tag. */
  tags(at: ImageKey, page: PageRequest): Promise<Page<TagRecord>>;
  image(at: ImageKey): Promise<ImageRecord | undefined>;
  /** Lists the images that hold a manifest, in byte order. Examines a bounded number of images for one page. */
  images(repository: string, page: ImagePageRequest): Promise<ImagePage>;
  /** Lists the image's manifests with this subject, in byte order of their digest; `after` is a digest. */
  referrers(at: ImageKey, subject: Digest, page: PageRequest): Promise<Page<ManifestRecord>>;
  /** Lists the images that link the blob; `after` is the last item as `repository/image`. */
  imagesLinking(digest: Digest, page: PageRequest): Promise<Page<ImageKey>>;
}

/** Upload sessions. */
export interface UploadRecords {
  session(id: SessionId): Promise<SessionRecord | undefined>;
  sessions(): AsyncIterable<SessionRecord>;
}

/** The whole index, as a driver implements it. */
export interface MetadataStore
  extends
    MetadataWriter,
    LimitedWriter,
    RepositoryRecords,
    ImageRecords,
    UploadRecords,
    GarbageRecords,
    CacheRecords,
    Documents {
  readonly inventory: Inventory;
  readonly sizes: ImageSizes;
  readonly journal: Journal;
  readonly pulls: Pulls;
  readonly samples: Samples;
  readonly trash: Trash;
  readonly contents: ContentRecords;
  /** Set if other processes may use the index at the same time. */
  readonly shared?: SharedIndex | undefined;
  /**
   * Writes one entry durably and reads it back.
   * @throws RegistryError UNAVAILABLE (503, or 507 when the disk is full) while the index refuses writes.
   */
  check(): Promise<void>;
  /** Reports failures since the index was opened. Does no I/O. */
  status(): MetadataStatus;
  close(): Promise<void>;
}
