import type {
  CacheItem,
  CacheRecords,
  Change,
  ImageRecords,
  MetadataWriter,
} from '../../../ports/metadata/metadata.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import { toCanonicalImage } from '../../../protocol/docker-hub.js';
import { CachePurge } from './cache-purge.js';
import { dropCached } from './drop-cached.js';
import { pagesOf } from '../../../util/pages.js';

type Records = ImageRecords & CacheRecords & MetadataWriter;

const pageSize = 200;

/**
 * Moves the images that a cache of Docker Hub holds under short names (`alpine`) to the canonical ones (`library/alpine`).
 * Earlier releases used short names, and `dockerHub` may be set for a cache that already has content. Tags that already
 * exist under the canonical name stay as they are. Content that cannot be moved is dropped, so that unreachable content
 * does not occupy space.
 */
export class ShortNames {
  readonly #metadata: Records;
  readonly #repository: string;
  readonly #isStopped: () => boolean;

  constructor(metadata: Records, repository: string, isStopped: () => boolean) {
    this.#metadata = metadata;
    this.#repository = repository;
    this.#isStopped = isStopped;
  }

  /** Returns the number of images that had short names. The next call continues an interrupted move. */
  async move(): Promise<number> {
    const images = await this.#list();
    if (images.length === 0) return 0;
    for (const image of images) await this.#copyTags(this.#at(image));
    for (let after: CacheItem | undefined; !this.#isStopped();) {
      const page = { limit: pageSize, ...(after === undefined ? {} : { after }) };
      const items = await this.#metadata.evictable(this.#repository, page);
      after = items.at(-1);
      if (after === undefined) break;
      const own = items.filter(({ at }) => isShort(at.image));
      await Promise.all(own.map((item) => this.#copy(item)));
      await dropCached(this.#metadata, own);
    }
    // Without an access time, content is found by its tags only.
    for (const image of await this.#list())
      await new CachePurge(this.#metadata, this.#repository, this.#isStopped).purgeImage(this.#at(image), 0);
    return images.length;
  }

  #at(image: string): ImageKey {
    return { repository: this.#repository, image };
  }

  async #list(): Promise<readonly string[]> {
    const found: string[] = [];
    const images = pagesOf(
      (page) => this.#metadata.images(this.#repository, page),
      ({ image }) => image,
      { limit: pageSize },
    );
    for await (const items of images) {
      found.push(...items.map(({ image }) => image).filter(isShort));
      if (this.#isStopped()) break;
    }
    return found;
  }

  async #copyTags(from: ImageKey): Promise<void> {
    const at = toCanonical(from);
    if (this.#isStopped()) return;
    const tags = pagesOf(
      (page) => this.#metadata.tags(from, page),
      ({ name }) => name,
      { limit: pageSize },
    );
    for await (const items of tags) {
      for (const tag of items) {
        const manifest = await this.#metadata.manifest(from, tag.digest);
        if (manifest === undefined) continue;
        const changes: Change[] = [
          { type: 'manifest.put', at, manifest },
          { type: 'tag.put', at, tag },
        ];
        const require = [{ type: 'tag', at, tag: tag.name, is: 'absent' } as const];
        await this.#metadata.tryApply(changes, { durable: false, require });
      }
      if (this.#isStopped()) return;
    }
  }

  /** Copies a link or manifest, with the time of its last access. */
  async #copy({ at: from, kind, digest, size, touchedAt }: CacheItem): Promise<void> {
    const at = toCanonical(from);
    const manifest = kind === 'manifest' ? await this.#metadata.manifest(from, digest) : undefined;
    const link = await this.#metadata.link(from, digest);
    const changes: Change[] = [];
    if (manifest !== undefined) changes.push({ type: 'manifest.put', at, manifest });
    if (link !== undefined) changes.push({ type: 'blob.link', at, digest, size, when: link.linkedAt });
    changes.push({ type: 'cache.touched', at, digests: [digest], when: touchedAt });
    // A conflict means that the content was dropped or its bytes are about to be deleted.
    await this.#metadata.tryApply(changes, {
      durable: false,
      require: [{ type: kind, at: from, digest, is: 'present' }],
    });
  }
}

function isShort(image: string): boolean {
  return toCanonicalImage(image) !== image;
}

function toCanonical({ repository, image }: ImageKey): ImageKey {
  return { repository, image: toCanonicalImage(image) };
}
