import type { BlobInfo } from '../../../ports/bytes.js';
import type { Change, RepositoryRecords } from '../../../ports/metadata/metadata.js';
import type { FillTarget } from './fill.js';
import type { PublishParts } from '../../content/publish.js';

type LinkParts = PublishParts & { readonly metadata: RepositoryRecords };

/**
 * Links cached blobs to images, without a sync: after a power cut, bytes without a link are linked again when the
 * upstream answers for them.
 */
export class FillLinks {
  readonly #parts: LinkParts;

  constructor(parts: LinkParts) {
    this.#parts = parts;
  }

  /**
   * Links the blob to all images in one write; the caller holds the digest's lock. Skips images whose repository was
   * deleted. Returns false when the blob was linked to none of them.
   */
  async linkAll(targets: readonly FillTarget[], info: BlobInfo): Promise<boolean> {
    for (let present = targets; ;) {
      if (await this.#apply(present, info)) return true;
      const left = await this.#withRepository(present);
      if (left.length === 0 || left.length === present.length) return false;
      present = left;
    }
  }

  /** Links stored bytes. Returns false when the bytes or the repository are gone. */
  async linkStored(target: FillTarget, info: BlobInfo): Promise<boolean> {
    const { digestLocks, blobs } = this.#parts;
    return digestLocks.run(info.digest, async () => {
      if ((await blobs.stat(info.digest))?.size !== info.size) return false;
      return this.#apply([target], info);
    });
  }

  async #apply(targets: readonly FillTarget[], info: BlobInfo): Promise<boolean> {
    const { metadata, runtime } = this.#parts;
    const { digest, size } = info;
    const when = runtime.now();
    // Record the first access: an item without an access time is never evicted.
    const changes = targets.flatMap(({ at }): Change[] => [
      { type: 'blob.link', at, digest, size, when },
      { type: 'cache.touched', at, digests: [digest], when },
    ]);
    // Another process may have deleted the bytes since they were seen or published.
    const require = [{ type: 'bytes', digest, size } as const];
    if (!(await metadata.tryApply(changes, { durable: false, require }))) return false;
    for (const { onLinked } of targets) {
      try {
        onLinked?.(info);
      } catch (error) {
        runtime.log.error({ err: error, digest }, 'onLinked callback failed');
      }
    }
    return true;
  }

  async #withRepository(targets: readonly FillTarget[]): Promise<readonly FillTarget[]> {
    const found = await Promise.all(targets.map(({ at }) => this.#parts.metadata.repository(at.repository)));
    return targets.filter((_target, index) => found[index] !== undefined);
  }
}
