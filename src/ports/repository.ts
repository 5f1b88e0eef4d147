/** `Repository`, the domain as `http/` sees it: local, remote and virtual repositories alike, and their directory. */
import type { Readable } from 'node:stream';
import type { Algorithm, Digest } from '../protocol/digest.js';
import type { ParsedManifest } from '../protocol/manifest.js';
import type { Reference, SessionId, Tag, WireName } from '../protocol/names.js';
import type { RepositoryConfig, Sparse } from '../protocol/settings/repository-config.js';
import type { Principal, Reach } from './access.js';
import type { BlobContent, ByteRange } from './bytes.js';
import type { RepositoryRecord } from './metadata.js';
import type { ImageKey, ImagePage, ImagePageRequest, ReferrerPageRequest } from './images.js';
import type { Page, PageRequest } from './pages.js';
import type { Forward, Upstream } from './upstream.js';

/** Who asks. Repositories use it only where an answer would reveal what another image holds. */
export interface Caller {
  readonly principal: Principal;
  /** Who passed the request on before it came here (`Via`): for finding loops. */
  readonly trail: readonly string[];
  /** Of a member of what was asked for. @throws RegistryError UNAUTHORIZED for somebody who has to be asked first. */
  mayPull(at: ImageKey): Promise<boolean>;
  /** Which images of a repository `mayPull` allows, for lists: nobody is asked for a login. */
  reach(repository: string): Promise<Reach>;
  /** Whether nobody waits for the answer any more: the connection is closed. Long work stops. */
  hasLeft(): boolean;
  /** Of another image than the one that was asked for: what limits the caller's token counts too. */
  mayMountFrom(at: ImageKey, name?: WireName): Promise<boolean>;
}

export interface ManifestInfo {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  /** What its config and layers weigh together; 0 for an index. */
  readonly contentBytes?: number;
  /** Absent where nothing but the registry's own content is asked. */
  readonly provenance?: Provenance;
}

export interface ManifestContent extends ManifestInfo {
  readonly bytes: Buffer;
}

export interface Referrer extends ManifestInfo {
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Where an answer came from, for people: it goes into response headers, events and the log. */
export interface Provenance {
  /** The repository that answered, which is a member where a virtual was asked. */
  readonly repository: string;
  readonly cache: 'hit' | 'miss' | 'stale';
  /** When the upstream was last asked; absent for what needs no asking. */
  readonly checkedAt?: number;
  /** Why it is stale. */
  readonly reason?: string;
}

/** A blob that can be sent, whole or in part. */
export interface RepositoryBlob {
  readonly size: number;
  readonly provenance?: Provenance;
  /** `undefined` when the bytes are gone, or damaged, after all. */
  content(range?: ByteRange): Promise<BlobContent | undefined>;
}

export interface TagEntry {
  readonly name: Tag;
  /** Absent where only the upstream knows. */
  readonly digest?: Digest;
  readonly updatedAt?: number;
}

export interface Listed<T> extends Page<T> {
  readonly provenance?: Provenance;
}

/** Who would answer for a reference, from where, how fresh and why; found out without asking any upstream. */
export interface Explanation {
  readonly repository: string;
  readonly type: RepositoryConfig['type'];
  /** The image as this repository has it. */
  readonly image: string;
  /** `stored`: here. `cached`: here, and fresh. `revalidate`: here, and the upstream is asked first. `upstream`: not here. */
  readonly answer: 'stored' | 'cached' | 'revalidate' | 'upstream' | 'absent' | 'left out';
  readonly reason: string;
  readonly digest?: Digest;
  readonly upstream?: string;
  readonly checkedAt?: number;
  readonly freshUntil?: number;
  /** Of a virtual: its members in the order in which they are asked. */
  readonly members?: readonly Explanation[];
}

/** What the management API shows of a remote, and counts since the start. */
export interface RemoteStatus {
  readonly upstream: string;
  readonly breaker: Upstream['breaker'];
  readonly budget: number;
  readonly counters: Readonly<Record<CacheOutcome, number>>;
  readonly upstreamBytes: number;
  readonly usedBytes: number;
}

export type CacheOutcome = 'hit' | 'miss' | 'stale' | 'refresh';

/** Local, remote and virtual alike: http/ calls this and nothing else. */
export interface Repository {
  readonly config: RepositoryConfig;
  statManifest(caller: Caller, image: string, reference: Reference): Promise<ManifestInfo | undefined>;
  getManifest(caller: Caller, image: string, reference: Reference): Promise<ManifestContent | undefined>;
  statBlob(caller: Caller, image: string, digest: Digest): Promise<Omit<RepositoryBlob, 'content'> | undefined>;
  getBlob(caller: Caller, image: string, digest: Digest): Promise<RepositoryBlob | undefined>;
  /** Which image of this repository, or of its members, links the blob and may be pulled; asks no upstream. */
  findHeldBlob(
    caller: Caller,
    image: string,
    digest: Digest,
  ): Promise<{ readonly at: ImageKey; readonly size: number } | undefined>;
  /** Returns whether this repository or a member that the caller may pull stores the manifest. Asks no upstream. */
  holdsManifest(caller: Caller, image: string, digest: Digest): Promise<boolean>;
  /** `undefined` when the image is unknown. */
  listTags(caller: Caller, image: string, page: PageRequest): Promise<Listed<TagEntry> | undefined>;
  listReferrers(caller: Caller, image: string, subject: Digest, page: ReferrerPageRequest): Promise<Listed<Referrer>>;
  listImages(caller: Caller, page: ImagePageRequest): Promise<ImagePage>;
  explain(caller: Caller, image: string, reference: Reference): Promise<Explanation>;
  /** Of a pass-through: returns where a read of this image goes. `rest` follows the image in path and query: `/manifests/1?x=y`. */
  forward?(caller: Caller, image: string, rest: string): Promise<Forward>;
  /** The repository that receives the writes, if it is another one. A writer needs the right on both. */
  readonly pushTo?: string | undefined;
  /** Absent where nothing can be written: the caller answers UNSUPPORTED. */
  readonly writer?: RepositoryWriter | undefined;
  /** Of a cache: drops what it keeps, or of one image, or of one tag; what else was remembered of them too. */
  purge?(image?: string, tag?: Tag): Promise<PurgeReport>;
  status?(): Promise<RemoteStatus>;
  /** Of a cache: evicts this many bytes, since the disk is full. Resolves to the bytes that were evicted. */
  makeRoom?(bytes: number): Promise<number>;
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
}

/** The part of an upload that a request carries. */
export interface UploadChunk {
  readonly source: Readable;
  /** `Content-Range`: the chunk must begin at the present offset and have exactly this length. Absent: a stream to append. */
  readonly range?: ByteRange;
  /** `Content-Length`: how much will come, if it does. */
  readonly announcedBytes?: number | undefined;
}

/** Bytes that came in and that no image shows: `publish` or `discard` ends it. */
export interface ReceivedBlob {
  readonly digest: Digest;
  readonly size: number;
  /** Small bytes, or a small part of large ones. Not after `publish`. */
  read(range?: ByteRange): Promise<Buffer>;
  /** Makes them durable and visible in these images at once. */
  publish(images: readonly string[]): Promise<void>;
  /** Drops them. Nothing happens when they are published or dropped already. */
  discard(): Promise<void>;
}

export interface RepositoryWriter {
  /** Which missing content a manifest may name. */
  readonly sparse: Sparse;
  /** @throws UNAVAILABLE with status 507 when the disk is full, like all that bring bytes: they leave nothing, nor a session. */
  startUpload(image: string, algorithm: Algorithm): Promise<UploadStatus>;
  /** @throws BLOB_UPLOAD_UNKNOWN, like all that take a session. */
  uploadStatus(image: string, id: SessionId): Promise<UploadStatus>;
  /** A stream that breaks keeps what arrived. @throws RANGE_INVALID (nothing appended), SIZE_INVALID (back to the offset before). */
  appendUpload(image: string, id: SessionId, chunk: UploadChunk): Promise<UploadStatus>;
  /**
   * Appends the last chunk, verifies and links. A mismatch ends the session. For some minutes, the same call for a finished
   * session succeeds again and discards its chunk, unless the blob is gone: the first answer may have been lost.
   * @throws DIGEST_INVALID, RANGE_INVALID, SIZE_INVALID.
   */
  completeUpload(image: string, id: SessionId, digest: Digest, chunk: UploadChunk): Promise<void>;
  cancelUpload(image: string, id: SessionId): Promise<void>;
  /** The whole blob in one request (end-4b). @throws DIGEST_INVALID. */
  putBlob(image: string, digest: Digest, source: Readable, announcedBytes?: number): Promise<void>;
  /** Takes in bytes that belong to no image yet. What a source brought that breaks is dropped. */
  receiveBlob(source: Readable, algorithm: Algorithm, announcedBytes?: number): Promise<ReceivedBlob>;
  /** Links a blob that another image of the registry shows to the caller; false when there is none such. */
  mountBlob(caller: Caller, image: string, digest: Digest, from?: ImageKey): Promise<boolean>;
  /**
   * Stores the bytes verbatim, with these tags. Blobs that it names and the image lacks are linked from where `findSource`
   * tells, in the same write. @throws MANIFEST_BLOB_UNKNOWN for missing content that `sparse` does not allow.
   */
  putManifest(
    image: string,
    manifest: ParsedManifest,
    tags: readonly Tag[],
    options?: { readonly caller?: Caller; readonly findSource?: FindSource | undefined },
  ): Promise<void>;
  /** False when there was none. So for the next two. */
  deleteManifest(image: string, digest: Digest): Promise<boolean>;
  deleteTag(image: string, tag: Tag): Promise<boolean>;
  deleteBlob(image: string, digest: Digest): Promise<boolean>;
}

/** An image that holds a blob which the caller may pull. */
export type FindSource = (digest: Digest) => Promise<ImageKey | undefined>;

/** What besides the name decides which repository is meant. */
export interface Addressing {
  /** The `Host` of the request. */
  readonly host?: string | undefined;
  /** `?ns=` of a read. */
  readonly namespace?: string | undefined;
}

/** What a name means: the image, and the repository if there is one that is called so. */
export interface Resolved {
  readonly at: ImageKey;
  readonly repository: Repository | undefined;
  /** The `?ns=` that was heeded. */
  readonly namespace?: string;
}

/** Names to repositories. Naming alone: it reveals nothing and decides no access. */
export interface RepositoryDirectory {
  resolve(name: WireName, addressing?: Addressing): Resolved;
  /** Whatever the name may mean at this host: as it stands, and under each configured namespace. */
  resolveAll(name: WireName, host: string | undefined): readonly Resolved[];
  get(name: string): { readonly repository: Repository; readonly record: RepositoryRecord } | undefined;
  /** Sorted so that the names of their images, prefixed and concatenated, are in byte order. */
  list(): readonly { readonly repository: Repository; readonly record: RepositoryRecord }[];
  /** @throws CONFLICT when the name is taken, or stored with another type by an earlier configuration. */
  create(config: RepositoryConfig): Promise<RepositoryRecord>;
  /** @throws CONFLICT for a declared repository and for another type; NAME_UNKNOWN. */
  replace(config: RepositoryConfig): Promise<RepositoryRecord>;
  /** Deletes a managed repository, or what an earlier configuration left. @throws CONFLICT for a declared one; NAME_UNKNOWN. */
  delete(name: string): Promise<void>;
}
