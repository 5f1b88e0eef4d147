import type { StagedBytes, UploadedPart } from '../../../ports/metadata/object-ledger.js';
import { maxUnsavedParts, nextPartOf } from '../../staged-bytes.js';
import type { HeldClaim } from './held-claim.js';
import type { HashPoint } from './pending-bytes.js';

/** The number of parts after which an append saves its state: 64 MiB with parts of the usual size. */
const savedParts = 8;
/** The time after which it saves its state too, with the next part. */
const savedMs = 10_000;

/** The dependencies of `PartSaves`. */
export interface SavesContext {
  readonly now: () => number;
  /** When to delete an object that is no longer named. */
  readonly retireAt: () => number;
}

/**
 * Saves the state of a running append, so that a process that ends loses only the last parts. A save names the parts up to the
 * first one that is still being sent. The tail from before the append stays, because the append may return to it.
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
   * Resolves when a part may be sent: a process that takes the upload over skips a limited number of part numbers.
   * @param sending the parts that are being sent; one of them may hold back the next save
   */
  async allow(number: number, sending: ReadonlySet<Promise<void>>): Promise<void> {
    while (number - this.#nextNumber >= maxUnsavedParts - 1) {
      if (this.#saving !== undefined) await this.#saving;
      else if (this.#points.size > 0 && sending.size > 0) await Promise.race(sending);
      else break;
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Notes the state of the hash after a part. */
  mark(number: number, point: HashPoint): void {
    this.#points.set(number, point);
  }

  /** Saves the parts in the background when it is time. @param parts all parts in the bucket, by number */
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
