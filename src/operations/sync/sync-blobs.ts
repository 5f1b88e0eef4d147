import { addAbortSignal, Readable } from 'node:stream';
import type { Digest } from '../../protocol/digest.js';
import { foundOrAbsent, lacksContent, SyncProblemError } from './sync-problem.js';
import type { SyncRunParts } from './sync-run.js';

/** The number of consecutive requests for a blob without progress. */
const maxAttempts = 3;

/** Copies the blobs of one image. */
export class BlobCopier {
  readonly #parts: SyncRunParts;
  readonly #image: string;
  /** Several manifests name the same blobs. */
  readonly #copies = new Map<Digest, Promise<void>>();

  constructor(parts: SyncRunParts, image: string) {
    this.#parts = parts;
    this.#image = image;
  }

  /**
   * Copies a blob unless the image has it.
   * @param isOptional whether the upstream may lack it. @throws SyncProblemError, RegistryError.
   */
  copy(digest: Digest, isOptional: boolean): Promise<void> {
    const known = this.#copies.get(digest);
    if (known !== undefined) return known;
    const copy = this.#copy(digest, isOptional);
    this.#copies.set(digest, copy);
    return copy;
  }

  async #copy(digest: Digest, isOptional: boolean): Promise<void> {
    const { target, caller, transfers, signal } = this.#parts;
    if ((await target.statBlob(caller, this.#image, digest)) !== undefined) return;
    await transfers.run(async () => {
      signal.throwIfAborted();
      await this.#transfer(digest, isOptional);
    });
  }

  async #transfer(digest: Digest, isOptional: boolean): Promise<void> {
    const { upstream, writer, caller, signal, tally } = this.#parts;
    const found = foundOrAbsent(await upstream.statBlob(this.#image, digest, []));
    if (found === undefined && isOptional) return;
    if (found === undefined) throw lacksContent('blob', digest);
    // Another image may have the bytes. Checked only now, after the upstream has confirmed them under this name, so
    // they are not a secret of that image.
    if (await writer.mountBlob(caller, this.#image, digest)) {
      tally.add({ copiedBlobs: 1 });
      return;
    }
    const source = addAbortSignal(signal, Readable.from(this.#read(digest, found.size), { objectMode: false }));
    try {
      await writer.putBlob(caller, this.#image, digest, source, found.size);
    } catch (error) {
      // The reason why the source ended, which the writer does not need.
      throw source.errored instanceof SyncProblemError ? source.errored : error;
    } finally {
      source.destroy();
    }
    tally.add({ copiedBlobs: 1 });
  }

  /** Reads a blob, and continues where a transfer broke off. */
  async *#read(digest: Digest, expected: number | undefined): AsyncGenerator<Buffer> {
    const { upstream, tally } = this.#parts;
    let offset = 0;
    for (let attempt = 1; ; attempt++) {
      const before = offset;
      const blob = foundOrAbsent(await upstream.getBlob(this.#image, digest, offset, []));
      if (blob === undefined) throw lacksContent('blob', digest);
      try {
        let position = blob.offset;
        for await (const chunk of blob.body as AsyncIterable<Buffer>) {
          const fresh = chunk.subarray(Math.max(0, offset - position));
          position += chunk.length;
          if (fresh.length === 0) continue;
          offset += fresh.length;
          tally.add({ copiedBytes: fresh.length });
          yield fresh;
        }
        // An answer to a range may be shorter than the rest.
        if (offset >= (blob.size ?? expected ?? 0)) return;
        throw new Error('the answer is too short');
      } catch (cause) {
        if (offset > before) attempt = 0;
        if (attempt < maxAttempts) continue;
        throw new SyncProblemError(`the transfer of the blob ${digest} broke off`, { cause });
      } finally {
        blob.body.destroy();
      }
    }
  }
}
