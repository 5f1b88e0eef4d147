import type { StagedBytes } from '../../../ports/metadata/object-ledger.js';
import type { RunningDigest } from './running-digest.js';

/** The memory that all uploads together use for bytes that are not sent yet. */
export interface UploadBudget {
  readonly maxBytes: number;
  usedBytes: number;
}

/** The state of the hash after some bytes of an upload. */
export type HashPoint = Pick<StagedBytes, 'digest' | 'hash'>;

/** Bytes of an upload that were received and not sent yet. Hashes them as they arrive, but never beyond the end of a part. */
export class PendingBytes {
  readonly #budget: UploadBudget;
  readonly #hash: RunningDigest | undefined;
  #chunks: Buffer[] = [];
  #unhashed: Buffer[] = [];
  #size = 0;
  #hashedSize = 0;
  /** Pending, or being sent. */
  #heldBytes = 0;

  /** @param hash of all bytes before the first call of `add`; `undefined` when it is not known. */
  constructor(budget: UploadBudget, hash: RunningDigest | undefined) {
    this.#budget = budget;
    this.#hash = hash;
  }

  get size(): number {
    return this.#size;
  }

  /** Whether uploads use more memory than they should. */
  get isPressed(): boolean {
    return this.#budget.usedBytes > this.#budget.maxBytes;
  }

  add(chunk: Buffer): void {
    this.#hold(chunk);
    this.#unhashed.push(chunk);
  }

  /** Adds bytes that the hash already covers, before all others. */
  addHashed(bytes: Buffer): void {
    this.#hold(bytes);
    this.#hashedSize += bytes.length;
  }

  /** Hashes the pending bytes up to an offset. */
  hashTo(end: number): void {
    while (this.#hashedSize < end) {
      const chunk = this.#unhashed.shift();
      if (chunk === undefined) return;
      const now = chunk.subarray(0, end - this.#hashedSize);
      this.#hash?.update(now);
      this.#hashedSize += now.length;
      if (now.length < chunk.length) this.#unhashed.unshift(chunk.subarray(now.length));
    }
  }

  /**
   * Takes the first bytes. They count as used memory until `giveBack`. The point is the state of the hash after these
   * bytes; it is absent if the hash is already further.
   */
  cut(size: number): { readonly bytes: Buffer; readonly point: HashPoint | undefined } {
    this.hashTo(size);
    const point = this.#hashedSize === size ? { digest: this.#hash?.digest(), hash: this.#hash?.save() } : undefined;
    const all = Buffer.concat(this.#chunks, this.#size);
    const rest = all.subarray(size);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#size = rest.length;
    this.#hashedSize -= size;
    return { bytes: all.subarray(0, size), point };
  }

  /** Gives back the memory of bytes that were sent. */
  giveBack(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#budget.usedBytes -= bytes;
  }

  /** Drops the pending bytes and gives back all memory. */
  release(): void {
    this.giveBack(this.#heldBytes);
    this.#chunks = [];
    this.#unhashed = [];
    this.#size = 0;
  }

  #hold(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    this.#heldBytes += chunk.length;
    this.#budget.usedBytes += chunk.length;
  }
}
