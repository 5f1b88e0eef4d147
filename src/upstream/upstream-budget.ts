import { isRecent } from '../protocol/recent.js';
import { budgetOf, type AnswerHeaders } from '../protocol/upstream/answer-headers.js';

/** The unused part of an upstream's rate limit, as its answers report it. */
export class RateBudget {
  readonly #now: () => number;
  #last: { readonly left: number; readonly at: number; readonly windowMs: number } | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** The unused part of the limit, from 1 (all, or unknown) to 0. */
  get left(): number {
    const last = this.#last;
    return last !== undefined && isRecent(last.at, last.windowMs, this.#now()) ? last.left : 1;
  }

  /** Reads the headers of an answer. */
  note(headers: AnswerHeaders): void {
    const budget = budgetOf(headers);
    if (budget === undefined) return;
    this.#last = { left: budget.left, at: this.#now(), windowMs: budget.windowSeconds * 1000 };
  }
}
