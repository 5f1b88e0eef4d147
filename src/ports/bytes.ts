/**
 * Stores of bytes by digest, shared by all repositories: `BlobStore`, the bytes being staged, and content that can be sent.
 *
 * Rules for every port. Absence is `undefined`; an exception means that the answer could not be determined. Content is durable
 * before an index entry names it, and no entry names it when it is deleted. Times are ms since the epoch, sizes are bytes.
 * Nothing outside a driver may rely on being the only process: preconditions travel inside the write.
 */
import type { Readable, Writable } from 'node:stream';
import type { Algorithm, Digest } from '../protocol/digest.js';
import type { Page, PageRequest } from './pages.js';

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
