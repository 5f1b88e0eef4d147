import { LRUCache } from 'lru-cache';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { Digest } from '../../protocol/digest.js';
import type { SessionId } from '../../protocol/names.js';

const maxUploads = 10_000;

/** How long a client may repeat the closing PUT of a finished upload. */
export const repeatableMs = 10 * 60_000;

/**
 * Remembers finished uploads in memory, so that a repeated closing PUT gets the same answer when the first one was
 * lost.
 */
export class FinishedUploads {
  readonly #blobs: LRUCache<SessionId, string>;

  constructor(now: () => number) {
    this.#blobs = new LRUCache({
      maxSize: maxUploads,
      sizeCalculation: () => 1,
      ttl: repeatableMs,
      ttlResolution: 0,
      perf: { now },
    });
  }

  note(id: SessionId, at: ImageKey, digest: Digest): void {
    this.#blobs.set(id, describe(at, digest));
  }

  /** Returns whether the upload was recently finished as this blob of this image. */
  has(id: SessionId, at: ImageKey, digest: Digest): boolean {
    return this.#blobs.get(id) === describe(at, digest);
  }
}

function describe({ repository, image }: ImageKey, digest: Digest): string {
  return `${repository}/${image}@${digest}`;
}
