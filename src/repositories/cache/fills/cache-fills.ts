/**
 * Transfers of blobs into the cache and their readers. This file decides whether to join, start or refuse a transfer;
 * `transfer.ts` runs it. Imported by cache/ only.
 */
import type { BlobInfo } from '../../../ports/bytes.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { ImageRecords, RepositoryRecords } from '../../../ports/metadata/metadata.js';
import type { Repository } from '../../../ports/repository.js';
import type { Upstream, UpstreamBlob, UpstreamResult } from '../../../ports/upstream.js';
import type { UpstreamReason } from '../../../protocol/upstream/verdict.js';
import { algorithmOf, type Digest } from '../../../protocol/digest.js';
import { isInsufficientStorage, RegistryError } from '../../../protocol/errors.js';
import { FillFailures } from './fill-failures.js';
import { askForBlob, destroyBody, fillError, Transfer, unlessAborted, type TransferOptions } from './transfer.js';
import { FillLinks } from './fill-links.js';
import { FillRoom } from './fill-room.js';
import { RunningFill, StoredFill, type Fill, type OnLinked } from './fill.js';
import { UncachedFills, type UncachedFillRequest } from './uncached-fill.js';
import { stageTransient } from '../../content/transient-staging.js';
import { leaveCandidate, publish, type PublishParts } from '../../content/publish.js';

export interface CacheFillParts extends PublishParts {
  readonly metadata: PublishParts['metadata'] & RepositoryRecords & Pick<ImageRecords, 'link'>;
  /** All repositories; their caches make room when the disk is full. @default none */
  readonly repositories?: () => readonly Repository[];
  /** The delay before an interrupted transfer is resumed; it doubles with each attempt. @default 100 */
  readonly backoffMs?: number;
}

/** A request of an image for a blob of its upstream. */
export interface FillRequest extends UncachedFillRequest {
  readonly at: ImageKey;
  readonly onLinked?: OnLinked | undefined;
}

type Opening = Promise<UpstreamResult<Fill>>;
type Refusal = Exclude<UpstreamResult<never>, { type: 'found' }>;

/** A digest that is being fetched, from the first upstream request to the link. */
interface Entry {
  readonly at: ImageKey;
  readonly upstream: Upstream;
  readonly opening: Opening;
  fill: RunningFill | undefined;
}

/**
 * Fetches blobs from upstreams, each by a single transfer that all readers share. No client cancels a transfer or slows
 * it down. A failed transfer leaves nothing; `FillFailures` limits how soon it is repeated. A registry has one
 * instance.
 */
export class CacheFills {
  readonly #parts: CacheFillParts;
  readonly #failures: FillFailures;
  readonly #room: FillRoom;
  readonly #uncachedFills: UncachedFills;
  readonly #links: FillLinks;
  readonly #entries = new Map<Digest, Entry>();
  readonly #closing = new AbortController();
  readonly #transfers: TransferOptions;
  readonly #work = new Set<Promise<unknown>>();

  constructor(parts: CacheFillParts) {
    this.#parts = parts;
    this.#transfers = { backoffMs: parts.backoffMs ?? 100, signal: this.#closing.signal };
    this.#uncachedFills = new UncachedFills(this.#transfers);
    this.#links = new FillLinks(parts);
    this.#failures = new FillFailures(parts.runtime);
    this.#room = new FillRoom({ ...parts, repositories: parts.repositories ?? (() => []) });
  }

  /**
   * Returns the running fill of this digest. A caller may use it only after its own upstream answered for the blob; see
   * `join`.
   */
  find(digest: Digest): Fill | undefined {
    return this.#entries.get(digest)?.fill;
  }

  /**
   * Joins the fill of the digest or starts it. Without content, returns the upstream's first answer. Bytes that are
   * stored, or arrive for another image, are served only after this image's own upstream answered for them (HEAD). A
   * blob that does not fit on the disk is sent to each reader uncached while eviction makes room in the background.
   * @throws RegistryError UNAVAILABLE when the registry is closing; with status 507 for a blob of unknown size that
   * does not fit.
   */
  async fetch(request: FillRequest): Opening {
    for (;;) {
      this.#closing.signal.throwIfAborted();
      const entry = this.#entries.get(request.digest);
      if (entry === undefined) return this.#start(request);
      // After a change of the repository's settings, its current upstream is a different one.
      const isReplaced = isSame(entry.at, request.at) && entry.upstream !== request.upstream;
      const isMine = isSame(entry.at, request.at) && !isReplaced;
      const opened = await (isMine ? entry.opening : entry.opening.catch(() => undefined));
      if (isMine && opened !== undefined) return opened;
      // The answer of another image's upstream does not count for this image. Its entry is gone: ask this image's
      // upstream.
      if (entry.fill === undefined) continue;
      const refusal = entry.fill.isFor(request.at) && !isReplaced ? undefined : await this.#ask(request);
      if (refusal !== undefined) return refusal;
      if (entry.fill.hasFailed) continue;
      this.join(entry.fill, request.at, request.onLinked);
      return { type: 'found', value: entry.fill };
    }
  }

  /** Links the blob to this image too. The image's own upstream must have answered for it. */
  join(fill: Fill, at: ImageKey, onLinked?: OnLinked): void {
    if (fill instanceof RunningFill && (fill.add({ at, onLinked }) || fill.isFor(at))) return;
    const linking = fill.done.then((info) => this.#links.linkStored({ at, onLinked }, info));
    this.#track(linking.catch((error: unknown) => this.#log(error, fill.digest, 'failed to link a cached blob')));
  }

  /** Allows all blobs of a repository to be fetched again. */
  forgetFailures(repository: string): void {
    this.#failures.forgetAll(repository);
  }

  /** Aborts and discards running fills. Resolves when all of them have ended. */
  async close(): Promise<void> {
    this.#closing.abort(new RegistryError('UNAVAILABLE', { message: 'the registry is closing' }));
    while (this.#work.size > 0) await Promise.all(this.#work);
    await this.#room.close();
  }

  #start(request: FillRequest): Opening {
    const opening = this.#open(request, (fill) => (entry.fill = fill));
    const { at, upstream } = request;
    const entry: Entry = { at, upstream, opening, fill: undefined };
    this.#entries.set(request.digest, entry);
    const settle = (): void => {
      if (entry.fill === undefined) this.#entries.delete(request.digest);
    };
    // Attached first, so that callers who await the opening find the entry removed when there is no fill.
    this.#track(opening.then(settle, settle));
    return opening;
  }

  async #open(request: FillRequest, onFill: (fill: RunningFill) => void): Opening {
    const { at, digest, upstream, expectedSize } = request;
    const refusal = this.#failures.refusal(at, digest);
    const isDiskFull = refusal !== undefined && isInsufficientStorage(refusal.error);
    if (refusal !== undefined && !isDiskFull) return toResult(refusal.error, refusal.retryAfterSeconds);
    const stored = await this.#findStored(request);
    if (stored !== undefined) return stored;
    if (isDiskFull || !(await this.#room.has(0))) return this.#pass(request);
    const answer = await askForBlob(request, 0, this.#closing.signal);
    if (answer.type !== 'found') return answer;
    const { size, body } = answer.value;
    if (size !== undefined && expectedSize !== undefined && size !== expectedSize) {
      destroyBody(body);
      const reason = `it has ${size} bytes instead of ${expectedSize}`;
      return { type: 'failed', reason: { upstream: upstream.host, reason } };
    }
    const total = size ?? expectedSize;
    if (total !== undefined && !(await this.#room.has(total))) {
      destroyBody(body);
      this.#room.make(total);
      return { type: 'found', value: this.#uncachedFills.make(request, total) };
    }
    try {
      const staged = await stageTransient(this.#parts, 'fill', algorithmOf(digest));
      const fill = new RunningFill(digest, staged, total, {
        run: (running) => this.#run(request, running, answer.value),
        pass: (whole, range) => this.#uncachedFills.make(request, whole).content(range),
      });
      fill.add({ at, onLinked: request.onLinked });
      onFill(fill);
      this.#track(fill.done.catch(() => undefined));
      return { type: 'found', value: fill };
    } catch (error) {
      destroyBody(body);
      throw error;
    }
  }

  async #pass(request: FillRequest): Opening {
    const answer = await this.#uncachedFills.open(request);
    if (answer.type === 'found') this.#room.make(answer.value.size);
    return answer;
  }

  /** Returns stored bytes if the image links them or its upstream answers for them. */
  async #findStored(request: FillRequest): Promise<UpstreamResult<Fill> | undefined> {
    const { at, digest, expectedSize } = request;
    const info = await this.#parts.blobs.stat(digest);
    if (info === undefined || (expectedSize ?? info.size) !== info.size) return undefined;
    const link = await this.#parts.metadata.link(at, digest);
    // A size that differs from the link's means damage, which a fill repairs.
    if (link !== undefined && link.size !== info.size) return undefined;
    if (link === undefined) {
      const refusal = await this.#ask(request);
      if (refusal !== undefined) return refusal;
      if (!(await this.#linkStored(request, info))) return undefined;
    }
    return { type: 'found', value: new StoredFill(this.#parts.blobs, info) };
  }

  /**
   * Returns true even when the disk is too full to write the link: the upstream answered, and is asked again next time.
   */
  async #linkStored(request: FillRequest, info: BlobInfo): Promise<boolean> {
    try {
      return await this.#links.linkStored(request, info);
    } catch (error) {
      if (!isInsufficientStorage(error)) throw error;
      return true;
    }
  }

  /** Returns `undefined` when this image's upstream answers for the blob. */
  async #ask({ upstream, upstreamImage, digest, trail }: FillRequest): Promise<Refusal | undefined> {
    const asking = upstream.statBlob(upstreamImage, digest, trail);
    const answer = await unlessAborted(asking, this.#closing.signal);
    return answer.type === 'found' ? undefined : answer;
  }

  /** Runs a fill from the first byte to the link. */
  async #run(request: FillRequest, fill: RunningFill, first: UpstreamBlob): Promise<BlobInfo> {
    const { at, digest } = request;
    try {
      await new Transfer(request, fill.staged, fill.size, this.#transfers).run(first);
      const info = await this.#store(fill);
      this.#failures.forget(at, digest);
      this.#entries.delete(digest);
      return info;
    } catch (error) {
      const failure = this.#toError(request, error);
      // First, so that no one joins a fill that is discarded.
      this.#entries.delete(digest);
      this.#log(failure, digest, 'failed to cache a blob');
      const size = fill.size ?? fill.staged.size;
      await fill.staged.discard().catch((cause: unknown) => this.#log(cause, digest, 'failed to discard a fill'));
      if (this.#closing.signal.aborted) throw failure;
      const failures = this.#failures.note(at, digest, failure);
      // The discarded bytes are free again by now: do not evict for them.
      if (isInsufficientStorage(failure)) this.#room.make(size, { isDoubted: failures > 1 });
      throw failure;
    }
  }

  /** Keeps the bytes for the collector, even when every repository that requested them was deleted. */
  #store(fill: RunningFill): Promise<BlobInfo> {
    return publish(this.#parts, fill.staged, fill.digest, async (info) => {
      const isLinked = await this.#links.linkAll(fill.seal(), info);
      if (!isLinked) await leaveCandidate(this.#parts, fill.digest);
    });
  }

  #toError({ upstream }: FillRequest, error: unknown): RegistryError {
    // `close` aborts with this error.
    if (this.#closing.signal.aborted) return this.#closing.signal.reason as RegistryError;
    if (error instanceof RegistryError) {
      if (error.code === 'DIGEST_INVALID') return fillError(upstream, 'its content has another digest', error);
      if (error.code === 'UNAVAILABLE') return error;
    }
    return fillError(upstream, 'its content could not be stored', error);
  }

  #log(error: unknown, digest: Digest, message: string): void {
    this.#parts.runtime.log.warn({ err: error, digest }, message);
  }

  /** Tracks work for `close`. @param work never rejects. */
  #track(work: Promise<unknown>): void {
    this.#work.add(work);
    void work.finally(() => this.#work.delete(work));
  }
}

/** @param error of an upstream; its detail has the upstream's answer. */
function toResult(error: RegistryError, retryAfterSeconds: number): Refusal {
  return { type: 'failed', reason: { ...(error.detail as UpstreamReason), retryAfterSeconds } };
}

function isSame(one: ImageKey, other: ImageKey): boolean {
  return one.repository === other.repository && one.image === other.image;
}
