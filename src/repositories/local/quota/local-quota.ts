import type { Actor } from '../../../ports/metadata/journal.js';
import type { Precondition } from '../../../ports/metadata/metadata.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Digest } from '../../../protocol/digest.js';
import type { LocalRepositoryConfig } from '../../../protocol/settings/repository-config.js';
import type { LocalParts } from '../local-parts.js';
import type { SizeLimit } from '../size-limit.js';
import { blobLimit } from '../upload-session.js';

type Task<T> = (require: readonly Precondition[]) => Promise<T>;

/** The quotas of one local repository: the bytes that a push may store, and those that it adds. */
export class LocalQuota {
  readonly #config: LocalRepositoryConfig;
  readonly #parts: LocalParts;

  constructor(config: LocalRepositoryConfig, parts: LocalParts) {
    this.#config = config;
    this.#parts = parts;
  }

  /** Returns the limit for the bytes of a blob. Without a digest, the blob counts as one that the image does not have. */
  async limitOf(at: ImageKey, digest?: Digest): Promise<SizeLimit> {
    const { maxBlobBytes, quotas } = this.#parts;
    const largest = blobLimit(maxBlobBytes);
    const room = await quotas.room(this.#config, at.image);
    if (room === undefined || room.maxBytes > largest.maxBytes) return largest;
    return digest !== undefined && (await this.#has(at, digest)) ? largest : room;
  }

  /** Holds room for a blob, or for the bytes of a manifest, in some images. */
  hold<T>(by: Actor, images: readonly ImageKey[], digest: Digest, size: number, task: Task<T>): Promise<T> {
    const measure = () =>
      Promise.all(images.map(async (at) => ({ at, bytes: (await this.#has(at, digest)) ? 0 : size })));
    const names = images.map(({ image }) => image);
    return this.#parts.quotas.hold(this.#config, names, by, measure, task);
  }

  /** Returns whether the digest counts in the size of the image already. */
  async #has(at: ImageKey, digest: Digest): Promise<boolean> {
    const { metadata } = this.#parts;
    const link = await metadata.link(at, digest);
    return (link !== undefined && link.inTrash !== true) || (await metadata.manifest(at, digest)) !== undefined;
  }
}
