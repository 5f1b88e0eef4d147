import type { StagedBytes, UploadedPart } from '../../../ports/metadata/object-ledger.js';
import { maxUnsavedParts, nextPartOf } from '../../staged-bytes.js';
import type { HeldClaim } from './held-claim.js';
import type { HashPoint } from './pending-bytes.js';

/** After so many parts, an append saves what the bucket has: 64 MiB of usual parts. */
const savedParts = 8;
/** After this time too, with the next part. */
const savedMs = 10_000;

/** What saving needs. */
export interface SavesContext {
  readonly now: () => number;
  /** When an object that is no longer named is deleted. */
  readonly retireAt: () => number;
}

/**
 * Saves of an append that runs, so that a process that ends loses only the last parts. A save names the parts up to the first
 * that is still on its way. The tail from before the append stays, because the append may return to it.
 */
export class PartSaves {
  readonly #context: SavesContext;
  readonly #claim: HeldClaim;
  /** The hash after each part that is not saved yet. */
  readonly #points = new Map<number, HashPoint>();
  readonly #firstNumber: number;
  /** The first part after the last save. */
  #nextNumber: number;
  #savedAt = performance.now();
  #saving: Promise<void> | undefined;
  #failure: unknown;

  constructor(context: SavesContext, claim: HeldClaim) {
    this.#context = context;
    this.#claim = claim;
    this.#firstNumber = nextPartOf(claim.state);
    this.#nextNumber = this.#firstNumber;
  }

  /**
   * Resolves when a part may be sent: a process that takes the upload over skips only so many numbers.
   * @param sending the parts on their way, of which one may hold back the next save
   */
  async allow(number: number, sending: ReadonlySet<Promise<void>>): Promise<void> {
    while (number - this.#nextNumber >= maxUnsavedParts - 1) {
      if (this.#saving !== undefined) await this.#saving;
      else if (this.#points.size > 0 && sending.size > 0) await Promise.race(sending);
      else break;
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Notes what is known of the hash after a part. */
  mark(number: number, point: HashPoint): void {
    this.#points.set(number, point);
  }

  /** Saves the parts in the background when it is time. @param parts all that the bucket has, by number */
  offer(parts: readonly UploadedPart[], uploadId: string): void {
    if (this.#saving !== undefined) return;
    const count = this.#completeCount(parts);
    const last = parts[count - 1];
    const point = last && this.#points.get(last.number);
    if (last === undefined || point === undefined) return;
    const isDue = last.number - this.#nextNumber >= savedParts - 1 || performance.now() - this.#savedAt >= savedMs;
    if (!isDue) return;
    const { key, tail } = this.#claim.state;
    const { now, retireAt } = this.#context;
    const bytes: StagedBytes = {
      key,
      uploadId,
      parts: parts.slice(0, count),
      formerTail: tail,
      modifiedAt: now(),
      ...point,
    };
    this.#saving = this.#claim
      .save(bytes, { until: retireAt() })
      .then(() => this.#note(last.number))
      .catch((error: unknown) => void (this.#failure = error))
      .finally(() => (this.#saving = undefined));
  }

  /** Resolves when no save runs. @throws the error of a save that failed */
  async settle(): Promise<void> {
    await this.#saving;
    if (this.#failure !== undefined) throw this.#failure;
  }

  #note(number: number): void {
    this.#savedAt = performance.now();
    this.#nextNumber = number + 1;
    for (const known of this.#points.keys()) if (known <= number) this.#points.delete(known);
  }

  /** Returns how many parts have no gap before them: those before this append, and the first ones of it. */
  #completeCount(parts: readonly UploadedPart[]): number {
    let expected = this.#firstNumber;
    const gap = parts.findIndex(({ number }) => number >= this.#firstNumber && number !== expected++);
    return gap === -1 ? parts.length : gap;
  }
}
