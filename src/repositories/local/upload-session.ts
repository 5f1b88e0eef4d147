import type { Readable } from 'node:stream';
import type { BlobStore, StagedBlob } from '../../ports/bytes.js';
import type { MetadataWriter, SessionRecord, UploadRecords } from '../../ports/metadata.js';
import type { ImageKey } from '../../ports/images.js';
import type { Runtime } from '../../ports/runtime.js';
import type { UploadChunk } from '../../ports/repository.js';
import type { Algorithm } from '../../protocol/digest.js';
import { isInsufficientStorage, RegistryError } from '../../protocol/errors.js';
import type { SessionId } from '../../protocol/names.js';
import type { KeyedMutex } from '../../util/concurrency.js';

/** How long a request may bring nothing while another one of the same session waits. */
const stalledMs = 10_000;

export interface SessionParts {
  readonly blobs: BlobStore;
  readonly metadata: MetadataWriter & UploadRecords;
  readonly runtime: Runtime;
  readonly sessionLocks: KeyedMutex;
  /** The size of a blob that is pushed. */
  readonly maxBlobBytes: number;
}

/** The upload sessions of a registry: durable on disk, so that a restart or a broken connection loses none. */
export class UploadSessions {
  readonly #parts: SessionParts;
  readonly #receiving = new Map<SessionId, { readonly source: Readable; readonly staged: StagedBlob }>();

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
    // The runtime makes UUIDs: what parseSessionId accepts.
    const session: SessionRecord = { id: runtime.newId() as SessionId, at, startedAt: runtime.now(), algorithm };
    const isStarted = await metadata.tryApply([{ type: 'session.put', session }], { durable: false });
    return isStarted ? session : undefined;
  }

  /** What arrived so far, also while another request is at it. @throws RegistryError BLOB_UPLOAD_UNKNOWN. */
  async size(at: ImageKey, id: SessionId): Promise<number> {
    const { algorithm } = await this.#find(at, id);
    const staged = await this.#parts.blobs.stage(id, { algorithm });
    const { size } = staged;
    // Ended meanwhile: what was staged anew just now is nobody's.
    if ((await this.#parts.metadata.session(id)) === undefined) await staged.discard();
    return size;
  }

  /**
   * Runs a task on an open session, when no other request is at it. One that is at it and rests for too long is broken off:
   * its client has lost the connection, perhaps unseen by us, and is the one that asks now. A task that fails because the
   * disk is full ends the session: its bytes are needed, and the client has to begin anew in any case.
   * @throws RegistryError BLOB_UPLOAD_UNKNOWN; a session belongs to its image, and under another name it is unknown.
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
        try {
          return await task(staged, session);
        } catch (error) {
          if (isInsufficientStorage(error)) await this.#giveUp(id, staged);
          throw error;
        }
      });
    } finally {
      clearInterval(watch);
    }
  }

  /** Takes in a chunk of a session that the caller is at (see `receiveChunk`). */
  async receive(id: SessionId, staged: StagedBlob, chunk: UploadChunk, onBreak: 'keep' | 'undo'): Promise<void> {
    const { range, announcedBytes = 0 } = chunk;
    const expectedBytes = range === undefined ? announcedBytes : range.end - range.start + 1;
    // An empty closing PUT needs no room.
    if (expectedBytes > 0) await this.#parts.blobs.ensureRoom(expectedBytes);
    this.#receiving.set(id, { source: chunk.source, staged });
    try {
      await receiveChunk(staged, chunk, onBreak, this.#parts.maxBlobBytes);
    } finally {
      this.#receiving.delete(id);
    }
  }

  /** Breaks off what a session is receiving, as for one that is cancelled. */
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

  /** Ends a session, with all that it received. The bytes go first: on a full disk, the index needs their space. */
  async end(id: SessionId, staged: StagedBlob): Promise<void> {
    await staged.discard();
    await this.#parts.metadata.apply([{ type: 'session.delete', id }], { durable: false });
  }

  async #giveUp(id: SessionId, staged: StagedBlob): Promise<void> {
    try {
      await this.end(id, staged);
    } catch (error) {
      this.#parts.runtime.log.warn({ err: error, session: id }, 'failed to end an upload that the full disk refused');
    }
  }

  async #find(at: ImageKey, id: SessionId): Promise<SessionRecord> {
    const session = await this.#parts.metadata.session(id);
    if (session?.at.repository === at.repository && session.at.image === at.image) return session;
    throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
  }
}

/**
 * Appends a chunk. One with a range that is refused, breaks or has the wrong length leaves the session as it was. A stream
 * that breaks keeps what arrived, which the next status tells, unless `onBreak` says otherwise: a client whose closing PUT
 * failed sends its whole body again to the same Location.
 * @throws RegistryError RANGE_INVALID; SIZE_INVALID, also for a blob that becomes larger than `maxBlobBytes`.
 */
export async function receiveChunk(
  staged: StagedBlob,
  { source, range, announcedBytes = 0 }: UploadChunk,
  onBreak: 'keep' | 'undo',
  maxBlobBytes: number,
): Promise<void> {
  const before = staged.size;
  if (range !== undefined && range.start !== before) {
    throw new RegistryError('RANGE_INVALID', {
      message: 'the chunk does not begin where the upload stands',
      detail: { expectedStart: before, foundStart: range.start },
    });
  }
  const length = range === undefined ? undefined : range.end - range.start + 1;
  if (before + (length ?? announcedBytes) > maxBlobBytes) throw blobTooLarge(maxBlobBytes);
  try {
    await appendBounded(staged, source, before + (length ?? Infinity), maxBlobBytes);
    if (length !== undefined && staged.size - before !== length) {
      throw new RegistryError('SIZE_INVALID', { detail: { expected: length, found: staged.size - before } });
    }
  } catch (error) {
    if (length !== undefined || onBreak === 'undo') await staged.truncate(before);
    throw error;
  }
}

/** Appends up to an end that was announced. @throws RegistryError SIZE_INVALID, 413 for what no blob may have. */
export async function appendBounded(
  staged: StagedBlob,
  source: Readable,
  end: number,
  maxBlobBytes: number,
): Promise<void> {
  const max = Math.max(0, Math.min(end, maxBlobBytes) - staged.size);
  try {
    await staged.append(source, Number.isFinite(max) ? { maxBytes: max } : {});
  } catch (error) {
    const isTooLarge = error instanceof RegistryError && error.code === 'SIZE_INVALID' && end > maxBlobBytes;
    throw isTooLarge ? blobTooLarge(maxBlobBytes) : error;
  }
}

function blobTooLarge(maxBytes: number): RegistryError {
  return new RegistryError('SIZE_INVALID', {
    status: 413,
    message: 'the blob is larger than this registry takes',
    detail: { maxBytes },
  });
}
