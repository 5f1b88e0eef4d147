import type { StagedBytes, StagedTail, UploadedPart } from '../../../ports/metadata/object-ledger.js';
import { RegistryError } from '../../../protocol/errors.js';
import type { S3Bucket } from '../client/s3-bucket.js';
import { nextPartOf } from '../../staged-bytes.js';
import type { ClaimContext, HeldClaim } from './held-claim.js';
import { readTail } from './join-parts.js';
import { PartSaves } from './part-saves.js';
import { PendingBytes, type HashPoint, type UploadBudget } from './pending-bytes.js';
import type { RunningDigest } from './running-digest.js';

const mebibyte = 1024 * 1024;
/** The minimum size of a part, except the last one. */
export const minPartBytes = 5 * mebibyte;
const partBytes = 8 * mebibyte;
/** From this part on, parts are larger: an upload can have at most 10,000. */
const firstLargePart = 1000;
const largePartBytes = 32 * mebibyte;
const maxParts = 10_000;
const maxInFlight = 2;

/** The dependencies of `UploadParts`. */
export interface PartsContext extends ClaimContext {
  readonly bucket: S3Bucket;
  readonly budget: UploadBudget;
  /** When to delete an object that is no longer named. */
  readonly retireAt: () => number;
  /** When to delete an object that is never named. */
  readonly reservedUntil: () => number;
}

/**
 * Sends the bytes of one append: as parts of a multipart upload, and the rest as an object of its own, the tail, which the next
 * append continues. An upload without parts consists of its tail, so small content is one object from the start.
 */
export class UploadParts {
  readonly #context: PartsContext;
  readonly #claim: HeldClaim;
  readonly #pending: PendingBytes;
  readonly #saves: PartSaves;
  readonly #parts: UploadedPart[];
  readonly #hadTail: boolean;
  readonly #sending = new Set<Promise<void>>();
  #tail: StagedTail | undefined;
  #uploadId: string | undefined;
  #nextNumber: number;
  #isChanged = false;
  #failure: unknown;

  constructor(context: PartsContext, claim: HeldClaim, hash: RunningDigest | undefined) {
    const { parts, tail, uploadId } = claim.state;
    this.#context = context;
    this.#claim = claim;
    this.#pending = new PendingBytes(context.budget, hash);
    this.#saves = new PartSaves(context, claim);
    this.#parts = [...parts];
    this.#tail = tail;
    this.#hadTail = tail !== undefined;
    this.#uploadId = uploadId;
    this.#nextNumber = nextPartOf(claim.state);
  }

  /** Whether bytes could not be sent: then the bytes of this append are lost. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** The lowest unused part number. */
  get nextPart(): number {
    return this.#nextNumber;
  }

  /** Accepts bytes. Resolves when it can accept more. @throws RegistryError UNAVAILABLE; SIZE_INVALID with status 413 */
  async take(chunks: readonly Buffer[]): Promise<void> {
    await this.#guard(async () => {
      this.#claim.lost.throwIfAborted();
      await this.#loadTail();
      this.#isChanged = true;
      for (const chunk of chunks) this.#pending.add(chunk);
      this.#pending.hashTo(this.#partBytes);
      for (let size = this.#cutAt(); size !== undefined; size = this.#cutAt()) await this.#send(size);
    });
  }

  /** Sends the rest, records the bytes of the upload, and ends the claim. */
  finish(): Promise<StagedBytes> {
    return this.#guard(async () => {
      this.#claim.lost.throwIfAborted();
      if (!this.#isChanged) return this.#save(this.#claim.state);
      const isPart = this.#uploadId !== undefined || this.#hadTail;
      if (isPart && this.#pending.size >= minPartBytes) await this.#send(this.#pending.size);
      await Promise.all(this.#sending);
      await this.#saves.settle();
      if (this.#failure !== undefined) throw this.#failure;
      const { bytes, point } = this.#pending.cut(this.#pending.size);
      const { digest } = point ?? {};
      if (bytes.length > 0) {
        const key = await this.#reserve();
        // The digest of an upload without parts is the digest of its tail.
        const known = this.#parts.length === 0 ? digest : undefined;
        this.#tail = { key, ...(await this.#context.bucket.put(key, bytes, known)) };
      }
      return this.#save(point);
    });
  }

  /** Gives back the memory. Call it in any case. */
  release(): void {
    this.#pending.release();
  }

  async #guard<T>(task: () => Promise<T>): Promise<T> {
    try {
      return await task();
    } catch (error) {
      this.#failure ??= error;
      await Promise.allSettled([...this.#sending, this.#saves.settle()]);
      throw error;
    }
  }

  /** Adds the bytes of the tail before new ones. */
  async #loadTail(): Promise<void> {
    if (this.#tail === undefined) return;
    this.#pending.addHashed(await readTail(this.#context.bucket, this.#tail));
    this.#tail = undefined;
  }

  get #partBytes(): number {
    return this.#nextNumber >= firstLargePart ? largePartBytes : partBytes;
  }

  /**
   * Returns the size of the part to send now. Keeps enough bytes for a last part that the service accepts, unless memory is
   * short.
   */
  #cutAt(): number | undefined {
    const { size, isPressed } = this.#pending;
    if (isPressed) return size >= minPartBytes ? size : undefined;
    return size >= this.#partBytes + minPartBytes ? this.#partBytes : undefined;
  }

  /** Starts to send a part. Resolves when another one may start. */
  async #send(size: number): Promise<void> {
    const { bucket } = this.#context;
    const number = this.#nextNumber;
    if (number > maxParts) {
      throw new RegistryError('SIZE_INVALID', { status: 413, message: `the upload has more than ${maxParts} parts` });
    }
    const uploadId = (this.#uploadId ??= await this.#startUpload());
    await this.#saves.allow(number, this.#sending);
    this.#nextNumber++;
    const { bytes, point } = this.#pending.cut(size);
    if (point !== undefined) this.#saves.mark(number, point);
    const sending = bucket
      .uploadPart(this.#claim.state.key, uploadId, number, bytes)
      .then((part) => this.#add(part, uploadId))
      .catch((error: unknown) => void (this.#failure ??= error))
      .finally(() => {
        this.#pending.giveBack(bytes.length);
        this.#sending.delete(sending);
      });
    this.#sending.add(sending);
    while (this.#sending.size > (this.#pending.isPressed ? 0 : maxInFlight)) await Promise.race(this.#sending);
    if (this.#failure !== undefined) throw this.#failure;
  }

  #add(part: UploadedPart, uploadId: string): void {
    this.#parts.push(part);
    this.#parts.sort((a, b) => a.number - b.number);
    this.#saves.offer(this.#parts, uploadId);
  }

  /** Records the upload before its first part, so that a process that ends does not leave an unknown upload. */
  async #startUpload(): Promise<string> {
    const { bucket, retireAt } = this.#context;
    const { id: _id, epoch: _epoch, ...bytes } = this.#claim.state;
    const uploadId = await bucket.startUpload(bytes.key);
    try {
      await this.#claim.save({ ...bytes, uploadId }, { until: retireAt() });
    } catch (error) {
      await bucket.abortUpload(bytes.key, uploadId).catch(() => undefined);
      throw error;
    }
    return uploadId;
  }

  async #reserve(): Promise<string> {
    const key = this.#context.newKey();
    await this.#context.ledger.reserve({ key }, this.#context.reservedUntil());
    return key;
  }

  async #save(point: HashPoint | undefined): Promise<StagedBytes> {
    const { now, retireAt } = this.#context;
    const bytes: StagedBytes = {
      key: this.#claim.state.key,
      uploadId: this.#uploadId,
      parts: this.#parts,
      nextPart: this.#nextNumber,
      tail: this.#tail,
      modifiedAt: now(),
      ...point,
    };
    await this.#claim.save(bytes, { until: retireAt(), isLast: true });
    return bytes;
  }
}
