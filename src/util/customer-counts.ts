import { customerOf } from './addresses.js';

/** Counts concurrent uses per customer, up to a limit. */
export class CustomerCounts {
  readonly #max: number;
  readonly #counts = new Map<string, number>();

  constructor(max: number) {
    this.#max = max;
  }

  /**
   * Counts one more use and returns a function that ends it, or `undefined` when the customer of the address has
   * reached the limit.
   */
  enter(address: string): (() => void) | undefined {
    const customer = customerOf(address);
    const count = this.#counts.get(customer) ?? 0;
    if (count >= this.#max) return undefined;
    this.#counts.set(customer, count + 1);
    return () => this.#leave(customer);
  }

  #leave(customer: string): void {
    const count = this.#counts.get(customer) ?? 0;
    if (count > 1) this.#counts.set(customer, count - 1);
    else this.#counts.delete(customer);
  }
}
