import type { Writable } from 'node:stream';
import { LRUCache } from 'lru-cache';
import type { BlobContent, ByteRange } from '../../ports/bytes.js';
import { algorithmOf, digestOf, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { writeBytes } from '../../util/streams/sink-writer.js';
import { readBytes } from '../../util/streams/streams.js';
import { confirmDamage, type ReadParts } from './damaged-blobs.js';

/** Larger blobs are not kept. Up to this size, opening and closing the file costs more than sending the bytes. */
const maxBlobBytes = 64 * 1024;

/** Keeps the bytes of recently used manifests and small blobs in memory, by digest. Bounded in bytes. */
export class RecentContent {
  readonly #bytes: LRUCache<Digest, Buffer> | undefined;

  constructor(maxBytes: number) {
    this.#bytes =
      maxBytes > 0 ? new LRUCache({ maxSize: maxBytes, sizeCalculation: ({ length }) => length + 200 }) : undefined;
  }

  get(digest: Digest): Buffer | undefined {
    return this.#bytes?.get(digest);
  }

  has(digest: Digest): boolean {
    return this.#bytes?.has(digest) === true;
  }

  set(digest: Digest, bytes: Buffer): void {
    if (this.#bytes === undefined) return;
    // A small buffer is often a view of a larger one, which would stay in memory.
    const own = Buffer.allocUnsafeSlow(bytes.length);
    bytes.copy(own);
    this.#bytes.set(digest, own);
  }

  delete(digest: Digest): void {
    this.#bytes?.delete(digest);
  }

  /** Reads whole content and keeps it. Returns `undefined` if it is damaged: it is read rarely, so its digest can be verified. */
  async read(digest: Digest, content: Pick<BlobContent, 'writeTo'>): Promise<Buffer | undefined> {
    const bytes = await readBytes(content);
    if (digestOf(bytes, algorithmOf(digest)) !== digest) return undefined;
    this.set(digest, bytes);
    return bytes;
  }

  /**
   * Returns a blob or a range of it. Once a small blob is sent, it is kept. Sending it throws a RegistryError UNAVAILABLE if it is
   * damaged, and records that: the next request finds it absent.
   */
  async open(parts: ReadParts, digest: Digest, range?: ByteRange): Promise<BlobContent | undefined> {
    const content = await parts.blobs.read(digest, range);
    if (content === undefined || content.size > maxBlobBytes || this.#bytes === undefined) return content;
    const { size, path } = content;
    const part = (bytes: Buffer): Buffer => (range === undefined ? bytes : bytes.subarray(range.start, range.end + 1));
    const kept = this.get(digest);
    if (kept !== undefined) return { size, path, bytes: part(kept), writeTo: (sink) => writeBytes(sink, part(kept)) };
    const writeTo = async (sink: Writable): Promise<void> => {
      const whole = range === undefined ? content : await parts.blobs.read(digest);
      // The file has changed: the content fails with the reason.
      if (whole?.size !== size) return content.writeTo(sink);
      const bytes = await this.read(digest, whole);
      if (bytes !== undefined) return writeBytes(sink, part(bytes));
      await confirmDamage(parts, digest);
      throw new RegistryError('UNAVAILABLE', {
        message: 'the stored bytes of this blob are damaged',
        detail: { digest },
        headers: { 'Retry-After': '1' },
      });
    };
    return { size, path, writeTo };
  }
}
