import { customerOf } from '../addresses.js';

/**
 * The number of customers that are remembered. Until then, those without a use are too: V8 makes a Map smaller each time the
 * last entry leaves, which would be at the end of most requests.
 */
const maxRemembered = 1000;

/** Counts concurrent uses per customer, up to a limit. */
export class CustomerCounts {
  readonly #max: () => number;
  readonly #counts = new Map<string, number>();

  /** @param max the limit, or a function that returns the current one. */
  constructor(max: number | (() => number)) {
    this.#max = typeof max === 'number' ? () => max : max;
  }

  /**
   * Counts `amount` more and returns a function that ends it, or `undefined` when the customer of the address would
   * exceed the limit.
   */
  enter(address: string, amount = 1): (() => void) | undefined {
    const customer = customerOf(address);
    const count = this.#counts.get(customer) ?? 0;
    if (count + amount > this.#max()) return undefined;
    this.#counts.set(customer, count + amount);
    return () => this.#leave(customer, amount);
  }

  #leave(customer: string, amount: number): void {
    const count = (this.#counts.get(customer) ?? 0) - amount;
    if (count > 0 || this.#counts.size <= maxRemembered) this.#counts.set(customer, count);
    else this.#counts.delete(customer);
  }
}
