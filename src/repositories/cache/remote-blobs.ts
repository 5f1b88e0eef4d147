import type { BlobContent, ByteRange } from '../../ports/bytes.js';
import type { Caller, RepositoryBlob } from '../../ports/repository.js';
import type { Provenance } from '../../ports/images.js';
import type { Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import type { Fill } from './fills/fill.js';
import type { RemoteContext } from './remote-context.js';
import { toRefusal } from './remote-verdict.js';

type BlobAnswer = Omit<RepositoryBlob, 'content'>;

/**
 * The blobs of a cache. What is linked is served; what is not comes in by one transfer, and is sent while it does. Bytes that
 * are here for another image are linked only after this upstream answered for them under this name.
 */
export class RemoteBlobs {
  readonly #context: RemoteContext;

  constructor(context: RemoteContext) {
    this.#context = context;
  }

  /** Asks the upstream about what is not here, so that a cache behind this one works; fetches nothing. */
  async stat(caller: Caller, image: string, digest: Digest): Promise<BlobAnswer | undefined> {
    const held = await this.#held(image, digest);
    if (held !== undefined) return this.#answer(image, held, 'hit');
    if (this.#context.negatives.has(image, digest)) return undefined;
    const answer = await this.#context.upstream.statBlob(image, digest, caller.trail);
    if (answer.type === 'absent') return this.#noteAbsent(image, digest);
    if (answer.type !== 'found') throw toRefusal(answer);
    const { size } = answer.value;
    if (size !== undefined) return this.#answer(image, size, 'miss');
    // An upstream that does not tell sizes: only the bytes do.
    const blob = await this.get(caller, image, digest);
    return blob === undefined ? undefined : this.#answer(image, blob.size, 'miss');
  }

  async get(caller: Caller, image: string, digest: Digest): Promise<RepositoryBlob | undefined> {
    const held = await this.#held(image, digest);
    if (held !== undefined) {
      const content = (range?: ByteRange): Promise<BlobContent | undefined> =>
        this.#context.parts.blobs.read(digest, range);
      return { ...this.#answer(image, held, 'hit'), content };
    }
    if (this.#context.negatives.has(image, digest)) return undefined;
    const { fills } = this.#context.parts;
    if (caller.trail.length > 0 && fills.find(digest) === undefined) {
      // Caches that ask each other would wait for each other's fill: with the trail, the loop is found first.
      const told = await this.#context.upstream.statBlob(image, digest, caller.trail);
      if (told.type === 'absent') return this.#noteAbsent(image, digest);
      if (told.type !== 'found') throw toRefusal(told);
    }
    const answer = await fills.fetch({
      at: this.#context.at(image),
      digest,
      upstream: this.#context.upstream,
      upstreamImage: image,
      trail: caller.trail,
      onLinked: ({ size }) => this.#context.noteStored(image, digest, size),
      onPassed: (bytes) => this.#context.notePassed(bytes),
    });
    if (answer.type === 'absent') return this.#noteAbsent(image, digest);
    if (answer.type !== 'found') throw toRefusal(answer);
    const fill = answer.value;
    this.#context.noteFill(image, fill);
    const size = fill.size ?? (await sizeAtEnd(fill));
    return {
      ...this.#answer(image, size, 'miss'),
      content: (range) => Promise.resolve(fill.content(range)),
    };
  }

  /** The size of a blob that is linked and whole. What is damaged is fetched again. */
  async #held(image: string, digest: Digest): Promise<number | undefined> {
    const { metadata, blobs, touches } = this.#context.parts;
    const at = this.#context.at(image);
    const link = await metadata.link(at, digest);
    if (link === undefined || (await blobs.stat(digest))?.size !== link.size) return undefined;
    touches.touch(at, digest);
    return link.size;
  }

  #noteAbsent(image: string, digest: Digest): undefined {
    this.#context.negatives.note(image, digest);
    return undefined;
  }

  #answer(image: string, size: number, cache: Provenance['cache']): BlobAnswer {
    this.#context.count(image, 'blob', cache);
    return { size, provenance: { repository: this.#context.config.name, cache } };
  }
}

async function sizeAtEnd(fill: Fill): Promise<number> {
  const { size } = await fill.done;
  if (fill.size === undefined) throw new RegistryError('UNAVAILABLE');
  return size;
}
