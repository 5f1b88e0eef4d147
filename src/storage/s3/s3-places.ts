import { randomUUID } from 'node:crypto';
import type { BlobInfo } from '../../ports/bytes.js';
import type { ObjectLedger, ObjectPlace, StagedClaim } from '../../ports/metadata/object-ledger.js';
import type { Digest } from '../../protocol/digest.js';
import type { S3Bucket } from './client/s3-bucket.js';
import { uploadFile } from './uploads/file-upload.js';

/** How long the objects of an earlier state of an upload are kept: the domain may return to it. */
const retiredMs = 3_600_000;
/** The maximum time from the first byte of an object until it is named. */
const reservedMs = 24 * 3_600_000;

/** The dependencies of `S3Places`. */
export interface PlacesParts {
  readonly bucket: S3Bucket;
  readonly ledger: ObjectLedger;
  /** How long an object stays after its bytes were deleted or replaced. */
  readonly trashMs: number;
  readonly now: () => number;
}

/** Decides which object holds the bytes of a digest, and how long objects without a name are kept. */
export class S3Places {
  readonly #parts: PlacesParts;

  constructor(parts: PlacesParts) {
    this.#parts = parts;
  }

  /** Returns a new key, which no object has ever had. */
  newKey(): string {
    return `o/${randomUUID()}`;
  }

  /** Returns when to delete an object that was named until now. */
  trashAt(): number {
    return this.#parts.now() + this.#parts.trashMs;
  }

  /** Returns when to delete an object that an upload no longer needs. */
  retireAt(): number {
    return this.#parts.now() + retiredMs;
  }

  /** Returns when to delete an object that is about to be written, unless it is named by then. */
  reservedUntil(): number {
    return this.#parts.now() + reservedMs;
  }

  async stat(digest: Digest): Promise<BlobInfo | undefined> {
    const place = await this.#parts.ledger.place(digest);
    return place && infoOf(digest, place);
  }

  /** Records the object of a digest, durably, and ends the upload that it comes from. */
  async name(digest: Digest, place: ObjectPlace, staged?: StagedClaim): Promise<BlobInfo> {
    await this.#parts.ledger.putPlace(digest, place, { until: this.trashAt(), staged });
    return infoOf(digest, place);
  }

  /** Sends a file whose digest was verified, and records its object. */
  async publishFile(path: string, digest: Digest): Promise<BlobInfo> {
    const key = this.newKey();
    const parts = { ...this.#parts, reservedUntil: () => this.reservedUntil() };
    const head = await uploadFile(parts, key, path, digest);
    return this.name(digest, { key, ...head, storedAt: this.#parts.now() });
  }
}

/** Returns what the store reports about a blob. The key of its object is its version. */
export function infoOf(digest: Digest, { key, size, storedAt }: ObjectPlace): BlobInfo {
  return { digest, size, modifiedAt: storedAt, version: key };
}
