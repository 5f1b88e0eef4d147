/**
 * `BlobStore`: bytes by digest, shared by all repositories; bytes being staged; content that can be sent.
 *
 * Rules for every port: absence is `undefined`; an exception means that the answer could not be determined. Content is
 * durable before a durable write of the index names it, and no index entry names it when it is deleted. Times are milliseconds since
 * the epoch; sizes are bytes. Only a driver may assume that it is the only process: all other code puts its
 * preconditions into the write.
 */
import type { Readable, Writable } from 'node:stream';
import type { Algorithm, Digest } from '../protocol/digest.js';
import type { Page, PageRequest } from './pages.js';

/** An inclusive range of bytes inside the content. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface BlobInfo {
  readonly digest: Digest;
  readonly size: number;
  readonly modifiedAt: number;
  /**
   * Identifies these bytes among all that were ever published under the digest. Absent in a store that replaces bytes in
   * place.
   */
  readonly version?: string;
}

/** Bytes that can be sent. Nothing is opened before `writeTo`. */
export interface BlobContent {
  /** The size of the whole blob, even when a range was requested. */
  readonly size: number;
  /** The file that holds the bytes, for a web server in front that sends it. */
  readonly path?: string | undefined;
  /** The bytes, or the requested range, if they are in memory. */
  readonly bytes?: Buffer | undefined;
  /**
   * Writes the bytes, or the requested range, to the sink. Respects backpressure and does not end the sink. Resolves
   * when the sink has taken the last byte. Rejects when the sink closes early or the bytes cannot be read. The store
   * reuses a chunk as soon as the sink calls back: a sink that keeps bytes must copy them.
   */
  writeTo(sink: Writable): Promise<void>;
  /**
   * Returns a URL from which a client gets the whole blob without a login, for a limited time. It is a secret. Absent when
   * clients cannot reach the store.
   */
  redirect?(validSeconds: number): Promise<string>;
}

/** The space left for content. */
export interface SpaceStatus {
  /** Absent when the file system does not report it. */
  readonly freeBytes?: number;
  /** The size of the file system. Absent when it does not report it. */
  readonly totalBytes?: number;
  /** The size of the reserve; 0 means no reserve. */
  readonly reserveBytes: number;
  /** False while the reserve is in use or not created yet. */
  readonly isReserveComplete: boolean;
}

/** Bytes by digest. Knows nothing about names, tags or access: bytes in the store do not prove a right to read them. */
export interface BlobStore {
  stat(digest: Digest): Promise<BlobInfo | undefined>;
  read(digest: Digest, range?: ByteRange): Promise<BlobContent | undefined>;
  /**
   * Makes the blobs of these digests durable that were committed without it, then runs a durable write of the index that names them.
   * Passes it those that the store has, all of them durable. A blob that is deleted and committed again meanwhile is durable at once.
   * @throws the error of the disk, without running the write. A later call tries again. @throws the error of the write.
   */
  settle<T>(digests: Iterable<Digest>, write: (found: ReadonlyMap<Digest, BlobInfo>) => Promise<T>): Promise<T>;
  /**
   * Opens the staged bytes of `id` and creates them if there are none. Finds what an earlier process received. Returns
   * the same object while it is open in this process. Callers must not use one id concurrently.
   */
  stage(id: string, options?: StageOptions): Promise<StagedBlob>;
  /**
   * Publishes a file of another owner by a hard link, durably and atomically, without reading it: the caller has verified
   * its digest or trusts it, and no one may write to the file from now on. Replaces published bytes of the digest. A
   * crash may leave staged bytes under `id`. Returns `undefined` when the store cannot link the file, for example because
   * it is on another file system: stage a copy instead.
   * @throws RegistryError SIZE_INVALID when the file has another size; an error of the system when it cannot be opened.
   * Then nothing is published.
   */
  adopt(id: string, file: AdoptedFile): Promise<BlobInfo | undefined>;
  /**
   * Returns whether there was something to delete.
   * @param version deletes only this version, and not bytes that were published again since `stat` returned it. A store
   * without versions ignores it.
   */
  delete(digest: Digest, version?: string): Promise<boolean>;
  /** Yields every blob, in no particular order. For rebuilding and audits; no request uses it. */
  list(): AsyncIterable<BlobInfo>;
  /**
   * Returns the number of bytes staged under an id, even while another request or process appends to them; 0 when nothing was
   * staged. Creates and claims nothing.
   */
  stagedSize(id: string): Promise<number>;
  /** The size from which a chunk of an upload session is stored without additional requests. Absent: any size. */
  readonly minChunkBytes?: number;
  listStaged(): AsyncIterable<{ readonly id: string; readonly size: number; readonly modifiedAt: number }>;
  /**
   * Resolves when the store has room for this many more bytes; 0 asks whether it accepts any content. A store without a
   * limit always resolves. @throws RegistryError UNAVAILABLE with status 507.
   */
  ensureRoom(bytes: number): Promise<void>;
  /** Absent in a store that cannot report its space. */
  space?(): Promise<SpaceStatus>;
  /** Checks that the store can accept content. Does not check space; see `ensureRoom`. @throws the problem. */
  check(): Promise<void>;
  /**
   * Moves published bytes to the quarantine, where no read finds them. Replaces quarantined bytes of the same digest.
   * Returns false if the digest is not published.
   * @param when the time that the quarantine records for the bytes.
   */
  quarantine(digest: Digest, when: number): Promise<boolean>;
  /** Lists in byte order of the digest; `after` is a digest. `modifiedAt` is the time of quarantine. */
  listQuarantined(page: PageRequest): Promise<Page<BlobInfo>>;
  /**
   * Moves quarantined bytes back. If the digest was published again in the meantime, deletes the quarantined copy
   * instead. Returns false if there are no quarantined bytes.
   */
  restoreQuarantined(digest: Digest): Promise<boolean>;
  /** Returns false if there are no quarantined bytes. */
  deleteQuarantined(digest: Digest): Promise<boolean>;
  close(): Promise<void>;
}

/** A file that becomes a blob of the store. */
export interface AdoptedFile {
  /** An absolute path. A symbolic link is refused. */
  readonly path: string;
  readonly digest: Digest;
  readonly size: number;
}

export interface StageOptions {
  /** The algorithm to hash with as bytes arrive; `commit` accepts any algorithm. @default sha256 */
  readonly algorithm?: Algorithm;
  /**
   * No later process continues these bytes, and only this process sees them. A shared store may keep them on a local disk
   * until they are committed. Only such bytes can be followed. @default false
   */
  readonly transient?: boolean;
}

/** Options of an append. */
export interface AppendOptions {
  readonly maxBytes?: number | undefined;
  /** The next bytes probably arrive in another request, perhaps in another process. @default false */
  readonly isResumable?: boolean;
}

/** Options of a commit. */
export interface CommitOptions {
  /**
   * Without it, the bytes survive the process at once, and a power cut after `settle` or a few seconds. A store may ignore it.
   * @default true
   */
  readonly durable?: boolean;
}

export interface StagedBlob {
  /** The number of contiguous bytes received. */
  readonly size: number;
  /**
   * Appends the whole source and returns the new size. Rejects when the source fails or closes early; the bytes that
   * arrived are kept and counted. Rejects with SIZE_INVALID as soon as the source exceeds `maxBytes`. After a
   * rejection, an unfinished source is paused, and the caller must drain or destroy it.
   */
  append(source: Readable, options?: AppendOptions): Promise<number>;
  /** Drops all bytes after an earlier offset. */
  truncate(size: number): Promise<void>;
  /** Returns the digest of the bytes received so far. */
  digest(algorithm: Algorithm): Promise<Digest>;
  /**
   * Verifies the digest, makes the bytes durable and publishes them atomically. Replaces bytes that are already
   * published, so that pushing a blob again repairs a damaged one.
   * @throws RegistryError DIGEST_INVALID when the bytes have another digest; they stay staged.
   */
  commit(expected: Digest, options?: CommitOptions): Promise<BlobInfo>;
  /** Drops the bytes. Does nothing after `commit` or `discard`. */
  discard(): Promise<void>;
  /**
   * Returns content whose readers may join the transfer at any time: each `writeTo` sends the bytes received so far,
   * then the rest as it arrives, up to `total` bytes or the end of the range. The last byte of the blob is withheld
   * until `commit` has verified the digest. `writeTo` rejects when the bytes are discarded or wrong, so an unverified
   * blob never looks complete. A concurrent `commit` does not disturb readers. Received bytes are not held in memory.
   * For transient bytes only (see `StageOptions`).
   */
  follow(total: number, range?: ByteRange): FollowedContent;
}

/** Staged bytes that are sent while they arrive. */
export interface FollowedContent extends BlobContent {
  /** Calls `onSent` with the size of each piece that the sink has taken, so that an interrupted reader can resume. */
  writeTo(sink: Writable, onSent?: (bytes: number) => void): Promise<void>;
}
