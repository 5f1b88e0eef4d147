/**
 * Every boundary inside the registry, on one page: read this first.
 *
 * Rules for all of them. Absence is `undefined`; an exception means "could not tell". Content is durable before any index
 * entry names it, and no entry names it any more when it is deleted. Times are ms since the epoch, sizes are bytes.
 * Nothing outside a driver may rely on being the only process: preconditions travel inside the write.
 */
import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { LookupFunction } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import type { AccessLimit, AccessRule } from './protocol/access-config.js';
import type { Algorithm, Digest } from './protocol/digest.js';
import type { LoginProblem, RefusedLogin } from './protocol/login-problem.js';
import type { ParsedManifest } from './protocol/manifest.js';
import type { RefusalReason } from './protocol/refusal-reasons.js';
import type { Reference, SessionId, Tag, WireName } from './protocol/names.js';
import type { RepositoryConfig, Sparse } from './protocol/repository-config.js';
import type { TokenGrant } from './protocol/token-scope.js';

// ------------------------------------------------------------------------------------------------ bytes

/** An inclusive range of bytes that lies inside the content. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface BlobInfo {
  readonly digest: Digest;
  readonly size: number;
  readonly modifiedAt: number;
}

/** Bytes that can be sent; nothing is opened before `writeTo`. */
export interface BlobContent {
  /** The size of the whole blob, whatever range was asked for. */
  readonly size: number;
  /** Where the bytes lie on this machine, for a web server that sends them itself. */
  readonly path?: string;
  /**
   * Writes the bytes (of the range, when one was asked for) to the sink, minding its backpressure, and does not end it.
   * Resolves when the sink has taken the last byte; rejects when it closes before, or when the bytes cannot be read.
   * A chunk belongs to the store again as soon as the sink calls back: a sink that keeps bytes copies them.
   */
  writeTo(sink: Writable): Promise<void>;
}

/** How much space is left for content. */
export interface SpaceStatus {
  /** Absent when the file system does not report it. */
  readonly freeBytes?: number;
  /** The size of the reserve; 0: none. */
  readonly reserveBytes: number;
  /** False while the reserve is in use, or not created yet. */
  readonly isReserveComplete: boolean;
}

/** Bytes by digest, shared by all repositories; no names, tags or access. Bytes in the store prove no right to read them. */
export interface BlobStore {
  stat(digest: Digest): Promise<BlobInfo | undefined>;
  read(digest: Digest, range?: ByteRange): Promise<BlobContent | undefined>;
  /**
   * Opens the staged bytes of `id`, made when there are none; what an earlier process received is found again. While it is
   * open in this process, the same object is returned. Callers take turns on one id.
   */
  stage(id: string, options?: StageOptions): Promise<StagedBlob>;
  /** True when there was something to delete. */
  delete(digest: Digest): Promise<boolean>;
  /** Every blob in the store, in no order. For rebuilding and audits: no request uses it. */
  list(): AsyncIterable<BlobInfo>;
  listStaged(): AsyncIterable<{ readonly id: string; readonly size: number; readonly modifiedAt: number }>;
  /**
   * Resolves when there is room for this many bytes more; 0 asks whether anything may come in at all. A store without a
   * limit always resolves. @throws RegistryError UNAVAILABLE with status 507.
   */
  ensureRoom(bytes: number): Promise<void>;
  /** Absent where nothing is known about space. */
  space?(): Promise<SpaceStatus>;
  /** Resolves when the store can take content. Says nothing about space, for which `ensureRoom` is. @throws what is wrong. */
  check(): Promise<void>;
  /**
   * Moves published bytes to the quarantine, where no read finds them. Replaces older ones of the same digest. Resolves to
   * false if the digest is not published.
   * @param when the time that the quarantine keeps for them.
   */
  quarantine(digest: Digest, when: number): Promise<boolean>;
  /** In byte order of the digest; `after` is a digest. `modifiedAt` is when the bytes were quarantined. */
  listQuarantined(page: PageRequest): Promise<Page<BlobInfo>>;
  /**
   * Moves quarantined bytes back. Bytes that were published under the digest since then stay, and the quarantined ones are
   * deleted. Resolves to false if there are no quarantined bytes.
   */
  restoreQuarantined(digest: Digest): Promise<boolean>;
  /** Resolves to false if there are no quarantined bytes. */
  deleteQuarantined(digest: Digest): Promise<boolean>;
  close(): Promise<void>;
}

export interface StageOptions {
  /** The algorithm to hash with while bytes come in; another may still be asked for at `commit`. Default sha256. */
  readonly algorithm?: Algorithm;
}

export interface StagedBlob {
  /** The contiguous bytes received, in order; never a hole. */
  readonly size: number;
  /**
   * Appends the source to its end; resolves to the new size. When the source fails or closes early it rejects, and what
   * arrived is kept and counted. At most `maxBytes` are taken: rejects with SIZE_INVALID as soon as there are more. When it
   * rejects, a source that is not over is left paused: the caller drains or destroys it.
   */
  append(source: Readable, options?: { readonly maxBytes?: number }): Promise<number>;
  /** Back to an earlier offset: what came after it is dropped. */
  truncate(size: number): Promise<void>;
  /** The digest of the bytes so far, for those who have none to expect. */
  digest(algorithm: Algorithm): Promise<Digest>;
  /**
   * Verifies the digest, makes the bytes durable and publishes them atomically under it. Bytes that are already published
   * are replaced: a damaged blob heals by being pushed again.
   * @throws RegistryError DIGEST_INVALID when the bytes have another digest; they stay staged.
   */
  commit(expected: Digest): Promise<BlobInfo>;
  /** Drops the bytes. Nothing happens when they are committed or discarded already. */
  discard(): Promise<void>;
  /**
   * The bytes as they land and those that will, up to `total`, for readers that join a transfer at any time; a range of them
   * when one is given. Each `writeTo` reads on its own and waits where the bytes end for now. The last byte of the whole is
   * withheld until `commit` has verified; when the bytes are discarded, or differ, `writeTo` rejects: wrong bytes never look
   * whole. A `commit` in between disturbs nobody. Costs no memory for what was received.
   */
  follow(total: number, range?: ByteRange): FollowedContent;
}

/** Staged bytes that are sent while they come in. */
export interface FollowedContent extends BlobContent {
  /** Calls `onSent` with the size of each piece that the sink has taken: who was cut off knows where to go on. */
  writeTo(sink: Writable, onSent?: (bytes: number) => void): Promise<void>;
}

// ------------------------------------------------------------------------------------------------ the index

/** One image: `repository` is configured, `image` is the rest of the name on the wire. */
export interface ImageKey {
  readonly repository: string;
  readonly image: string;
}

export type {
  LocalRepositoryConfig,
  RemoteRepositoryConfig,
  RepositoryConfig,
  Sparse,
  VirtualRepositoryConfig,
} from './protocol/repository-config.js';

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

/** A precondition of `apply` did not hold, or a change named a repository that is not there: nothing was changed. */
export class ConflictError extends Error {
  override readonly name = 'ConflictError';
}

export interface PageRequest {
  readonly limit: number;
  /** Exclusive; need not exist. */
  readonly after?: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** True when there are items after the last of these. */
  readonly more: boolean;
}

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

// ------------------------------------------------------------------------------------------------ upstream

/** Why another registry gave no answer, for people and logs: never its own challenge, never a secret. */
export interface UpstreamReason {
  /** The host of the configured URL. */
  readonly upstream: string;
  readonly reason: string;
  /** The upstream's status, where it gave one. */
  readonly status?: number;
  /** What the upstream asked us to wait, where it did. */
  readonly retryAfterSeconds?: number;
}

/**
 * One of four. `absent`: 404. `denied`: 401 or 403 after its realm gave a token for this very scope, or refused an anonymous
 * one. `failed`: all else (our credentials refused, a bare 401 or 403, 429, 5xx, a loop, timeouts, refused connections,
 * content that does not match): it could not tell.
 */
export type UpstreamResult<T> =
  | { readonly type: 'found'; readonly value: T }
  | { readonly type: 'absent' }
  | { readonly type: 'denied'; readonly reason: UpstreamReason }
  | { readonly type: 'failed'; readonly reason: UpstreamReason };

export interface UpstreamBlob {
  /** The size of the whole blob; absent when the upstream does not say. */
  readonly size?: number;
  /** Where `body` begins: the offset that was asked for, or 0 when the upstream ignores ranges. */
  readonly offset: number;
  /** The caller's to consume or destroy; it errors when it is cut short of the announced length. */
  readonly body: Readable;
}

/**
 * One other registry, under one configured URL; authentication, timeouts, the breaker, redirects and one retry of what broke
 * before an answer are inside. `image` is named as the upstream has it. `trail` is the Via trail of the request that asks
 * (loop detection): it is sent on, with our own name added. No method rejects for what an upstream did.
 */
export interface Upstream {
  /** The host of the configured URL, with its port if it has one. */
  readonly host: string;
  /** HEAD. What the upstream does not say is absent: a GET finds it out. */
  statManifest(
    image: string,
    reference: Reference,
    trail: readonly string[],
  ): Promise<UpstreamResult<Partial<ManifestInfo>>>;
  /** GET, of 4 MiB at most; verified against the digest that was asked for, else the one that the upstream claims. */
  getManifest(image: string, reference: Reference, trail: readonly string[]): Promise<UpstreamResult<ManifestContent>>;
  /** HEAD; where that leads to a URL signed for GET, a GET whose body is dropped. */
  statBlob(
    image: string,
    digest: Digest,
    trail: readonly string[],
  ): Promise<UpstreamResult<{ readonly size?: number }>>;
  /** From an offset on, by `Range`, when it is not 0. */
  getBlob(
    image: string,
    digest: Digest,
    offset: number,
    trail: readonly string[],
  ): Promise<UpstreamResult<UpstreamBlob>>;
  /** All pages, following `Link`; in byte order, each tag once. */
  listTags(image: string, trail: readonly string[]): Promise<UpstreamResult<readonly Tag[]>>;
  /** All pages, in byte order of the digest; where the upstream has no referrers API (404), what the fallback tag `sha256-<hex>` holds. */
  listReferrers(image: string, subject: Digest, trail: readonly string[]): Promise<UpstreamResult<readonly Referrer[]>>;
  /** How an exchange that is passed on as it is reaches the upstream: headers to add (credentials for this image, Via). */
  authorize(
    image: string,
    options?: { readonly renew?: boolean },
  ): Promise<UpstreamResult<Readonly<Record<string, string>>>>;
  /** How much of the upstream's rate limit is left, from 1 (all, or it does not say) to 0. */
  readonly budget: number;
  readonly breaker: {
    readonly state: 'closed' | 'open' | 'probing';
    readonly failures: number;
    readonly lastFailure?: string;
  };
  close(): Promise<void>;
}

// ------------------------------------------------------------------------------------------------ repositories

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

/** A pass-through: how an exchange reaches the upstream, and what comes back of it. */
/** Which hosts connections may lead to, on behalf of one configured URL. */
export interface TargetPolicy {
  /** The same for the same policy: connections may be shared. */
  readonly key: string;
  /** To be called before each request. @throws Error when the host is a private address or a name of this machine. */
  check(url: URL): void;
  /** For sockets. Fails when the name resolves to a private address. */
  readonly lookup: LookupFunction;
}

export interface Forward {
  /** Where it goes, with the query. */
  readonly url: URL;
  /** To add: the upstream's credentials, Via. */
  readonly headers: Readonly<Record<string, string>>;
  /** New credentials, after the upstream has refused these; `undefined` when there are none. */
  renew(): Promise<Readonly<Record<string, string>> | undefined>;
  /** The path and query by which the client reaches what the upstream calls so; `undefined` for what is not of this image. */
  mapBack(url: URL): string | undefined;
  readonly redirects: 'follow' | 'pass';
  readonly targets: TargetPolicy;
  /** PEM. */
  readonly ca?: string;
  /** The outgoing proxy for this URL, by configuration or environment. */
  readonly proxy?: string;
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
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
  /** `undefined` when the image is unknown. */
  listTags(caller: Caller, image: string, page: PageRequest): Promise<Listed<TagEntry> | undefined>;
  listReferrers(caller: Caller, image: string, subject: Digest, page: ReferrerPageRequest): Promise<Listed<Referrer>>;
  listImages(caller: Caller, page: ImagePageRequest): Promise<ImagePage>;
  explain(caller: Caller, image: string, reference: Reference): Promise<Explanation>;
  /** A pass-through: where a read of this image goes. `rest` is what follows the image in path and query: `/manifests/1?x=y`. */
  forward?(image: string, rest: string): Promise<Forward>;
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

// ------------------------------------------------------------------------------------------------ archives

/** Images as one file: what `docker save` writes, or an OCI image layout in a tar. */
export interface Archives {
  /**
   * Reads an archive, plain or compressed, in constant memory, and puts what it holds into the repository: content before
   * manifests before tags, and nothing before all of it was verified.
   * @throws RegistryError ARCHIVE_INVALID, DIGEST_INVALID, MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN, SIZE_INVALID, and what
   * `permit` throws; then nothing is left of it, and a source that is not over is left for the caller to drain.
   */
  import(repository: Repository, source: Readable, request: ImportRequest): Promise<ImportReport>;
  /**
   * Images as an OCI layout that `docker load` takes too; the same images always give the same bytes. All is known to be
   * here before this resolves; bytes that differ from their digest make `writeTo` reject.
   * @throws RegistryError MANIFEST_UNKNOWN, BLOB_UNKNOWN.
   */
  export(repository: Repository, request: ExportRequest): Promise<BlobContent>;
}

export interface ImportRequest {
  readonly caller: Caller;
  /** Where it all goes, instead of where the archive says. */
  readonly image?: string | undefined;
  /** Instead of those that the archive says; for one image only. */
  readonly tags: readonly Tag[];
  /** Asked for each image before anything is visible. Throws what refuses. */
  permit(at: ImageKey): Promise<void>;
}

export interface ImportReport {
  readonly images: readonly ImportedImage[];
  readonly manifests: Counted;
  readonly blobs: Counted;
}

export interface ImportedImage {
  readonly image: string;
  readonly tags: readonly Tag[];
  readonly digest: Digest;
  readonly mediaType: string;
  /** `os/architecture[/variant]`, as its index or its config says. */
  readonly platforms: readonly string[];
  /** Its manifests, configs and layers, each digest once. */
  readonly bytes: number;
}

/** Of things with a digest, each once. */
export interface Counted {
  readonly total: number;
  readonly bytes: number;
  /** What every image that it belongs to had before. */
  readonly presentTotal: number;
  readonly presentBytes: number;
}

export interface ExportRequest {
  readonly caller: Caller;
  readonly names: readonly ExportName[];
  /** Of an index, only what fits: `os/architecture[/variant]`. */
  readonly platform?: string | undefined;
}

export interface ExportName {
  readonly image: string;
  readonly reference: Reference;
  /** What it is called in the archive, `name:tag`; by default `<repository>/<image>:<tag>`. */
  readonly as?: string | undefined;
}

// ------------------------------------------------------------------------------------------------ access, garbage, runtime

/**
 * What an endpoint needs: the `access` column of the endpoint tables. `none` is for everybody and asks nobody who they are,
 * `token` is for whoever wants a token: they may be about to say who they are. `login` is for whoever logged in.
 */
export type Access = 'none' | 'ping' | 'token' | 'login' | 'pull' | 'push' | 'delete' | 'catalog' | 'admin';

/** What a rule can allow on an image. */
export type ImageAction = Extract<Access, 'pull' | 'push' | 'delete'>;

/** Where a request comes from and what it calls us: what the connection says, or a trusted proxy. */
export interface ClientInfo {
  /** An IP address. */
  readonly address: string;
  /** The `Host` that the client sent. */
  readonly host?: string | undefined;
  /** `https://registry.example`: the registry as this client reaches it. Absent when it sent no usable `Host`. */
  readonly origin?: string | undefined;
}

/** Who a request is from. */
export interface Principal {
  /** `anonymous` for whoever did not log in. */
  readonly id: string;
  readonly groups: readonly string[];
  /** How it showed who it is. `host`: the host app says so. */
  readonly via: 'anonymous' | 'basic' | 'bearer' | 'host';
  /** The source that knows it, and what it was let in by: tokens made for it end when that changes. */
  readonly source?: IdentitySource['kind'] | undefined;
  readonly stamp?: string | undefined;
  /** What an access token was asked for, by names on the wire: nothing else may be done with it. Absent: no such limit. */
  readonly grants?: readonly TokenGrant[] | undefined;
  /** What an account's token is limited to, like rules. Absent: no such limit. */
  readonly limits?: readonly AccessLimit[] | undefined;
  /** When the login ends: no token that is made for it lives longer. */
  readonly expiresAt?: number | undefined;
}

export type { TokenGrant } from './protocol/token-scope.js';

/** Whoever did not log in. */
export const anonymous: Principal = { id: 'anonymous', groups: [], via: 'anonymous' };

/** Some images of one repository. */
export interface Reach {
  /** Each of the images begins with one of these. In byte order; none begins with another. Empty: no images. */
  readonly prefixes: readonly string[];
  readonly has: (image: string) => boolean;
}

/** What is to be done to. */
export interface AccessTarget {
  /** What is meant; without an image it is the repository as a whole. Absent: the whole registry. */
  readonly at?: { readonly repository: string; readonly image?: string } | undefined;
  /** As the client named it, to which a token's grants apply. Absent: they do not. */
  readonly name?: string | undefined;
}

/** What a request wants, for the challenge that a refusal carries. */
export interface AccessQuestion {
  readonly access: Access;
  readonly client: ClientInfo;
  /** What a token would need, by names on the wire. */
  readonly wanted: readonly TokenGrant[];
}

/** Who may do what, decided in one place. */
export interface AccessControl {
  /**
   * Who the request is from; `anonymous` when it does not say.
   * @throws RegistryError UNAUTHORIZED for wrong credentials, TOOMANYREQUESTS after too many of them.
   */
  authenticate(request: IncomingMessage, question: AccessQuestion): Promise<Principal>;
  permits(principal: Principal, access: Access, target?: AccessTarget): Promise<boolean>;
  /** Returns those of the actions that `permits` allows on an image, in one pass over the rules. */
  permitted(
    principal: Principal,
    actions: readonly ImageAction[],
    target: AccessTarget,
  ): Promise<readonly ImageAction[]>;
  /** Which images of a repository `permits` lets it pull, whatever they are called on the wire. */
  reach(principal: Principal, repository: string): Promise<Reach>;
  /** Whether it may do something, or this, to an image of the repository, and so know that it is there. */
  knows(principal: Principal, repository: string, permission?: 'pull' | 'push' | 'delete'): Promise<boolean>;
  /** Why not, as the error to answer, with the challenge that belongs to it. */
  refusal(principal: Principal, question: AccessQuestion): Error;
  /** Whether anybody may administer: then the management API guards itself against web pages (design: secure by default). */
  readonly openToAll: boolean;
  /** Whether anyone may read everything: otherwise shared caches must not keep answers. */
  readonly isPublic: boolean;
  /**
   * Whether somebody who shows nothing is asked who they are before they get less than others would: some clients show their
   * credentials only when asked, and whoever has none gets a token for nobody.
   */
  readonly asksFirst: boolean;
  /** Absent where nobody asks us for tokens. */
  readonly tokens?: TokenIssuer | undefined;
  /** Absent where access is open or read-only: there is nobody to administer. */
  readonly administration?: AccessAdministration | undefined;
  close(): Promise<void>;
}

/** A token, once issued. */
export interface IssuedToken {
  readonly token: string;
  readonly expiresInSeconds: number;
  readonly issuedAt: number;
  /** Only when it was asked for, and the login can be looked up again. */
  readonly refreshToken?: string;
}

/** The token endpoint (protocol: docker token auth). */
export interface TokenIssuer {
  /** Who has this name and password. @throws RegistryError UNAUTHORIZED, TOOMANYREQUESTS. */
  login(username: string, password: string, client: ClientInfo): Promise<Principal>;
  /** Who has this refresh token. @throws RegistryError UNAUTHORIZED. */
  refresh(refreshToken: string, client: ClientInfo): Promise<Principal>;
  /** @param options.offline a refresh token too, where the login can be looked up again. */
  issue(
    principal: Principal,
    grants: readonly TokenGrant[],
    options: { readonly offline: boolean },
  ): Promise<IssuedToken>;
}

export type { LoginProblem, RefusedLogin } from './protocol/login-problem.js';

/** Something that knows who people are: an htpasswd file, our own accounts, an OIDC issuer, the host app. */
export interface IdentitySource {
  readonly kind: 'htpasswd' | 'account' | 'oidc' | 'host';
  /**
   * Whether it is for this source to judge such a password, so that one alone judges it: the first that says so.
   * Decided by the form of the password, never by whether there is such a user.
   */
  claims(username: string, password: string): boolean;
  /**
   * Why not is for the log; an unknown user and a wrong password take the same time. A source whose passwords can be guessed
   * slows guesses down. @throws RegistryError TOOMANYREQUESTS.
   */
  login(username: string, password: string, client: Pick<ClientInfo, 'address'>): Promise<Identity | LoginProblem>;
  /** Whether who was let in by this stamp still is: for tokens that were made for it. `undefined`: no more. */
  revive(id: string, stamp: string): Promise<Identity | undefined>;
  close?(): Promise<void>;
}

/** Somebody that a source knows. */
export interface Identity {
  readonly id: string;
  readonly groups: readonly string[];
  /** Changes with the password, or is the token's id; never a secret. Absent: it cannot be looked up again. */
  readonly stamp?: string | undefined;
  readonly limits?: readonly AccessLimit[] | undefined;
  readonly expiresAt?: number | undefined;
}

/** What the management API does about access: accounts, their tokens, rules, signing keys. */
export interface AccessAdministration {
  readonly accounts: Accounts;
  readonly rules: RuleBook;
  /** Makes a new key that signs from now on; the old one is still believed for as long as tokens of it live. */
  rotateKeys(): Promise<SigningKeyInfo>;
  listKeys(): Promise<readonly SigningKeyInfo[]>;
}

export interface SigningKeyInfo {
  readonly id: string;
  readonly createdAt: number;
  readonly origin: 'declared' | 'managed';
  readonly signs: boolean;
}

/** A person or a robot that logs in with tokens. */
export interface Account {
  /** Also the name to log in with. */
  readonly name: string;
  readonly description: string;
  readonly groups: readonly string[];
  readonly disabled: boolean;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export type AccountSettings = Pick<Account, 'name' | 'description' | 'groups' | 'disabled'>;

/** A token of an account, without its secret, of which only a hash is kept. */
export interface AccountToken {
  readonly id: string;
  readonly account: string;
  readonly description: string;
  /** Absent: all that the account may. */
  readonly limits?: readonly AccessLimit[] | undefined;
  readonly createdAt: number;
  readonly expiresAt?: number | undefined;
}

export interface Accounts {
  /** Sorted by name. */
  list(): Promise<readonly Account[]>;
  get(name: string): Promise<Account | undefined>;
  /** @throws CONFLICT when the name is taken. */
  create(settings: AccountSettings): Promise<Account>;
  /** False (or `undefined`) when there is none, as below. */
  replace(settings: AccountSettings): Promise<Account | undefined>;
  /** With its tokens. */
  delete(name: string): Promise<boolean>;
  tokens(account: string): Promise<readonly AccountToken[]>;
  /** The secret is told here and never again. @throws CONFLICT when there is no such account. */
  createToken(
    account: string,
    settings: Pick<AccountToken, 'description' | 'limits' | 'expiresAt'>,
  ): Promise<{ readonly token: AccountToken; readonly secret: string }>;
  deleteToken(account: string, id: string): Promise<boolean>;
}

/** A rule as the management API has it. */
export interface RuleRecord {
  readonly id: string;
  /** `declared` in code or the config file, and fixed; or `managed` through the API. */
  readonly origin: 'declared' | 'managed';
  readonly rule: AccessRule;
}

export interface RuleBook {
  /** Declared ones first. */
  list(): Promise<readonly RuleRecord[]>;
  create(rule: AccessRule): Promise<RuleRecord>;
  /** @throws CONFLICT for a declared one. `undefined` when there is none. */
  replace(id: string, rule: AccessRule): Promise<RuleRecord | undefined>;
  /** @throws CONFLICT for a declared one. False when there is none. */
  delete(id: string): Promise<boolean>;
}

export interface GarbageReport {
  readonly dryRun: boolean;
  readonly startedAt: number;
  readonly finishedAt: number;
  /** Candidates looked at. */
  readonly examined: number;
  readonly unlinked: number;
  readonly blobsDeleted: number;
  readonly bytesFreed: number;
  /** Bytes that the audit moved to the quarantine: nothing refers to them, and no dropped reference left a candidate. */
  readonly quarantined: number;
  readonly quarantinedBytes: number;
  /** Bytes that left the quarantine because the index refers to them again. */
  readonly restored: number;
  readonly uploadsExpired: number;
}

export interface GarbageCollector {
  /** One pass that starts after the call. Calls that wait for a running pass to end share the next one. */
  collect(options?: { readonly dryRun?: boolean }): Promise<GarbageReport>;
}

/** Bytes that an audit set aside. They are deleted when their time is up, unless the index refers to them again. */
export interface Quarantine {
  /** In byte order of the digest; `after` is a digest. */
  list(page: PageRequest): Promise<Page<QuarantinedBlob>>;
  /** Restores these, or all. They are garbage again after a grace period unless something refers to them by then. */
  restore(digests: readonly Digest[] | 'all'): Promise<RestoreReport>;
  /** Resolves to false if it is not in quarantine. @throws RegistryError CONFLICT when the index refers to the digest. */
  delete(digest: Digest): Promise<boolean>;
}

export interface QuarantinedBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly quarantinedAt: number;
  readonly expiresAt: number;
}

export interface RestoreReport {
  readonly restored: number;
  /** Digests that were asked for and are not in quarantine. */
  readonly missing: readonly Digest[];
}

/** Whether a part of the registry works. `degraded`: the disk is full, so uploads are refused; reads and deletes work. */
export interface ComponentHealth {
  readonly status: 'ok' | 'degraded' | 'failed';
  /** Why it is not ok, without paths: clients may read it. */
  readonly reason?: string;
}

export interface IndexHealth extends ComponentHealth {
  /** How many times the index was opened again after a failed write. */
  readonly reopens?: number;
  /** When the last write or read failed. */
  readonly lastFailureAt?: number;
}

export interface BlobsHealth extends ComponentHealth, Partial<SpaceStatus> {}

/** How many clients were refused for each limit since the process started. */
export type RefusalCounts = Readonly<Record<RefusalReason, number>>;

/** What `registry.health()` and the health documents report. */
export interface HealthReport extends Condition {
  readonly refusals: RefusalCounts;
}

/** Whether the registry serves requests. */
export interface Condition {
  /** `ok` also while a component is degraded. */
  readonly status: 'ok' | 'unavailable';
  /** Why the registry could not be opened, without paths. */
  readonly reason?: string;
  /** Absent until the registry is open. */
  readonly components?: { readonly index: IndexHealth; readonly blobs: BlobsHealth };
}

export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface RequestEvent {
  readonly id: string;
  readonly op: string;
  readonly method: string;
  /** Without what may be a secret. */
  readonly url: string;
  readonly status: number;
  readonly durationMs: number;
  readonly principal: string;
  /** Of the connection: behind a proxy, the proxy's. */
  readonly remoteAddress: string;
  /** Of the client, as far as a trusted proxy tells. */
  readonly clientAddress: string;
  readonly errorCode?: string;
  readonly cache?: Provenance['cache'];
  /** The repository that answered, where a virtual was asked. */
  readonly servedBy?: string;
}

export interface LoginRefusedEvent extends RefusedLogin {
  /** Of the request. */
  readonly id: string;
  readonly op: string;
  readonly clientAddress: string;
}

export type { RefusalReason } from './protocol/refusal-reasons.js';

export interface RegistryEvents {
  request: [RequestEvent];
  /** A client was refused, or its connection closed, by a limit that honest clients do not meet. */
  'client.refused': [{ reason: RefusalReason; address: string }];
  'blob.pushed': [{ at: ImageKey; digest: Digest; size: number }];
  'blob.deleted': [{ at: ImageKey; digest: Digest }];
  'manifest.pushed': [{ at: ImageKey; digest: Digest; tags: readonly Tag[] }];
  'manifest.deleted': [{ at: ImageKey; digest: Digest }];
  'tag.deleted': [{ at: ImageKey; tag: Tag }];
  'repository.created': [{ name: string }];
  'repository.replaced': [{ name: string }];
  'repository.deleted': [{ name: string }];
  'cache.answered': [{ repository: string; image: string; what: 'manifest' | 'blob' | 'list'; outcome: CacheOutcome }];
  'cache.filled': [{ repository: string; image: string; digest: Digest; bytes: number }];
  'garbage.collected': [GarbageReport];
  /** Somebody showed credentials and was not let in. For operators: the client learns only that it was refused. */
  'login.refused': [LoginRefusedEvent];
  /** The index refuses writes from now on: a write failed, and so did the attempt to reopen it and to write again. */
  'index.failed': [IndexFailure];
  /** The index was closed and opened again after a failed write, and accepts writes. */
  'index.reopened': [{ reopens: number; failure: IndexFailure }];
}

/** Everything that is not deterministic. */
export interface Runtime {
  now(): number;
  newId(): string;
  readonly log: Logger;
  readonly events: EventEmitter<RegistryEvents>;
  /** Tells the listeners; one that throws is logged, and harms no request. */
  emit<Name extends keyof RegistryEvents>(name: Name, ...payload: RegistryEvents[Name]): void;
}
