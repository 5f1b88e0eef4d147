import { setTimeout as sleep } from 'node:timers/promises';
import type { CoreSource } from '../http/core.js';
import { describeFailure, isInUse } from './failure-reason.js';
import { healthTimeoutMs, withTimeout } from './health-check.js';
import type { OpenRegistry } from './open-registry.js';
import type { Condition, Runtime } from '../ports/runtime.js';
import { RegistryError } from '../protocol/errors.js';
import { Closers } from '../util/closers.js';
import { messagesOf } from '../util/plain-log.js';

/** How long `close` waits for requests that still unwind. */
const closePatienceMs = 5000;
/** Doubled with each failed attempt to open. */
const firstDelayMs = 500;
const maxDelayMs = 30_000;
/** A rolling restart waits for the other process, and an attempt costs next to nothing until that one has closed. */
const maxDelayInUseMs = 2000;

export interface LifeParts {
  /** Makes one attempt. A failed one has closed what it had opened. */
  open(): Promise<OpenRegistry>;
  /** Closes the stores that the host gave, which outlive a failed attempt. */
  closeGivenStores(): Promise<void>;
  readonly runtime: Runtime;
}

/** From opening, which is retried until it succeeds, to closing: what requests wait for, and what waits for them. */
export class RegistryLife implements CoreSource {
  readonly #parts: LifeParts;
  readonly #inFlight = new Set<Promise<void>>();
  /** The attempt in progress, else the last one. */
  #attempt: Promise<OpenRegistry>;
  #opened: OpenRegistry | undefined;
  #failures = 0;
  #reported: string | undefined;
  #delayMs = 0;
  #retry: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: LifeParts) {
    this.#parts = parts;
    this.#attempt = this.#open();
  }

  get opened(): OpenRegistry | undefined {
    return this.#closing === undefined ? this.#opened : undefined;
  }

  /** For those who know that it is open. */
  get parts(): OpenRegistry {
    if (this.#opened !== undefined) return this.#opened;
    throw new Error('the registry is not ready: await registry.ready() first');
  }

  /** Waits for the attempt in progress. @throws the failure of the last attempt, as it is. */
  async whenOpened(): Promise<void> {
    this.#refuseClosed();
    await this.#attempt;
  }

  /** The same for requests. @throws RegistryError UNAVAILABLE, which says why without naming a path. */
  async ready(): Promise<OpenRegistry> {
    this.#refuseClosed();
    try {
      return await this.#attempt;
    } catch (cause) {
      throw new RegistryError('UNAVAILABLE', {
        message: `the registry could not be opened: ${describeFailure(cause)}`,
        headers: { 'Retry-After': String(Math.ceil(this.#delayMs / 1000)) },
        cause,
      });
    }
  }

  /** Waits for the attempt in progress, for some seconds at most. Never rejects. */
  async health(): Promise<Condition> {
    if (this.opened !== undefined) return this.opened.health.report();
    const opening = this.ready().then(
      ({ health }) => health.report(),
      (error: unknown): Condition => ({ status: 'unavailable', reason: describeFailure(error) }),
    );
    return withTimeout(opening, healthTimeoutMs, { status: 'unavailable', reason: 'the registry is still opening' });
  }

  track(answered: Promise<void>): void {
    this.#inFlight.add(answered);
    const done = (): void => void this.#inFlight.delete(answered);
    answered.then(done, done);
  }

  /** Closes once, however often it is called. @throws AggregateError when steps failed; all of them ran. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#retry);
    const registry = await this.#attempt.catch(() => undefined);
    await Promise.race([Promise.allSettled(this.#inFlight), sleep(closePatienceMs, undefined, { ref: false })]);
    const closers = new Closers();
    closers.add('stores', () => this.#parts.closeGivenStores());
    closers.add('registry', () => registry?.close());
    await closers.close();
  }

  #open(): Promise<OpenRegistry> {
    const attempt = this.#parts.open();
    attempt.then(
      (opened) => this.#succeeded(opened),
      (cause: unknown) => this.#failed(cause),
    );
    return attempt;
  }

  #succeeded(opened: OpenRegistry): void {
    this.#opened = opened;
    const failures = this.#failures;
    // A warning, so that whoever was warned of the failure sees its end.
    if (failures > 0) this.#parts.runtime.log.warn({ failures }, 'registry opened after failed attempts');
  }

  #failed(cause: unknown): void {
    const max = isInUse(cause) ? maxDelayInUseMs : maxDelayMs;
    this.#delayMs = Math.min(firstDelayMs * 2 ** this.#failures, max);
    this.#failures += 1;
    const reason = messagesOf(cause);
    if (reason !== this.#reported) {
      const fields = { err: cause, retryInSeconds: this.#delayMs / 1000 };
      this.#parts.runtime.log.error(fields, 'the registry could not be opened');
    }
    this.#reported = reason;
    if (this.#closing !== undefined) return;
    this.#retry = setTimeout(() => void (this.#attempt = this.#open()), this.#delayMs).unref();
  }

  #refuseClosed(): void {
    if (this.#closing !== undefined) throw new RegistryError('UNAVAILABLE', { message: 'the registry is closed' });
  }
}
