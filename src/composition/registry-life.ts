import { setTimeout as sleep } from 'node:timers/promises';
import type { CoreSource } from '../http/core.js';
import { publicReasonOf, isInUse } from './failure-reason.js';
import { healthTimeoutMs, withTimeout } from './health-check.js';
import type { OpenRegistry } from './open-parts.js';
import type { ResolvedOptions } from '../options/options-schema.js';
import type { Condition, RunningRequest, Runtime } from '../ports/runtime.js';
import { RegistryError } from '../protocol/errors.js';
import { Closers } from '../util/closers.js';
import { messagesOf } from '../util/plain-log.js';
import { Bag } from '../util/scheduling/bag.js';
import { KeyedMutex } from '../util/scheduling/concurrency.js';

/** How long `close` waits for requests in flight. */
const closeTimeoutMs = 5000;
/** The delay before the first retry. It doubles with each failed attempt. */
const firstDelayMs = 500;
const maxDelayMs = 30_000;
/**
 * The maximum while another process has the folder open, as in a rolling restart. An attempt costs very little then.
 */
const maxDelayInUseMs = 2000;

/** What `close` waits for. */
interface InFlight {
  readonly answered: Promise<void>;
  readonly request: RunningRequest | undefined;
}

/** The steps with which a registry opens and closes. */
export interface LifeParts {
  /** Makes one attempt. A failed attempt closes what it opened. */
  open(): Promise<OpenRegistry>;
  /** Closes stores that the host passed in, which outlive failed attempts. */
  closeGivenStores(): Promise<void>;
  readonly runtime: Runtime;
}

/** The steps of the caller during a `reload`. */
export interface ReloadSteps {
  /** Called when no other reload runs. Returns whether anything changes. @throws the error that prevents the change. */
  readonly isNeeded: () => boolean;
  /** Called in the same turn of the event loop as the change. */
  readonly onChanged: () => void;
}

/**
 * Opens a registry, with retries until it succeeds, and closes it. Requests wait for it to open, and `close` waits for
 * them.
 */
export class RegistryLife implements CoreSource {
  readonly #parts: LifeParts;
  readonly #inFlight = new Bag<InFlight>();
  /** Reloads take turns. */
  readonly #reloads = new KeyedMutex();
  /** The attempt in progress, or the last one. */
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

  /** The parts of the open registry. @throws Error if it is not open. */
  get parts(): OpenRegistry {
    if (this.#opened !== undefined) return this.#opened;
    throw new Error('the registry is not ready: await registry.ready() first');
  }

  /** Waits for the attempt in progress. @throws the original error of the last attempt. */
  async whenOpened(): Promise<void> {
    this.#refuseClosed();
    await this.#attempt;
  }

  /** Does the same for requests. @throws RegistryError UNAVAILABLE with the reason, but without paths. */
  async ready(): Promise<OpenRegistry> {
    this.#refuseClosed();
    try {
      return await this.#attempt;
    } catch (cause) {
      throw new RegistryError('UNAVAILABLE', {
        message: `the registry could not be opened: ${publicReasonOf(cause)}`,
        headers: { 'Retry-After': String(Math.ceil(this.#delayMs / 1000)) },
        cause,
      });
    }
  }

  /** Returns the health. Waits for the attempt in progress for at most 3 s, and never rejects. */
  async health(): Promise<Condition> {
    if (this.opened !== undefined) return this.opened.health.report();
    const opening = this.ready().then(
      ({ health }) => health.report(),
      (error: unknown): Condition => ({ status: 'unavailable', reason: publicReasonOf(error) }),
    );
    return withTimeout(opening, healthTimeoutMs, { status: 'unavailable', reason: 'the registry is still opening' });
  }

  /**
   * Applies other options to the open registry, all or nothing. Requests that began before finish with the previous ones.
   * @throws RegistryError UNAVAILABLE if the registry is not open; any error that prevents the change.
   */
  reload(options: ResolvedOptions, steps: ReloadSteps): Promise<void> {
    const reloading = this.#reloads.run('', () => this.#reload(options, steps));
    // `close` waits for it.
    this.track(reloading);
    return reloading;
  }

  async #reload(options: ResolvedOptions, { isNeeded, onChanged }: ReloadSteps): Promise<void> {
    const opened = await this.ready();
    if (!isNeeded()) return;
    await opened.adopt(options, {
      commit: (parts) => {
        this.#opened = parts;
        this.#attempt = Promise.resolve(parts);
        onChanged();
      },
      settled: () => this.#settled(),
    });
  }

  /** Returns the requests in progress. */
  running(): RunningRequest[] {
    return [...this.#inFlight].map(({ request }) => request).filter((request) => request !== undefined);
  }

  track(answered: Promise<void>, request?: RunningRequest): void {
    const done = this.#inFlight.add({ answered, request });
    answered.then(done, done);
  }

  /**
   * Closes the registry. Further calls return the same promise.
   * @throws AggregateError if steps failed; all of them ran.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#retry);
    const registry = await this.#attempt.catch(() => undefined);
    await Promise.race([this.#settled(), sleep(closeTimeoutMs, undefined, { ref: false })]);
    const closers = new Closers();
    closers.add('stores', () => this.#parts.closeGivenStores());
    closers.add('registry', () => registry?.close());
    await closers.close();
  }

  /** Resolves when everything that is in flight now has settled. */
  #settled(): Promise<unknown> {
    return Promise.allSettled([...this.#inFlight].map(({ answered }) => answered));
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
    // A warning, so that an operator who saw the failure at this level also sees its end.
    if (failures > 0) this.#parts.runtime.log.warn({ failures }, 'registry opened after failed attempts');
  }

  #failed(cause: unknown): void {
    const max = isInUse(cause) ? maxDelayInUseMs : maxDelayMs;
    this.#delayMs = Math.min(firstDelayMs * 2 ** this.#failures, max);
    this.#failures += 1;
    const reason = messagesOf(cause);
    if (reason !== this.#reported) {
      const fields = { err: cause, retryInSeconds: this.#delayMs / 1000 };
      this.#parts.runtime.log.error(fields, 'registry open failed');
    }
    this.#reported = reason;
    if (this.#closing !== undefined) return;
    this.#retry = setTimeout(() => void (this.#attempt = this.#open()), this.#delayMs).unref();
  }

  #refuseClosed(): void {
    if (this.#closing !== undefined) throw new RegistryError('UNAVAILABLE', { message: 'the registry is closed' });
  }
}
