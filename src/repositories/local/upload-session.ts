import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AppendOptions, BlobStore, StagedBlob } from '../../ports/bytes.js';
import type { MetadataStore, MetadataWriter, SessionRecord, UploadRecords } from '../../ports/metadata/metadata.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { Runtime } from '../../ports/runtime.js';
import type { UploadChunk } from '../../ports/repository.js';
import type { Algorithm } from '../../protocol/digest.js';
import { isQuotaError } from './quota/quotas.js';
import type { SizeLimit } from './size-limit.js';
import { isInsufficientStorage, RegistryError } from '../../protocol/errors.js';
import type { SessionId } from '../../protocol/names.js';
import type { KeyedMutex } from '../../util/scheduling/concurrency.js';

/** How long a request may stall while another request of the same session waits. */
const stalledMs = 10_000;
/** How often, and after which pause, to look whether another process finishes the upload whose bytes it has just published. */
const finishLooks = 20;
const finishPauseMs = 50;

export interface SessionParts {
  readonly blobs: BlobStore;
  readonly metadata: MetadataWriter & UploadRecords & Pick<MetadataStore, 'shared'>;
  readonly runtime: Runtime;
  readonly sessionLocks: KeyedMutex;
}

/** A request that sends bytes. */
interface Receiving {
  readonly source: Readable;
  readonly staged: StagedBlob;
  /** The bytes that stay if the request breaks off; absent if all that arrived stay. */
  readonly keptBytes: number | undefined;
}

/** The upload sessions of a registry. They are stored on disk and survive restarts and broken connections. */
export class UploadSessions {
  readonly #parts: SessionParts;
  readonly #receiving = new Map<SessionId, Receiving>();

  constructor(parts: SessionParts) {
    this.#parts = parts;
  }

  /**
   * Returns `undefined` when the repository does not exist.
   * @throws RegistryError UNAVAILABLE with status 507 when the disk is full; no session is created.
   */
  async start(at: ImageKey, algorithm: Algorithm): Promise<SessionRecord | undefined> {
    const { blobs, runtime, metadata } = this.#parts;
    await blobs.ensureRoom(0);
    // The runtime creates UUIDs, which parseSessionId accepts.
    const session: SessionRecord = { id: runtime.newId() as SessionId, at, startedAt: runtime.now(), algorithm };
    const isStarted = await metadata.tryApply([{ type: 'session.put', session }], { durable: false });
    return isStarted ? session : undefined;
  }

  /**
   * Returns the number of bytes received, even while another request appends. Excludes those of a request that are dropped if it breaks
   * off: a client would continue after them. @throws RegistryError BLOB_UPLOAD_UNKNOWN.
   */
  async size(at: ImageKey, id: SessionId): Promise<number> {
    await this.#find(at, id);
    return this.#receiving.get(id)?.keptBytes ?? this.#parts.blobs.stagedSize(id);
  }

  /**
   * Runs a task on a session while no other request uses it. Aborts a request that stalls: its client probably lost the
   * connection and is retrying now. When a task fails because the disk or a quota is full, or because the digest is wrong, ends the
   * session to free its bytes; the client has to start again anyway.
   * @throws RegistryError BLOB_UPLOAD_UNKNOWN, including for a session of another image.
   */
  async use<T>(
    at: ImageKey,
    id: SessionId,
    task: (staged: StagedBlob, session: SessionRecord) => Promise<T>,
  ): Promise<T> {
    const watch = this.#breakOffStalled(id);
    try {
      return await this.#parts.sessionLocks.run(id, async () => {
        clearInterval(watch);
        const session = await this.#find(at, id);
        const staged = await this.#parts.blobs.stage(id, { algorithm: session.algorithm });
        const { size } = staged;
        try {
          return await task(staged, session);
        } catch (error) {
          const isChanged = isDigestError(error) || (isRangeError(error) && size > 0);
          const found = isChanged ? await this.#findElsewhere(id) : 'continued';
          if (found === 'ended') await this.#giveUp(id, staged);
          // Bytes that were there were taken by a process that finishes the upload, or was killed when it did.
          if (found === 'ended' || (found === 'empty' && size > 0)) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
          // Without bytes, another process may still be naming those that it has taken.
          const isWrong = isDigestError(error) && (staged.size > 0 || this.#parts.metadata.shared === undefined);
          if (isInsufficientStorage(error) || isQuotaError(error) || isWrong) await this.#giveUp(id, staged);
          throw error;
        }
      });
    } finally {
      clearInterval(watch);
    }
  }

  /** Appends a chunk to a session, inside `use`. See `receiveChunk`. @throws the error of the limit. */
  async receive(
    id: SessionId,
    staged: StagedBlob,
    chunk: UploadChunk,
    onBreak: 'keep' | 'undo',
    limit: SizeLimit,
  ): Promise<void> {
    const { range, announcedBytes = 0 } = chunk;
    const expectedBytes = range === undefined ? announcedBytes : range.end - range.start + 1;
    if (staged.size + expectedBytes > limit.maxBytes) throw limit.refuse(staged.size + expectedBytes);
    // An empty closing PUT does not need room.
    if (expectedBytes > 0) await this.#parts.blobs.ensureRoom(expectedBytes);
    const keptBytes = isUndone(chunk, onBreak) ? staged.size : undefined;
    this.#receiving.set(id, { source: chunk.source, staged, keptBytes });
    try {
      await receiveChunk(staged, chunk, onBreak, limit);
    } finally {
      this.#receiving.delete(id);
    }
  }

  /** Aborts the request that the session is receiving from. */
  breakOff(id: SessionId): void {
    this.#receiving.get(id)?.source.destroy();
  }

  #breakOffStalled(id: SessionId): NodeJS.Timeout | undefined {
    if (!this.#receiving.has(id)) return undefined;
    let before = this.#receiving.get(id)?.staged.size;
    return setInterval(() => {
      const size = this.#receiving.get(id)?.staged.size;
      if (size === before) this.breakOff(id);
      before = size;
    }, stalledMs);
  }

  /** Ends a session and discards its bytes. The bytes go first: on a full disk, the index needs their space. */
  async end(id: SessionId, staged: StagedBlob): Promise<void> {
    await staged.discard();
    await this.#parts.metadata.apply([{ type: 'session.delete', id }], { durable: false });
  }

  /**
   * Returns what another process did to the session, while a task waited for its bytes. They are gone before the session is, so that
   * without bytes this waits for its end.
   */
  async #findElsewhere(id: SessionId): Promise<'ended' | 'empty' | 'continued'> {
    const { metadata, blobs } = this.#parts;
    if (metadata.shared === undefined) return 'continued';
    try {
      for (let look = 0; look < finishLooks; look += 1) {
        if ((await metadata.session(id)) === undefined) return 'ended';
        if ((await blobs.stagedSize(id)) > 0) return 'continued';
        await sleep(finishPauseMs);
      }
      return 'empty';
    } catch {
      // The error of the task says more.
      return 'continued';
    }
  }

  async #giveUp(id: SessionId, staged: StagedBlob): Promise<void> {
    try {
      await this.end(id, staged);
    } catch (error) {
      this.#parts.runtime.log.warn({ err: error, session: id }, 'failed to end an upload that cannot be finished');
    }
  }

  async #find(at: ImageKey, id: SessionId): Promise<SessionRecord> {
    const session = await this.#parts.metadata.session(id);
    if (session?.at.repository === at.repository && session.at.image === at.image) return session;
    throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
  }
}

/**
 * Appends a chunk. A chunk with a range that is refused, breaks off or has the wrong length leaves the session
 * unchanged. A stream that breaks off keeps the bytes that arrived, unless `onBreak` is `undo`: after a failed closing
 * PUT, clients send the whole body again to the same Location.
 * @throws RegistryError RANGE_INVALID; SIZE_INVALID, and the error of the limit.
 */
async function receiveChunk(
  staged: StagedBlob,
  chunk: UploadChunk,
  onBreak: 'keep' | 'undo',
  limit: SizeLimit,
): Promise<void> {
  const { source, range } = chunk;
  const before = staged.size;
  if (range !== undefined && range.start !== before) {
    throw new RegistryError('RANGE_INVALID', {
      message: 'the chunk does not start at the current offset of the upload',
      detail: { expectedStart: before, foundStart: range.start },
    });
  }
  const length = range === undefined ? undefined : range.end - range.start + 1;
  try {
    const isResumable = length !== undefined;
    await appendBounded(staged, source, before + (length ?? Infinity), limit, { isResumable });
    if (length !== undefined && staged.size - before !== length) {
      throw new RegistryError('SIZE_INVALID', { detail: { expected: length, found: staged.size - before } });
    }
  } catch (error) {
    // The store refuses an append only after another process changed the upload: what it has now is not ours to undo.
    if (!isRangeError(error) && isUndone(chunk, onBreak)) await staged.truncate(before);
    throw error;
  }
}

/** Returns whether the bytes of a chunk are dropped when it breaks off. */
function isUndone({ range }: UploadChunk, onBreak: 'keep' | 'undo'): boolean {
  return range !== undefined || onBreak === 'undo';
}

/** Appends up to an announced end. @throws RegistryError SIZE_INVALID, and the error of the limit. */
export async function appendBounded(
  staged: StagedBlob,
  source: Readable,
  end: number,
  limit: SizeLimit,
  options: AppendOptions = {},
): Promise<void> {
  const max = Math.max(0, Math.min(end, limit.maxBytes) - staged.size);
  try {
    await staged.append(source, Number.isFinite(max) ? { ...options, maxBytes: max } : options);
  } catch (error) {
    const isTooLarge = error instanceof RegistryError && error.code === 'SIZE_INVALID' && end > limit.maxBytes;
    throw isTooLarge ? limit.refuse(limit.maxBytes + 1) : error;
  }
}

/** Returns the limit of a single blob, whose error has status 413. */
export function blobLimit(maxBytes: number): SizeLimit {
  return { maxBytes, refuse: () => blobTooLarge(maxBytes) };
}

/** Returns whether the bytes have another digest. Appending more of them cannot fix that: the session ends (end-6). */
function isDigestError(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'DIGEST_INVALID';
}

function isRangeError(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'RANGE_INVALID';
}

function blobTooLarge(maxBytes: number): RegistryError {
  return new RegistryError('SIZE_INVALID', {
    status: 413,
    message: 'the blob exceeds the size limit of this registry',
    detail: { maxBytes },
  });
}
