import { publicReasonOf } from './failure-reason.js';
import type { BlobsHealth, ComponentHealth, Condition, IndexHealth, Runtime } from '../ports/runtime.js';
import type { BlobStore } from '../ports/bytes.js';
import type { MetadataStore } from '../ports/metadata/metadata.js';
import { RegistryError } from '../protocol/errors.js';

/** How long a report is reused: anyone may request one, and it costs a durable write. */
const maxAgeMs = 1000;
/** Limits a check, so that a disk that hangs does not hang the probes. */
export const healthTimeoutMs = 3000;

/** The stores to check, and the clock and log of the registry. */
export interface HealthParts {
  readonly metadata: MetadataStore;
  readonly blobs: BlobStore;
  readonly runtime: Runtime;
}

/** Checks whether the index and the blob store work. */
export class HealthCheck {
  readonly #parts: HealthParts;
  readonly #index: Probe<IndexHealth>;
  readonly #blobs: Probe<BlobsHealth>;
  #report: Promise<Condition> | undefined;
  #reusedUntil = 0;

  constructor(parts: HealthParts) {
    this.#parts = parts;
    this.#index = new Probe('index', () => this.#checkIndex(), parts.runtime);
    this.#blobs = new Probe('blobs', () => this.#checkBlobs(), parts.runtime);
  }

  /** Returns a report, and never rejects. Concurrent callers, and callers within a second, get the same report. */
  report(): Promise<Condition> {
    const { runtime } = this.#parts;
    if (this.#report !== undefined && runtime.now() < this.#reusedUntil) return this.#report;
    this.#reusedUntil = Infinity;
    this.#report = this.#check().finally(() => (this.#reusedUntil = runtime.now() + maxAgeMs));
    return this.#report;
  }

  async #check(): Promise<Condition> {
    const [index, blobs] = await Promise.all([this.#index.run(), this.#blobs.run()]);
    const { reopens, lastFailure } = this.#parts.metadata.status();
    const past = { reopens, ...(lastFailure === undefined ? {} : { lastFailureAt: lastFailure.at }) };
    const isAlive = index.status !== 'failed' && blobs.status !== 'failed';
    return { status: isAlive ? 'ok' : 'unavailable', components: { index: { ...index, ...past }, blobs } };
  }

  async #checkIndex(): Promise<IndexHealth> {
    const { metadata } = this.#parts;
    try {
      await metadata.check();
      return { status: 'ok' };
    } catch (error) {
      if (!isFull(error)) throw error;
      // If the index still answers reads, pulls work.
      await metadata.candidates(0, 1);
      return { status: 'degraded', reason: publicReasonOf(error) };
    }
  }

  async #checkBlobs(): Promise<BlobsHealth> {
    const { blobs } = this.#parts;
    await blobs.check();
    const space = await blobs.space?.();
    try {
      await blobs.ensureRoom(0);
      return { status: 'ok', ...space };
    } catch (error) {
      if (!isFull(error)) throw error;
      return { status: 'degraded', reason: publicReasonOf(error), ...space };
    }
  }
}

/** Checks one component: one check at a time, with a timeout. Logs changes of its state. */
class Probe<Health extends ComponentHealth> {
  readonly #name: string;
  readonly #check: () => Promise<Health>;
  readonly #runtime: Runtime;
  #running: { readonly outcome: Promise<Health | ComponentHealth>; readonly since: number } | undefined;
  #logged = '';

  constructor(name: string, check: () => Promise<Health>, runtime: Runtime) {
    this.#name = name;
    this.#check = check;
    this.#runtime = runtime;
  }

  /** Returns the state. Joins a running check, so a disk that hangs is not checked again until it answers. */
  async run(): Promise<Health | ComponentHealth> {
    this.#running ??= { outcome: this.#attempt(), since: this.#runtime.now() };
    const { outcome, since } = this.#running;
    const late: ComponentHealth = { status: 'failed', reason: `no answer within ${healthTimeoutMs / 1000} s` };
    const health = await withTimeout(outcome, since + healthTimeoutMs - this.#runtime.now(), late);
    this.#log(health, undefined);
    return health;
  }

  async #attempt(): Promise<Health | ComponentHealth> {
    try {
      return await this.#check();
    } catch (error) {
      const health: ComponentHealth = { status: 'failed', reason: publicReasonOf(error) };
      this.#log(health, error);
      return health;
    } finally {
      this.#running = undefined;
    }
  }

  #log({ status, reason = '' }: ComponentHealth, err: unknown): void {
    const state = status === 'ok' ? '' : `${status}: ${reason}`;
    if (state === this.#logged) return;
    this.#logged = state;
    const fields = {
      component: this.#name,
      ...(state === '' ? {} : { status, reason }),
      ...(err === undefined ? {} : { err }),
    };
    if (status === 'failed') this.#runtime.log.error(fields, 'health check failed');
    else this.#runtime.log.warn(fields, status === 'ok' ? 'health check passed again' : 'health check degraded');
  }
}

/** Resolves to the outcome, or to `late` if it takes longer than the timeout. */
export async function withTimeout<T>(outcome: Promise<T>, timeoutMs: number, late: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<T>((resolve) => {
    timer = setTimeout(() => resolve(late), Math.max(timeoutMs, 0));
  });
  try {
    return await Promise.race([outcome, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

function isFull(error: unknown): boolean {
  return error instanceof RegistryError && error.status === 507;
}
