import { setTimeout } from 'node:timers/promises';
import type { CoreSource } from './http/handler.js';
import type { OpenRegistry } from './open-registry.js';
import type { Runtime } from './ports.js';
import { RegistryError } from './protocol/errors.js';

/** How long `close` waits for requests that still unwind. */
const closePatienceMs = 5000;

/** From opening to closing: what requests wait for, and what waits for them. */
export class RegistryLife implements CoreSource {
  readonly #opening: Promise<OpenRegistry>;
  readonly #inFlight = new Set<Promise<void>>();
  #opened: OpenRegistry | undefined;
  #closing: Promise<void> | undefined;

  constructor(opening: Promise<OpenRegistry>, runtime: Runtime) {
    this.#opening = opening;
    opening.then(
      (opened) => (this.#opened = opened),
      (cause: unknown) => runtime.log.error({ err: cause }, 'the registry could not be opened'),
    );
  }

  get opened(): OpenRegistry | undefined {
    return this.#closing === undefined ? this.#opened : undefined;
  }

  /** For those who know that it is open. */
  get parts(): OpenRegistry {
    if (this.#opened !== undefined) return this.#opened;
    throw new Error('the registry is not ready: await registry.ready() first');
  }

  async whenOpened(): Promise<void> {
    await this.#opening;
  }

  async ready(): Promise<OpenRegistry> {
    if (this.#closing !== undefined) throw new RegistryError('UNAVAILABLE', { message: 'the registry is closed' });
    try {
      return await this.#opening;
    } catch (cause) {
      throw new RegistryError('UNAVAILABLE', { message: 'the registry could not be opened: see its log', cause });
    }
  }

  track(answered: Promise<void>): void {
    this.#inFlight.add(answered);
    void answered.finally(() => this.#inFlight.delete(answered));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const registry = await this.#opening.catch(() => undefined);
    if (registry === undefined) return;
    await Promise.race([Promise.all(this.#inFlight), setTimeout(closePatienceMs, undefined, { ref: false })]);
    await registry.close();
  }
}
