import { RegistryError } from '../../protocol/errors.js';
import type { RefusalReason } from '../../protocol/refusal-reasons.js';
import { CustomerCounts } from '../../util/scheduling/customer-counts.js';

/** Limits the number of tasks that run at once. One client may run at most half of them. */
export class BoundedTasks {
  readonly #max: number;
  readonly #refusal: RefusalReason;
  readonly #clients: CustomerCounts;
  #running = 0;

  /** @param refusal the name of the tasks in messages and events. */
  constructor(max: number, refusal: RefusalReason) {
    this.#max = max;
    this.#refusal = refusal;
    this.#clients = new CustomerCounts(max / 2);
  }

  /** Runs the task. @throws RegistryError TOOMANYREQUESTS with `Retry-After` when too many are running. */
  async run<T>(address: string, task: () => Promise<T>): Promise<T> {
    const leave = this.#running < this.#max ? this.#clients.enter(address) : undefined;
    if (leave === undefined) {
      const message = `at most ${this.#max} ${this.#refusal} run at once, ${this.#max / 2} per client: try again later`;
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
