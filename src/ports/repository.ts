/** `Repository`, the domain as `http/` sees it: local, remote and virtual repositories alike, and their directory. */
import type { Readable } from 'node:stream';
import type { Condition } from '../protocol/conditions.js';
import type { Algorithm, Digest } from '../protocol/digest.js';
import type { ParsedManifest } from '../protocol/manifests/manifest.js';
import type { Reference, SessionId, Tag, WireName } from '../protocol/names.js';
import type { RepositoryConfig, Sparse } from '../protocol/settings/repository-config.js';
import type { BlobContent, ByteRange } from './bytes.js';
import type { Caller } from './access/caller.js';
import type { ImageEditor } from './editing.js';
import type { Actor } from './metadata/journal.js';
import type { RepositoryRecord, TagRecord } from './metadata/metadata.js';
import type {
  CacheOutcome,
  ImageKey,
  ImagePage,
  ImagePageRequest,
  ManifestContent,
  ManifestInfo,
  Provenance,
  Referrer,
  ReferrerPageRequest,
  StoredContent,
} from './metadata/images.js';
import type { Page, PageRequest } from './pages.js';
import type { RepositoryTrash } from './metadata/trash.js';
import type { Forward, ProbeResult, Upstream } from './upstream.js';

export type { Caller };

/** A blob that can be sent whole or in part. */
export interface RepositoryBlob {
  /** Absent when nothing is stored and the upstream does not report it: then ranges are not served. */
  readonly size?: number;
  readonly provenance?: Provenance;
  /** Returns `undefined` when the bytes turn out to be missing or damaged. */
  content(range?: ByteRange): Promise<Omit<BlobContent, 'size'> | undefined>;
}

export interface TagEntry {
  readonly name: Tag;
  /** Absent when only the upstream knows it. */
  readonly digest?: Digest;
  readonly updatedAt?: number;
}

export interface Listed<T> extends Page<T> {
  readonly provenance?: Provenance;
}

/**
 * Explains to people who would answer for a reference, from where, how fresh and why. Computed without asking an
 * upstream.
 */
export interface Explanation {
  readonly repository: string;
  readonly type: RepositoryConfig['type'];
  /** The name of the image in this repository. */
  readonly image: string;
  /** `cached`: stored and fresh. `revalidate`: stored, but the upstream is asked first. `upstream`: not stored. */
  readonly answer: 'stored' | 'cached' | 'revalidate' | 'upstream' | 'absent' | 'left out';
  readonly reason: string;
  readonly digest?: Digest;
  readonly upstream?: string;
  /** Why the upstream cannot be asked as configured: it refused our credentials. */
  readonly problem?: string;
  /** The circuit breaker of the upstream, unless it is closed. */
  readonly breaker?: Upstream['breaker'];
  readonly checkedAt?: number;
  readonly freshUntil?: number;
  /** The members of a virtual repository, in the order in which they are asked. */
  readonly members?: readonly Explanation[];
}

/** The status of a cache. */
export interface RemoteStatus {
  readonly upstream: string;
  readonly breaker: Upstream['breaker'];
  readonly budget: number;
  /** When the counts below began: at the start of the process, or when the repository was created. */
  readonly countedSince: number;
  readonly counters: Readonly<Record<CacheOutcome, number>>;
  readonly upstreamBytes: number;
  readonly usedBytes: number;
}

/** A local, remote or virtual repository. http/ reaches the domain only through this interface. */
export interface Repository {
  readonly config: RepositoryConfig;
  /**
   * Returns the one name under which the repository has the image: `library/alpine` for Docker Hub's `alpine`. All other
   * methods take this name.
   */
  canonicalImage(image: string): string;
  statManifest(caller: Caller, image: string, reference: Reference): Promise<ManifestInfo | undefined>;
  getManifest(caller: Caller, image: string, reference: Reference): Promise<ManifestContent | undefined>;
  statBlob(caller: Caller, image: string, digest: Digest): Promise<Omit<RepositoryBlob, 'content'> | undefined>;
  getBlob(caller: Caller, image: string, digest: Digest): Promise<RepositoryBlob | undefined>;
  /**
   * Finds an image of this repository or its members that links the blob and that the caller may pull. Asks no
   * upstream.
   */
  findHeldBlob(
    caller: Caller,
    image: string,
    digest: Digest,
  ): Promise<{ readonly at: ImageKey; readonly size: number } | undefined>;
  /** Returns whether this repository or a member that the caller may pull stores the manifest. Asks no upstream. */
  holdsManifest(caller: Caller, image: string, digest: Digest): Promise<boolean>;
  /** Returns `undefined` when the image is unknown. */
  listTags(caller: Caller, image: string, page: PageRequest): Promise<Listed<TagEntry> | undefined>;
  listReferrers(caller: Caller, image: string, subject: Digest, page: ReferrerPageRequest): Promise<Listed<Referrer>>;
  listImages(caller: Caller, page: ImagePageRequest): Promise<ImagePage>;
  explain(caller: Caller, image: string, reference: Reference): Promise<Explanation>;
  /** In a virtual repository: returns the members that are asked for the image, in order. */
  members?(caller: Caller, image: string): Promise<readonly Repository[]>;
  /** In a cache: returns until when a tag is served without asking the upstream. */
  freshUntil?(tag: TagRecord): number;
  /**
   * In a pass-through: describes how to forward a read. `rest` follows the image in path and query: `/manifests/1?x=y`.
   */
  forward?(caller: Caller, image: string, rest: string): Forward;
  /** The repository that receives the writes, if it is another one. A writer needs the right on both. */
  readonly pushTo?: string | undefined;
  /** Absent in a repository that takes no writes; the caller answers UNSUPPORTED. */
  readonly writer?: RepositoryWriter | undefined;
  /** Absent in a repository that owns no content. */
  readonly trash?: RepositoryTrash;
  /** In a cache: drops the content of all images, one image or one tag, and what is remembered in memory. */
  purge?(image?: string, tag?: Tag): Promise<PurgeReport>;
  /** In a cache: counts what `purge` would drop. Of a tag, at most: other tags may need its content. */
  previewPurge?(image?: string, tag?: Tag): Promise<StoredContent>;
  status?(): Promise<RemoteStatus>;
  /**
   * In a cache: asks the upstream for a tag now, whatever is cached or remembered. Returns why the cached manifest, if there
   * is one, could not be renewed; `undefined` if it is as the upstream has it.
   * @throws RegistryError DENIED, UNAVAILABLE or TOOMANYREQUESTS when the upstream gives no answer and nothing is cached.
   */
  refresh?(caller: Caller, image: string, tag: Tag): Promise<string | undefined>;
  /** In a remote repository: finds out whether its upstream answers now. */
  probe?(): Promise<ProbeResult>;
  /** In a cache: evicts this many bytes because the disk is full. Returns the evicted bytes. */
  makeRoom?(bytes: number): Promise<number>;
  /** Ends background work. Requests in progress go on. */
  close?(): Promise<void>;
}

export interface PurgeReport {
  readonly manifests: number;
  readonly blobs: number;
  readonly tags: number;
}

export interface UploadStatus {
  readonly id: SessionId;
  readonly size: number;
  /** The recommended minimum size of chunks. Smaller ones are accepted. Absent: any size. */
  readonly minChunkBytes?: number | undefined;
}

/** The part of an upload in one request. */
export interface UploadChunk {
  readonly source: Readable;
  /**
   * `Content-Range`: the chunk must start at the current offset and have exactly this length. Absent: a stream to
   * append.
   */
  readonly range?: ByteRange;
  /** `Content-Length`. */
  readonly announcedBytes?: number | undefined;
}

/** Received bytes that no image shows yet. End it with `publish` or `discard`. */
export interface ReceivedBlob {
  readonly digest: Digest;
  readonly size: number;
  /** Reads a small blob or a small range into memory. Do not call it after `publish`. */
  read(range?: ByteRange): Promise<Buffer>;
  /** Makes the bytes durable and visible in these images in one write. */
  publish(images: readonly string[]): Promise<void>;
  /** Drops the bytes. Does nothing after `publish` or `discard`. */
  discard(): Promise<void>;
}

/**
 * Writes to a repository. Methods that receive bytes throw UNAVAILABLE with status 507 when the disk is full, and leave
 * neither bytes nor a session. Methods that take a session throw BLOB_UPLOAD_UNKNOWN for an unknown one.
 */
export interface RepositoryWriter {
  /** The kinds of missing content that a manifest may name. */
  readonly sparse: Sparse;
  /** Deletes several things at once and moves tags. */
  readonly editor: ImageEditor;
  startUpload(caller: Caller, image: string, algorithm: Algorithm): Promise<UploadStatus>;
  uploadStatus(caller: Caller, image: string, id: SessionId): Promise<UploadStatus>;
  /** Keeps the bytes of a stream that breaks off. @throws RANGE_INVALID, SIZE_INVALID; the offset stays unchanged. */
  appendUpload(caller: Caller, image: string, id: SessionId, chunk: UploadChunk): Promise<UploadStatus>;
  /**
   * Appends the last chunk, verifies the digest and links the blob. A mismatch ends the session. For some minutes,
   * repeating the call for a finished session succeeds and discards the chunk, unless the blob is gone: the first
   * answer may have been lost.
   * @throws DIGEST_INVALID, RANGE_INVALID, SIZE_INVALID.
   */
  completeUpload(caller: Caller, image: string, id: SessionId, digest: Digest, chunk: UploadChunk): Promise<void>;
  cancelUpload(caller: Caller, image: string, id: SessionId): Promise<void>;
  /** Stores a whole blob in one request (end-4b). @throws DIGEST_INVALID. */
  putBlob(caller: Caller, image: string, digest: Digest, source: Readable, announcedBytes?: number): Promise<void>;
  /** Receives bytes that do not belong to an image yet. Drops the bytes of a source that breaks off. */
  receiveBlob(caller: Caller, source: Readable, algorithm: Algorithm, announcedBytes?: number): Promise<ReceivedBlob>;
  /** Links a blob of another image that the caller may pull. Returns false when that image does not have it. */
  mountBlob(caller: Caller, image: string, digest: Digest, from?: ImageKey): Promise<boolean>;
  /**
   * Stores the bytes unchanged, with these tags. In the same write, links named blobs that the image lacks from the
   * images that `findSource` returns.
   * @throws MANIFEST_BLOB_UNKNOWN for missing content that `sparse` does not allow; PRECONDITION_FAILED; DENIED for an
   * immutable tag that names another digest.
   */
  putManifest(
    caller: Caller,
    image: string,
    manifest: ParsedManifest,
    tags: readonly Tag[],
    options?: PutManifestOptions,
  ): Promise<void>;
  /**
   * Checks whether a push may set the tags, for an early refusal: the push checks it again.
   * @throws DENIED for an immutable tag that names another digest.
   */
  checkTags(image: string, digest: Digest, tags: readonly Tag[]): Promise<void>;
  /** Returns false when there was nothing to delete, like the next two methods. All throw DENIED for what an immutable
   * tag needs. @throws PRECONDITION_FAILED. */
  deleteManifest(caller: Caller, image: string, digest: Digest, options?: WriteConditions): Promise<boolean>;
  /** @throws PRECONDITION_FAILED. */
  deleteTag(caller: Caller, image: string, tag: Tag, options?: WriteConditions): Promise<boolean>;
  deleteBlob(caller: Caller, image: string, digest: Digest): Promise<boolean>;
}

/** Conditions of a write. They are checked inside the write, so that no other write comes in between. */
export interface WriteConditions {
  /** Must hold for each tag of the request, or for the manifest when the request has no tags. */
  readonly condition?: Condition | undefined;
  /** Ignores that tags are immutable, and records that in the journal. Only for administrators. */
  readonly override?: boolean | undefined;
}

export interface PutManifestOptions extends WriteConditions {
  readonly findSource?: FindSource | undefined;
}

/** Finds an image that holds the blob and that the caller may pull. */
export type FindSource = (digest: Digest) => Promise<ImageKey | undefined>;

/** The parts of a request, besides the name, that decide which repository is meant. */
export interface Addressing {
  /** The `Host` header. */
  readonly host?: string | undefined;
  /** The `ns` query parameter of a read. */
  readonly namespace?: string | undefined;
}

/** A repository, and what precedes the images in their names: nothing where a host or namespace represents it. */
export interface AddressedRepository {
  readonly repository: Repository;
  readonly prefix: string;
}

/** The meaning of a name: an image, by its canonical name, and its repository if it exists. */
export interface ResolvedName {
  readonly at: ImageKey;
  readonly repository: Repository | undefined;
  /** The `ns` query parameter, if it decided the repository. */
  readonly namespace?: string;
}

/** Throws unless a repository is as the caller expects. No other change comes between it and the change. */
export type RepositoryCheck = (record: RepositoryRecord) => void;

/** Maps names to repositories. Reveals nothing to clients and does not decide access. */
export interface RepositoryDirectory {
  resolve(name: WireName, addressing?: Addressing): ResolvedName;
  /** Returns everything that the name may mean: at this host, at each configured one, and under each namespace. */
  resolveAll(name: WireName, host: string | undefined): readonly ResolvedName[];
  /** Returns the repositories that can be addressed so. */
  listAt(addressing: Addressing): readonly AddressedRepository[];
  get(name: string): { readonly repository: Repository; readonly record: RepositoryRecord } | undefined;
  /** Sorted so that the concatenated names of their images are in byte order. */
  list(): readonly { readonly repository: Repository; readonly record: RepositoryRecord }[];
  /** @throws RegistryError CONFLICT when the name is taken, or stored with another type by an earlier configuration. */
  create(config: RepositoryConfig, by: Actor): Promise<RepositoryRecord>;
  /** @throws RegistryError CONFLICT for a declared repository or another type; NAME_UNKNOWN; what the check throws. */
  replace(config: RepositoryConfig, by: Actor, check?: RepositoryCheck): Promise<RepositoryRecord>;
  /**
   * Deletes a managed repository, or one that is no longer declared.
   * @throws RegistryError CONFLICT for a declared one, or a member of another; NAME_UNKNOWN; what the check throws.
   */
  delete(name: string, by: Actor, check?: RepositoryCheck): Promise<void>;
  /** Counts what `delete` would delete, and refuses what it would refuse. */
  previewDelete(name: string, check?: RepositoryCheck): Promise<StoredContent>;
}
