import { RegistryError } from '../../protocol/errors.js';
import type { RefusalReason } from '../../protocol/refusal-reasons.js';
import { CustomerCounts } from '../../util/customer-counts.js';

/** Runs a bounded number of tasks at once and refuses more. One client gets at most half of them. */
export class BoundedTasks {
  readonly #max: number;
  readonly #refusal: RefusalReason;
  readonly #clients: CustomerCounts;
  #running = 0;

  /** @param refusal names the tasks in messages and events. */
  constructor(max: number, refusal: RefusalReason) {
    this.#max = max;
    this.#refusal = refusal;
    this.#clients = new CustomerCounts(max / 2);
  }

  /** Runs the task. @throws RegistryError TOOMANYREQUESTS with `Retry-After` when too many are running. */
  async run<T>(address: string, task: () => Promise<T>): Promise<T> {
    const leave = this.#running < this.#max ? this.#clients.enter(address) : undefined;
    if (leave === undefined) {
      const message = `at most ${this.#max} ${this.#refusal} run at a time, ${this.#max / 2} of one client: try again later`;
      throw new RegistryError('TOOMANYREQUESTS', { message, headers: { 'Retry-After': '5' }, refusal: this.#refusal });
    }
    this.#running += 1;
    try {
      return await task();
    } finally {
      this.#running -= 1;
      leave();
    }
  }
}
