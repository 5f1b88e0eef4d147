import type { BlobContent, BlobInfo, BlobStore, ByteRange, StagedBlob } from '../../../ports/bytes.js';
import type { ImageKey } from '../../../ports/images.js';
import type { Digest } from '../../../protocol/digest.js';
import { isInsufficientStorage } from '../../../protocol/errors.js';

/** A blob that comes in from an upstream, or just has. */
export interface Fill {
  readonly digest: Digest;
  /** `undefined` when nobody knows it before the end: wait for `done`, then it is there. */
  readonly size: number | undefined;
  /** The bytes as they land. @throws Error while the size is unknown. */
  content(range?: ByteRange): BlobContent;
  /** Resolves when the blob is stored and linked. @throws RegistryError UNAVAILABLE (507 for a full disk); need not be awaited. */
  readonly done: Promise<BlobInfo>;
}

/** Told once the blob is linked to the image that asked. */
export type OnLinked = (info: BlobInfo) => void;

/** An image that gets the blob linked. */
export interface FillTarget {
  readonly at: ImageKey;
  readonly onLinked?: OnLinked | undefined;
}

/** The rest of a blob for a reader that was cut off because the disk is full. */
export type PassOn = (size: number, range: ByteRange) => BlobContent;

/** A transfer that runs, and the images that it is for. */
export class RunningFill implements Fill {
  readonly digest: Digest;
  readonly staged: StagedBlob;
  readonly done: Promise<BlobInfo>;
  readonly #pass: PassOn;
  readonly #targets = new Map<string, FillTarget>();
  #size: number | undefined;
  #isOpen = true;
  #hasFailed = false;

  /** @param run begins at once, and is the fill: `done` is its outcome. */
  constructor(
    digest: Digest,
    staged: StagedBlob,
    size: number | undefined,
    { run, pass }: { readonly run: (fill: RunningFill) => Promise<BlobInfo>; readonly pass: PassOn },
  ) {
    this.digest = digest;
    this.staged = staged;
    this.#pass = pass;
    this.#size = size;
    // The bytes are followed from the beginning, so that none rests in a batch when the first reader comes.
    if (size !== undefined) staged.follow(size);
    this.done = run(this).then(
      (info) => {
        this.#size = info.size;
        return info;
      },
      (error: unknown) => {
        this.#hasFailed = true;
        throw error;
      },
    );
    this.done.catch(() => undefined);
  }

  get size(): number | undefined {
    return this.#size;
  }

  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  content(range?: ByteRange): BlobContent {
    const size = this.#size;
    if (size === undefined) throw new Error('nobody knows the size yet: wait for the end of the fill');
    const followed = this.staged.follow(size, range);
    return {
      size,
      writeTo: async (sink) => {
        let sent = 0;
        try {
          await followed.writeTo(sink, (bytes) => (sent += bytes));
        } catch (error) {
          if (sink.destroyed) throw error;
          // The reader is told why the fill failed: what the staged bytes say of it would be the reader's own fault.
          const failure = await this.done.then(() => undefined, toError);
          if (!isInsufficientStorage(failure)) throw failure ?? error;
          const rest = { start: (range?.start ?? 0) + sent, end: range?.end ?? size - 1 };
          await this.#pass(size, rest).writeTo(sink);
        }
      },
    };
  }

  isFor(at: ImageKey): boolean {
    return this.#targets.has(keyOf(at));
  }

  /** False when it is too late: the links are being written, or were. */
  add(target: FillTarget): boolean {
    if (!this.#isOpen) return false;
    if (!this.isFor(target.at)) this.#targets.set(keyOf(target.at), target);
    return true;
  }

  /** All that were added; no more can be. */
  seal(): readonly FillTarget[] {
    this.#isOpen = false;
    return [...this.#targets.values()];
  }
}

/** A blob that is in the store already. */
export class StoredFill implements Fill {
  readonly digest: Digest;
  readonly size: number;
  readonly done: Promise<BlobInfo>;
  readonly #blobs: BlobStore;

  constructor(blobs: BlobStore, info: BlobInfo) {
    this.#blobs = blobs;
    this.digest = info.digest;
    this.size = info.size;
    this.done = Promise.resolve(info);
  }

  content(range?: ByteRange): BlobContent {
    return {
      size: this.size,
      writeTo: async (sink) => {
        const content = await this.#blobs.read(this.digest, range);
        if (content?.size !== this.size) throw new Error('the blob is gone, or damaged');
        await content.writeTo(sink);
      },
    };
  }
}

function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error('the fill failed', { cause: thrown });
}

function keyOf({ repository, image }: ImageKey): string {
  return `${repository}/${image}`;
}
