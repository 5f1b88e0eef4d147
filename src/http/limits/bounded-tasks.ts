import { RegistryError } from '../../protocol/errors.js';

/** Runs so many tasks at a time, and no more: whoever comes then is told to come again. */
export class BoundedTasks {
  readonly #max: number;
  #running = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** @throws RegistryError TOOMANYREQUESTS with `Retry-After`. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#max) {
      const message = `${this.#max} of these are running already: try again later`;
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
