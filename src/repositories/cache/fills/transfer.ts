import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StagedBlob } from '../../../ports/bytes.js';
import type { Upstream, UpstreamBlob, UpstreamResult } from '../../../ports/upstream.js';
import type { UpstreamReason } from '../../../protocol/upstream/verdict.js';
import type { Digest } from '../../../protocol/digest.js';
import { RegistryError } from '../../../protocol/errors.js';
import { SourceClosedError } from '../../../util/source-listener.js';

/** How often a transfer is tried again when nothing has come since the last time. */
const maxRetries = 5;
/** How often in all: an upstream that gives a little each time must come to an end too. */
const maxAttempts = 100;
/** An upstream that asks for a longer wait is not waited for. */
const maxWaitMs = 10_000;

/** What is fetched, and where. */
export interface TransferSource {
  readonly digest: Digest;
  readonly upstream: Upstream;
  /** As the upstream has it. */
  readonly upstreamImage: string;
  readonly trail: readonly string[];
}

/** Where the bytes go. */
export type TransferTarget = Pick<StagedBlob, 'size' | 'append'>;

export interface TransferOptions {
  /** Before the first retry; it doubles. */
  readonly backoffMs: number;
  /** Breaks the transfer off. */
  readonly signal: AbortSignal;
}

/** The error of a fill: UNAVAILABLE, with the upstream and the reason in its detail. */
export function fillError(upstream: Upstream, reason: string, cause?: unknown): RegistryError {
  const message = `the upstream ${upstream.host} could not be cached: ${reason}`;
  return new RegistryError('UNAVAILABLE', { message, detail: { upstream: upstream.host, reason }, cause });
}

/** The answer, unless the signal aborts before it comes. @throws the signal's reason. */
export async function unlessAborted<T>(asking: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort);
  });
  try {
    signal.throwIfAborted();
    return await Promise.race([asking, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Asks for the blob from an offset on. What the upstream answers after the signal is destroyed. */
export async function askForBlob(
  { upstream, upstreamImage, digest, trail }: TransferSource,
  offset: number,
  signal: AbortSignal,
): Promise<UpstreamResult<UpstreamBlob>> {
  signal.throwIfAborted();
  const asking = upstream.getBlob(upstreamImage, digest, offset, trail);
  try {
    return await unlessAborted(asking, signal);
  } catch (error) {
    asking.then(
      (late) => late.type === 'found' && destroyBody(late.value.body),
      () => undefined,
    );
    throw error;
  }
}

/** Drops a body that nobody reads; what it says about that concerns nobody. */
export function destroyBody(body: Readable): void {
  body.on('error', () => undefined).destroy();
}

/** One upstream transfer: cut short, it goes on where it was. */
export class Transfer {
  readonly #source: TransferSource;
  readonly #target: TransferTarget;
  readonly #options: TransferOptions;
  #size: number | undefined;

  /** @param size what the bytes must come to, where that is known. */
  constructor(source: TransferSource, target: TransferTarget, size: number | undefined, options: TransferOptions) {
    this.#source = source;
    this.#target = target;
    this.#size = size;
    this.#options = options;
  }

  /** Resolves when the target has all bytes. @throws RegistryError as `fillError` makes them, and 507 for a full disk. */
  async run(first: UpstreamBlob): Promise<void> {
    let answer: UpstreamResult<UpstreamBlob> = { type: 'found', value: first };
    let fruitless = 0;
    for (let attempt = 1; ; attempt++) {
      const before = this.#target.size;
      const problem = await this.#take(answer);
      if (problem === undefined) return;
      fruitless = this.#target.size > before ? 0 : fruitless + 1;
      const waitMs = this.#waitMs(fruitless, problem);
      if (fruitless > maxRetries || attempt >= maxAttempts || waitMs > maxWaitMs) throw this.#error(problem.reason);
      await sleep(waitMs, undefined, { signal: this.#options.signal });
      answer = await askForBlob(this.#source, this.#target.size, this.#options.signal);
    }
  }

  /** `undefined` when all is there; else why not, when another attempt may help. */
  async #take(answer: UpstreamResult<UpstreamBlob>): Promise<UpstreamReason | undefined> {
    const upstream = this.#source.upstream.host;
    if (answer.type === 'absent') throw this.#error('it has the content no more');
    if (answer.type === 'denied') throw this.#error(answer.reason.reason);
    if (answer.type === 'failed') {
      // There is nothing after what is here, and it was to be more.
      if (answer.reason.status === 416) throw this.#error('its content is shorter than announced');
      return answer.reason;
    }
    const { body } = answer.value;
    const onAbort = (): void => destroyBody(body);
    this.#options.signal.addEventListener('abort', onAbort);
    try {
      this.#checkAnnouncement(answer.value);
      const isOver = await this.#pour(answer.value);
      return isOver ? undefined : { upstream, reason: 'the connection was cut' };
    } finally {
      this.#options.signal.removeEventListener('abort', onAbort);
      destroyBody(body);
    }
  }

  #checkAnnouncement({ size, offset }: UpstreamBlob): void {
    if (offset > this.#target.size) throw this.#error('it answered for another range than asked for');
    if (size === undefined) return;
    this.#size ??= size;
    if (size !== this.#size) throw this.#error(`it announced ${this.#size} bytes, and then ${size}`);
  }

  /** True when all is there, false when it was cut. */
  async #pour({ body, offset, size }: UpstreamBlob): Promise<boolean> {
    const skip = this.#target.size - offset;
    const source = skip === 0 ? body : Readable.from(skipBytes(body, skip));
    try {
      await this.#target.append(source, this.#size === undefined ? {} : { maxBytes: this.#size - this.#target.size });
    } catch (error) {
      this.#options.signal.throwIfAborted();
      if (!(error instanceof SourceClosedError)) throw this.#storageError(error);
      return this.#target.size === this.#size;
    } finally {
      if (source !== body) destroyBody(source);
    }
    if (this.#size === undefined || this.#target.size === this.#size) return true;
    // Where nothing was announced, the end of the body is the end of the content.
    if (size === undefined) throw this.#error(`its content has ${this.#target.size} bytes and not ${this.#size}`);
    return false;
  }

  #storageError(error: unknown): RegistryError {
    if (error instanceof RegistryError && error.status === 507) return error;
    if (error instanceof RegistryError && error.code === 'SIZE_INVALID') {
      return this.#error(`its content is longer than ${this.#size} bytes`);
    }
    return this.#error('its content could not be stored', error);
  }

  #waitMs(fruitless: number, { retryAfterSeconds = 0 }: UpstreamReason): number {
    const backoffMs = this.#options.backoffMs * 2 ** Math.max(0, fruitless - 1);
    return Math.max(backoffMs * (0.5 + Math.random() / 2), retryAfterSeconds * 1000);
  }

  #error(reason: string, cause?: unknown): RegistryError {
    return fillError(this.#source.upstream, reason, cause);
  }
}

/** The body without its first bytes, which are here already: its upstream knows no ranges. */
async function* skipBytes(body: Readable, bytes: number): AsyncGenerator<Buffer> {
  let left = bytes;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    const skipped = Math.min(left, chunk.length);
    left -= skipped;
    if (skipped < chunk.length) yield chunk.subarray(skipped);
  }
}
