import { RegistryError } from '../../protocol/errors.js';

/** Runs a bounded number of tasks at once and refuses more. */
export class BoundedTasks {
  readonly #max: number;
  #running = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Runs the task. @throws RegistryError TOOMANYREQUESTS with `Retry-After` when too many are running. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#max) {
      const message = `${this.#max} imports are running already: try again later`;
      throw new RegistryError('TOOMANYREQUESTS', { message, headers: { 'Retry-After': '5' }, refusal: 'imports' });
    }
    this.#running += 1;
    try {
      return await task();
    } finally {
      this.#running -= 1;
    }
  }
}
