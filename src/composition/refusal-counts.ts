import type { RefusalCounts } from '../ports/runtime.js';
import { refusalReasons, type RefusalReason } from '../protocol/refusal-reasons.js';

/** Counts the clients that were refused, by reason. */
export class RefusalCounter {
  readonly #counts = Object.fromEntries(refusalReasons.map((reason) => [reason, 0])) as Record<RefusalReason, number>;

  count(reason: RefusalReason): void {
    this.#counts[reason] += 1;
  }

  read(): RefusalCounts {
    return { ...this.#counts };
  }
}
