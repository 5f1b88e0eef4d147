import { LRUCache } from 'lru-cache';
import type { Digest } from '../../protocol/digest.js';

/** Keeps the bytes of recently used manifests in memory, by digest. Bounded in bytes. */
export class ManifestCache {
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
    this.#bytes?.set(digest, bytes);
  }

  delete(digest: Digest): void {
    this.#bytes?.delete(digest);
  }
}
