import type { BlobContent, BlobInfo, BlobStore, ByteRange, StagedBlob } from '../../../ports/bytes.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Digest } from '../../../protocol/digest.js';
import { isInsufficientStorage } from '../../../protocol/errors.js';

/** A blob that is arriving from an upstream, or has arrived. */
export interface Fill {
  readonly digest: Digest;
  /** `undefined` while the size is unknown; known once `done` has resolved. */
  readonly size: number | undefined;
  /** Returns the bytes as they arrive. @throws Error while the size is unknown. */
  content(range?: ByteRange): BlobContent;
  /**
   * Resolves when the blob is stored and linked.
   * @throws RegistryError UNAVAILABLE (507 for a full disk); need not be awaited.
   */
  readonly done: Promise<BlobInfo>;
}

/** Called once the blob is linked to the requesting image. */
export type OnLinked = (info: BlobInfo) => void;

/** An image that the blob is linked to. */
export interface FillTarget {
  readonly at: ImageKey;
  readonly onLinked?: OnLinked | undefined;
}

/** Sends the rest of a blob uncached to a reader that was interrupted because the disk is full. */
export type PassOn = (size: number, range: ByteRange) => BlobContent;

/** A running transfer and the images that requested it. */
export class RunningFill implements Fill {
  readonly digest: Digest;
  readonly staged: StagedBlob;
  readonly done: Promise<BlobInfo>;
  readonly #pass: PassOn;
  readonly #targets = new Map<string, FillTarget>();
  #size: number | undefined;
  #isOpen = true;
  #hasFailed = false;

  /** @param run performs the fill; starts at once, and `done` is its outcome. */
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
    // Following from the start keeps bytes from waiting in a batch when the first reader arrives.
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
    if (size === undefined) throw new Error('the size is unknown until the fill has ended');
    const followed = this.staged.follow(size, range);
    return {
      size,
      writeTo: async (sink) => {
        let sent = 0;
        try {
          await followed.writeTo(sink, (bytes) => (sent += bytes));
        } catch (error) {
          if (sink.destroyed) throw error;
          // Throws the error of the fill: an error of the staged bytes would blame the reader.
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

  /** Returns false when it is too late: the links are being written or were written. */
  add(target: FillTarget): boolean {
    if (!this.#isOpen) return false;
    if (!this.isFor(target.at)) this.#targets.set(keyOf(target.at), target);
    return true;
  }

  /** Returns all targets and accepts no more. */
  seal(): readonly FillTarget[] {
    this.#isOpen = false;
    return [...this.#targets.values()];
  }
}

/** A blob that is already stored. */
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
        if (content?.size !== this.size) throw new Error('the blob is missing or damaged');
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
