import { LRUCache } from 'lru-cache';
import type { Digest } from '../protocol/digest.js';

/** The bytes of the manifests that are pulled most, by digest: what a digest names never changes. Bounded in bytes. */
export class ManifestCache {
  readonly #bytes: LRUCache<Digest, Buffer> | undefined;

  constructor(maxBytes: number) {
    this.#bytes =
      maxBytes > 0 ? new LRUCache({ maxSize: maxBytes, sizeCalculation: ({ length }) => length + 200 }) : undefined;
  }

  get(digest: Digest): Buffer | undefined {
    return this.#bytes?.get(digest);
  }

  set(digest: Digest, bytes: Buffer): void {
    this.#bytes?.set(digest, bytes);
  }

  delete(digest: Digest): void {
    this.#bytes?.delete(digest);
  }
}
