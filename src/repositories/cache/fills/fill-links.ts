import { ConflictError } from '../../../util/conflict-error.js';
import type { BlobInfo } from '../../../ports/bytes.js';
import type { Change } from '../../../ports/metadata.js';
import type { FillTarget } from './fill.js';
import type { PublishParts } from '../../local/upload-session.js';

/**
 * Links cached blobs to images. Not synced: after a power cut the bytes are there without a link, and are linked again when
 * the upstream answers for them.
 */
export class FillLinks {
  readonly #parts: PublishParts;

  constructor(parts: PublishParts) {
    this.#parts = parts;
  }

  /**
   * All in one write, under the digest's lock that the caller holds; without the images whose repository was deleted
   * meanwhile. @throws ConflictError when none is left.
   */
  async linkAll(targets: readonly FillTarget[], info: BlobInfo): Promise<void> {
    let present = targets;
    for (;;) {
      try {
        await this.#apply(present, info);
        return;
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error;
        const left = await this.#withRepository(present);
        if (left.length === 0 || left.length === present.length) throw error;
        present = left;
      }
    }
  }

  /** Links bytes that are in the store; false when they, or the repository, are there no more. */
  async linkStored(target: FillTarget, info: BlobInfo): Promise<boolean> {
    const { digestLocks, blobs } = this.#parts;
    return digestLocks.run(info.digest, async () => {
      if ((await blobs.stat(info.digest))?.size !== info.size) return false;
      try {
        await this.#apply([target], info);
        return true;
      } catch (error) {
        if (error instanceof ConflictError) return false;
        throw error;
      }
    });
  }

  async #apply(targets: readonly FillTarget[], info: BlobInfo): Promise<void> {
    const { metadata, runtime } = this.#parts;
    const { digest, size } = info;
    const when = runtime.now();
    // With the time of the first use: without one it could never be evicted.
    const changes = targets.flatMap(({ at }): Change[] => [
      { type: 'blob.link', at, digest, size, when },
      { type: 'cache.touched', at, digests: [digest], when },
    ]);
    await metadata.apply(changes, { durable: false });
    for (const { onLinked } of targets) {
      try {
        onLinked?.(info);
      } catch (error) {
        runtime.log.error({ err: error, digest }, 'what was to be told of a cached blob threw');
      }
    }
  }

  async #withRepository(targets: readonly FillTarget[]): Promise<readonly FillTarget[]> {
    const found = await Promise.all(targets.map(({ at }) => this.#parts.metadata.repository(at.repository)));
    return targets.filter((_target, index) => found[index] !== undefined);
  }
}
