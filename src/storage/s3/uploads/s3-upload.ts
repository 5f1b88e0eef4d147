/**
 * Uploads to a bucket: `s3-upload.ts` is an upload session, whose bytes go into the bucket as they arrive; `spool.ts` has the
 * content of one request, which stays on the disk until it is verified.
 */
import type { Readable } from 'node:stream';
import type { AppendOptions, BlobInfo, FollowedContent, StagedBlob } from '../../../ports/bytes.js';
import type { ObjectPlace, StagedBytes, StagedClaim } from '../../../ports/metadata/object-ledger.js';
import { algorithmOf, digestOf, type Algorithm, type Digest } from '../../../protocol/digest.js';
import { RegistryError } from '../../../protocol/errors.js';
import { writeInBatches } from '../../../util/streams/streams.js';
import { digestInvalid, toStorageError } from '../../files/storage-errors.js';
import { nextPartOf } from '../../staged-bytes.js';
import { ConflictError } from '../../../util/conflict-error.js';
import { S3Error, toUnavailable } from '../client/s3-errors.js';
import { hashObject } from '../s3-content.js';
import { HeldClaim, whileOpen, type WaitOptions } from './held-claim.js';
import { resume, startNative, startResumable, type RunningDigest } from './running-digest.js';
import { copyParts, joinParts, readKept, sizeOf } from './join-parts.js';
import { UploadParts, type PartsContext } from './upload-parts.js';

const batchBytes = 1024 * 1024;

/** The part of the store that an upload needs. */
export interface UploadContext extends PartsContext {
  /** Records the object of a digest. */
  name(digest: Digest, place: ObjectPlace, staged: StagedClaim): Promise<BlobInfo>;
  gone(upload: S3Upload): void;
}

/** A state to return to, and the hash at that point. */
interface Point {
  readonly bytes: StagedBytes;
  readonly goBack: (() => void) | undefined;
}

/**
 * The bytes of an upload session, in the bucket and the ledger. Any process can continue the session: this object only
 * remembers the hash. Operations run one after the other.
 */
export class S3Upload implements StagedBlob {
  readonly id: string;
  readonly #context: UploadContext;
  readonly #algorithm: Algorithm;
  readonly #closing = new AbortController();
  /** The state that this object last saw. */
  #bytes: StagedBytes | undefined;
  /** The hash of these bytes. */
  #hash: RunningDigest | undefined;
  /** The state before the last append. */
  #before: Point | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  /** The bytes that the running append has received. */
  #arrivedBytes = 0;
  #isGone = false;

  constructor(id: string, context: UploadContext, algorithm: Algorithm) {
    this.id = id;
    this.#context = context;
    this.#algorithm = algorithm;
  }

  get size(): number {
    return (this.#bytes === undefined ? 0 : sizeOf(this.#bytes)) + this.#arrivedBytes;
  }

  /** Whether no operation is running or waiting. */
  get isIdle(): boolean {
    return this.#waiting === 0;
  }

  /** Reads what other processes appended. */
  async refresh(): Promise<void> {
    if (!this.isIdle) return;
    await this.#enqueue(async () => this.#see(await this.#context.ledger.staged(this.id)));
  }

  append(source: Readable, { maxBytes, isResumable = false }: AppendOptions = {}): Promise<number> {
    return this.#exclusive(async () => {
      await this.#holding({ signal: AbortSignal.any([whileOpen(source), this.#closing.signal]) }, async (claim) => {
        const hash = await this.#hashOf(claim.state, isResumable);
        this.#before = { bytes: claim.state, goBack: hash?.mark() };
        const parts = new UploadParts(this.#context, claim, hash);
        try {
          await this.#receive(source, maxBytes, parts, claim).catch(async (error: unknown) => {
            if (!parts.hasFailed) this.#keep(await parts.finish(), hash);
            throw error;
          });
          this.#keep(await parts.finish(), hash);
        } catch (error) {
          if (parts.hasFailed) await this.#return(this.#before, claim, parts.nextPart);
          throw error;
        } finally {
          parts.release();
        }
      });
      return this.size;
    });
  }

  truncate(size: number): Promise<void> {
    return this.#exclusive(async () => {
      if (!Number.isInteger(size) || size < 0 || size > this.size) {
        throw new RangeError(`cannot truncate ${this.size} bytes to ${size}`);
      }
      if (size === this.size) return;
      await this.#holding({ signal: this.#closing.signal }, async (claim) => {
        const before = this.#before;
        if (before !== undefined && sizeOf(before.bytes) === size)
          return this.#return(before, claim, nextPartOf(claim.state));
        const kept = size === 0 ? Buffer.alloc(0) : await readKept(this.#context.bucket, claim.state, size);
        await this.#replace(claim, kept);
      });
    });
  }

  digest(algorithm: Algorithm): Promise<Digest> {
    return this.#exclusive(async () => {
      const bytes = this.#bytes;
      const known = bytes?.digest;
      if (known !== undefined && algorithmOf(known) === algorithm) return known;
      if (bytes === undefined || this.size === 0) return digestOf(Buffer.alloc(0), algorithm);
      return digestOf(await readKept(this.#context.bucket, bytes, this.size), algorithm);
    });
  }

  commit(expected: Digest): Promise<BlobInfo> {
    return this.#exclusive(() =>
      this.#holding({ signal: this.#closing.signal }, async (claim) => {
        claim.work();
        const { state } = claim;
        const known = state.digest !== undefined && algorithmOf(state.digest) === algorithmOf(expected);
        if (known && state.digest !== expected) throw digestInvalid(expected, state.digest);
        const place = await this.#assemble(claim, known ? expected : undefined);
        const found = known ? expected : await hashObject(this.#context.bucket, place, algorithmOf(expected));
        if (found !== expected) throw digestInvalid(expected, found);
        const info = await this.#context.name(expected, place, state);
        this.#leave();
        return info;
      }),
    );
  }

  /** Takes the upload over from another process, because its bytes are no longer needed. */
  async discard(): Promise<void> {
    if (this.#isGone) return;
    await this.#exclusive(async () => {
      const { ledger, now } = this.#context;
      const { signal } = this.#closing;
      if ((await ledger.staged(this.id)) !== undefined) {
        const claim = await HeldClaim.take(this.#context, this.id, { isForced: true, signal });
        try {
          await ledger.dropStaged(claim.state, now());
        } finally {
          await claim.release();
        }
      }
      this.#leave();
    });
  }

  /** @throws Error always: only transient bytes are followed. */
  follow(): FollowedContent {
    throw new Error('an upload session cannot be followed');
  }

  /** Ends a running append, which keeps what arrived. Later operations reject. */
  async close(reason: Error): Promise<void> {
    this.#closing.abort(reason);
    await this.#tail;
  }

  /** Runs a task that holds the upload. @throws RegistryError when another process changed it since it was last seen */
  async #holding<T>(options: WaitOptions, task: (claim: HeldClaim) => Promise<T>): Promise<T> {
    const claim = await HeldClaim.take(this.#context, this.id, options);
    try {
      const found = sizeOf(claim.state);
      if (found !== this.size) {
        this.#see(claim.state);
        throw continuedElsewhere(found);
      }
      return await task(claim);
    } finally {
      await claim.release();
    }
  }

  async #receive(source: Readable, maxBytes: number | undefined, parts: UploadParts, claim: HeldClaim): Promise<void> {
    const onBytes = (bytes: number): void => {
      this.#arrivedBytes += bytes;
      claim.noteProgress();
    };
    const signal = AbortSignal.any([this.#closing.signal, claim.lost]);
    try {
      await writeInBatches(source, (chunks) => parts.take(chunks), { batchBytes, maxBytes, signal, onBytes });
    } finally {
      this.#arrivedBytes = 0;
    }
  }

  #see(bytes: StagedBytes | undefined): void {
    if (bytes?.digest !== this.#bytes?.digest || bytes?.digest === undefined) this.#hash = undefined;
    this.#bytes = bytes;
  }

  #keep(bytes: StagedBytes, hash: RunningDigest | undefined): void {
    this.#bytes = bytes;
    this.#hash = hash;
  }

  /** Returns the hash to continue; `undefined` if it could only be computed from the bytes: the commit reads them. */
  async #hashOf(claim: StagedBytes, isResumable: boolean): Promise<RunningDigest | undefined> {
    if (sizeOf(claim) === 0) return isResumable ? startResumable(this.#algorithm) : startNative(this.#algorithm);
    if (this.#hash !== undefined && claim.digest !== undefined && this.#hash.digest() === claim.digest)
      return this.#hash;
    return claim.hash === undefined ? undefined : resume(claim.hash);
  }

  /** Returns to an earlier point, whose objects are still there. */
  async #return({ bytes, goBack }: Point, claim: HeldClaim, nextPart: number): Promise<void> {
    const { newKey, retireAt } = this.#context;
    // A multipart upload that the point does not have ends; the next one gets another key.
    const isOther = bytes.uploadId === undefined;
    const restored = { ...bytes, formerTail: undefined, ...(isOther ? { key: newKey() } : { nextPart }) };
    await claim.save(restored, { until: retireAt(), isLast: true });
    goBack?.();
    this.#bytes = restored;
    if (goBack === undefined) this.#hash = undefined;
  }

  /** Replaces all bytes. */
  async #replace(claim: HeldClaim, bytes: Buffer): Promise<void> {
    const { newKey, now, retireAt } = this.#context;
    const empty = { key: newKey(), parts: [], modifiedAt: now() };
    await claim.rebase(empty, retireAt());
    const hash = startNative(this.#algorithm);
    const parts = new UploadParts(this.#context, claim, hash);
    try {
      await parts.take([bytes]);
      this.#keep(await parts.finish(), hash);
    } finally {
      parts.release();
    }
    this.#before = undefined;
  }

  /** Returns the object with all bytes. A repeated call after a failure returns the same one. */
  async #assemble(claim: HeldClaim, digest: Digest | undefined): Promise<ObjectPlace> {
    const { bucket, ledger, newKey, now, retireAt, reservedUntil } = this.#context;
    const { id: _id, epoch: _epoch, ...bytes } = claim.state;
    const { key, uploadId, tail } = bytes;
    const storedAt = now();
    if (uploadId !== undefined && bytes.parts.length > 0) {
      const joined = bytes.received === undefined ? await joinParts(bucket, uploadId, bytes) : undefined;
      if (joined !== undefined) return { key, ...joined, storedAt };
      const copy = await copyParts(this.#context, claim, uploadId, bytes);
      // A repeated commit finds the copy: from now on, the upload has no parts.
      const none = { uploadId: undefined, parts: [], received: undefined };
      await claim.rebase({ ...bytes, ...none, key: newKey(), tail: copy }, retireAt());
      return { ...copy, storedAt };
    }
    if (tail !== undefined) return { ...tail, storedAt };
    const empty = newKey();
    await ledger.reserve({ key: empty }, reservedUntil());
    return { key: empty, ...(await bucket.put(empty, Buffer.alloc(0), digest)), storedAt };
  }

  #leave(): void {
    this.#isGone = true;
    this.#context.gone(this);
  }

  #enqueue<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.#tail.then(task);
    this.#tail = mine.catch(() => undefined);
    return mine;
  }

  async #exclusive<T>(task: () => Promise<T>): Promise<T> {
    this.#waiting++;
    try {
      return await this.#enqueue(() => {
        if (this.#isGone) throw new Error('the staged bytes are gone');
        this.#closing.signal.throwIfAborted();
        return task();
      });
    } catch (error) {
      throw error instanceof S3Error || error instanceof ConflictError ? toUnavailable(error) : toStorageError(error);
    } finally {
      this.#waiting--;
    }
  }
}

function continuedElsewhere(size: number): RegistryError {
  const message = `another request continued the upload, which has ${size} bytes now: ask for its status`;
  return new RegistryError('RANGE_INVALID', { message, detail: { expectedStart: size } });
}
