import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StagedBlob } from '../../../ports/bytes.js';
import type { Upstream, UpstreamBlob, UpstreamResult } from '../../../ports/upstream.js';
import type { UpstreamReason } from '../../../protocol/upstream/verdict.js';
import type { Digest } from '../../../protocol/digest.js';
import { RegistryError } from '../../../protocol/errors.js';
import { SourceClosedError } from '../../../util/streams/source-listener.js';

/** The maximum number of consecutive attempts without progress. */
const maxRetries = 5;
/** The maximum number of attempts with less than 1 MiB, for an upstream that makes little progress each time. */
const maxAttempts = 100;
const progressBytes = 1024 * 1024;
/** A transfer fails when the upstream asks for a longer wait. */
const maxWaitMs = 10_000;

/** The reason why a transfer is incomplete, if another attempt may help. */
type Problem = Pick<UpstreamReason, 'reason' | 'retryAfterSeconds'>;
const interrupted: Problem = { reason: 'the connection was interrupted' };
/** Some upstreams answer a range with only a part of it. The rest is requested at once. */
const shortPart: Problem = { reason: 'it sent only a part of the requested range' };

/** The blob to fetch, and its upstream. */
export interface TransferSource {
  readonly digest: Digest;
  readonly upstream: Upstream;
  /** The upstream's name of the image. */
  readonly upstreamImage: string;
  readonly trail: readonly string[];
}

/** The destination of the bytes. */
export type TransferTarget = Pick<StagedBlob, 'size' | 'append'>;

export interface TransferOptions {
  /** The delay before the first retry; it doubles with each one. */
  readonly backoffMs: number;
  /** Aborts the transfer. */
  readonly signal: AbortSignal;
}

/** Returns the error of a fill: UNAVAILABLE, with the upstream and the reason in its detail. */
export function fillError(upstream: Upstream, reason: string, cause?: unknown): RegistryError {
  const message = `fetching the blob from the upstream ${upstream.host} failed: ${reason}`;
  return new RegistryError('UNAVAILABLE', { message, detail: { upstream: upstream.host, reason }, cause });
}

/** Returns the answer, unless the signal aborts first. @throws the signal's reason. */
export async function unlessAborted<T>(asking: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort);
  });
  try {
    signal.throwIfAborted();
    return await Promise.race([asking, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Requests the blob from an offset on. Destroys an answer that arrives after the signal aborted. */
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

/** Destroys a body and ignores its errors. */
export function destroyBody(body: Readable): void {
  body.on('error', () => undefined).destroy();
}

/** One transfer from an upstream. It resumes where it was interrupted. */
export class Transfer {
  readonly #source: TransferSource;
  readonly #target: TransferTarget;
  readonly #options: TransferOptions;
  #size: number | undefined;

  /** @param size the size of the blob, if known. */
  constructor(source: TransferSource, target: TransferTarget, size: number | undefined, options: TransferOptions) {
    this.#source = source;
    this.#target = target;
    this.#size = size;
    this.#options = options;
  }

  /** Resolves when the target has all bytes. @throws RegistryError from `fillError`; 507 when the disk is full. */
  async run(first: UpstreamBlob): Promise<void> {
    let answer: UpstreamResult<UpstreamBlob> = { type: 'found', value: first };
    let fruitless = 0;
    for (let attempts = 0; ;) {
      const before = this.#target.size;
      const problem = await this.#take(answer);
      if (problem === undefined) return;
      const gained = this.#target.size - before;
      if (gained < progressBytes) attempts += 1;
      fruitless = gained > 0 ? 0 : fruitless + 1;
      const waitMs = problem === shortPart && gained > 0 ? 0 : this.#waitMs(fruitless, problem);
      if (fruitless > maxRetries || attempts >= maxAttempts || waitMs > maxWaitMs) throw this.#error(problem.reason);
      if (waitMs > 0) await sleep(waitMs, undefined, { signal: this.#options.signal });
      answer = await askForBlob(this.#source, this.#target.size, this.#options.signal);
    }
  }

  /** Returns `undefined` when all bytes have arrived, or the problem if another attempt may help. */
  async #take(answer: UpstreamResult<UpstreamBlob>): Promise<Problem | undefined> {
    if (answer.type === 'absent') throw this.#error('it no longer has the blob');
    if (answer.type === 'denied') throw this.#error(answer.reason.reason);
    if (answer.type === 'failed') return answer.reason;
    const { body } = answer.value;
    const onAbort = (): void => destroyBody(body);
    this.#options.signal.addEventListener('abort', onAbort);
    try {
      this.#checkAnnouncement(answer.value);
      return await this.#pour(answer.value);
    } finally {
      this.#options.signal.removeEventListener('abort', onAbort);
      destroyBody(body);
    }
  }

  #checkAnnouncement({ size, offset }: UpstreamBlob): void {
    if (offset > this.#target.size) throw this.#error('it answered with another range than requested');
    if (size === undefined) return;
    this.#size ??= size;
    if (size !== this.#size) throw this.#error(`it announced ${this.#size} bytes first and ${size} later`);
  }

  /** Returns `undefined` when all bytes arrived. */
  async #pour({ body, offset, size }: UpstreamBlob): Promise<Problem | undefined> {
    const skip = this.#target.size - offset;
    const source = skip === 0 ? body : Readable.from(skipBytes(body, skip));
    try {
      await this.#target.append(source, this.#size === undefined ? {} : { maxBytes: this.#size - this.#target.size });
    } catch (error) {
      this.#options.signal.throwIfAborted();
      if (!(error instanceof SourceClosedError)) throw this.#storageError(error);
      return this.#target.size === this.#size ? undefined : interrupted;
    } finally {
      if (source !== body) destroyBody(source);
    }
    if (this.#size === undefined || this.#target.size === this.#size) return undefined;
    // Without an announced size, the end of a whole body is the end of the content.
    if (size === undefined && offset === 0)
      throw this.#error(`its content has ${this.#target.size} bytes instead of ${this.#size}`);
    return shortPart;
  }

  #storageError(error: unknown): RegistryError {
    if (error instanceof RegistryError && error.status === 507) return error;
    if (error instanceof RegistryError && error.code === 'SIZE_INVALID') {
      return this.#error(`its content is longer than ${this.#size} bytes`);
    }
    return this.#error('its content could not be stored', error);
  }

  #waitMs(fruitless: number, { retryAfterSeconds = 0 }: Problem): number {
    const backoffMs = this.#options.backoffMs * 2 ** Math.max(0, fruitless - 1);
    return Math.max(backoffMs * (0.5 + Math.random() / 2), retryAfterSeconds * 1000);
  }

  #error(reason: string, cause?: unknown): RegistryError {
    return fillError(this.#source.upstream, reason, cause);
  }
}

/** Yields the body without its first bytes, which arrived before; the upstream does not support ranges. */
async function* skipBytes(body: Readable, bytes: number): AsyncGenerator<Buffer> {
  let left = bytes;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    const skipped = Math.min(left, chunk.length);
    left -= skipped;
    if (skipped < chunk.length) yield chunk.subarray(skipped);
  }
}
