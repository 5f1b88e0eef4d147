import { createHash, type Hash } from 'node:crypto';
import type { Readable, Writable } from 'node:stream';
import type { BlobContent, BlobInfo, ByteRange } from '../../../ports/bytes.js';
import type { UpstreamResult } from '../../../ports/upstream.js';
import { algorithmOf, hexOf, type Digest } from '../../../protocol/digest.js';
import { RegistryError } from '../../../protocol/errors.js';
import { Semaphore } from '../../../util/scheduling/concurrency.js';
import { SinkWriter } from '../../../util/streams/sink-writer.js';
import { TooManyBytesError, writeInBatches } from '../../../util/streams/streams.js';
import {
  askForBlob,
  destroyBody,
  fillError,
  Transfer,
  unlessAborted,
  type TransferOptions,
  type TransferSource,
  type TransferTarget,
} from './transfer.js';
import type { Fill } from './fill.js';

const batchBytes = 64 * 1024;
/** Flushes batches at once, because a reader is waiting for the bytes. */
const hurry = AbortSignal.abort();

/** The maximum number of concurrent transfers; each serves one reader. */
const maxTransfers = 32;

export interface UncachedFillRequest extends TransferSource {
  /** The size according to a manifest. */
  readonly expectedSize?: number | undefined;
  /** Called with the bytes of each uncached transfer. */
  readonly onUncached?: ((bytes: number) => void) | undefined;
}

/** Serves blobs uncached because they do not fit on the disk. */
export class UncachedFills {
  readonly #options: TransferOptions;
  readonly #places = new Semaphore(maxTransfers);

  constructor(options: TransferOptions) {
    this.#options = options;
  }

  /**
   * Asks the upstream for the blob. @throws RegistryError UNAVAILABLE with status 507 when it does not report the size.
   */
  async open(request: UncachedFillRequest): Promise<UpstreamResult<UncachedFill>> {
    const { upstream, upstreamImage, digest, trail, expectedSize } = request;
    const asking = upstream.statBlob(upstreamImage, digest, trail);
    const answer = await unlessAborted(asking, this.#options.signal);
    if (answer.type !== 'found') return answer;
    const size = answer.value.size ?? expectedSize ?? (await this.#askForSize(request));
    if (size !== undefined) return { type: 'found', value: this.make(request, size) };
    const message = `the disk is full, and ${upstream.host} does not report the size of the blob`;
    throw new RegistryError('UNAVAILABLE', { status: 507, message });
  }

  make(request: UncachedFillRequest, size: number): UncachedFill {
    return new UncachedFill(request, size, this.#places, this.#options);
  }

  async #askForSize(request: UncachedFillRequest): Promise<number | undefined> {
    const answer = await askForBlob(request, 0, this.#options.signal);
    if (answer.type !== 'found') return undefined;
    destroyBody(answer.value.body);
    return answer.value.size;
  }
}

/** A blob that is sent without being stored. Each reader has its own transfer. */
export class UncachedFill implements Fill {
  readonly digest: Digest;
  readonly size: number;
  /** Always rejects, because nothing is stored. */
  readonly done: Promise<BlobInfo>;
  readonly #request: UncachedFillRequest;
  readonly #places: Semaphore;
  readonly #options: TransferOptions;

  constructor(request: UncachedFillRequest, size: number, places: Semaphore, options: TransferOptions) {
    this.digest = request.digest;
    this.size = size;
    this.#request = request;
    this.#places = places;
    this.#options = options;
    this.done = Promise.reject(
      new RegistryError('UNAVAILABLE', {
        status: 507,
        message: 'the disk is full: the blob is sent uncached',
      }),
    );
    this.done.catch(() => undefined);
  }

  content(range: ByteRange = { start: 0, end: this.size - 1 }): BlobContent {
    return {
      size: this.size,
      writeTo: (sink) => this.#places.run(() => this.#pass(sink, range)),
    };
  }

  async #pass(sink: Writable, range: ByteRange): Promise<void> {
    const { upstream, onUncached } = this.#request;
    const leaving = new AbortController();
    const onGone = (): void => leaving.abort(new Error('sink closed early'));
    const signal = AbortSignal.any([this.#options.signal, leaving.signal]);
    const writer = new SinkWriter(sink);
    const passage = new Passage(writer, this.digest, this.size, range);
    sink.once('close', onGone);
    try {
      writer.check();
      const first = await askForBlob(this.#request, 0, signal);
      if (first.type === 'absent') throw fillError(upstream, 'it no longer has the blob');
      if (first.type !== 'found') throw fillError(upstream, first.reason.reason);
      await new Transfer(this.#request, passage, this.size, { ...this.#options, signal }).run(first.value);
      if (!(await passage.finish())) throw fillError(upstream, 'its content has another digest');
    } catch (error) {
      // The reader got its whole range and does not need the rest.
      if (!passage.isOver) throw error;
    } finally {
      sink.off('close', onGone);
      writer.release();
      onUncached?.(passage.size);
    }
  }
}

class EnoughError extends Error {
  override readonly name = 'EnoughError';
}

/**
 * Hashes all bytes of a blob and sends a range of them. Sends the last byte of the blob only after the digest matched.
 */
class Passage implements TransferTarget {
  readonly #writer: SinkWriter;
  readonly #digest: Digest;
  readonly #hash: Hash;
  readonly #total: number;
  readonly #range: ByteRange;
  #lastByte: Buffer = Buffer.alloc(0);
  #size = 0;
  #isOver = false;

  constructor(writer: SinkWriter, digest: Digest, total: number, range: ByteRange) {
    this.#writer = writer;
    this.#digest = digest;
    this.#hash = createHash(algorithmOf(digest));
    this.#total = total;
    this.#range = range;
  }

  get size(): number {
    return this.#size;
  }

  /** True when the whole range was sent. */
  get isOver(): boolean {
    return this.#isOver;
  }

  async append(source: Readable, options: { readonly maxBytes?: number } = {}): Promise<number> {
    try {
      await writeInBatches(source, (chunks) => this.#take(chunks), { batchBytes, hurry, ...options });
    } catch (error) {
      if (error instanceof TooManyBytesError) throw new RegistryError('SIZE_INVALID', { cause: error });
      throw error;
    }
    return this.#size;
  }

  /** Sends the withheld byte. Returns false when the bytes have another digest. */
  async finish(): Promise<boolean> {
    if (this.#hash.digest('hex') !== hexOf(this.#digest)) return false;
    if (this.#range.end === this.#total - 1 && this.#total > 0) await this.#writer.write(this.#lastByte);
    return true;
  }

  async #take(chunks: readonly Buffer[]): Promise<void> {
    for (const chunk of chunks) {
      const offset = this.#size;
      this.#hash.update(chunk);
      this.#size += chunk.length;
      if (this.#size === this.#total) this.#lastByte = chunk.subarray(chunk.length - 1);
      const end = Math.min(this.#range.end + 1, this.#total - 1);
      const part = chunk.subarray(Math.max(0, this.#range.start - offset), Math.max(0, end - offset));
      if (part.length > 0) await this.#writer.write(part);
      if (this.#range.end < this.#total - 1 && this.#size > this.#range.end) {
        this.#isOver = true;
        throw new EnoughError();
      }
    }
  }
}
