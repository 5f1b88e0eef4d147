import type { CacheItem, CacheRecords, ImageRecords, MetadataWriter } from '../../../ports/metadata/metadata.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Digest } from '../../../protocol/digest.js';
import type { Tag } from '../../../protocol/names.js';
import { dropCached, type CachedContent } from './drop-cached.js';
import { pagesOf } from '../../../util/pages.js';

/** The items that a purge dropped. */
export interface PurgeTotals {
  readonly tags: number;
  readonly manifests: number;
  readonly blobs: number;
  readonly bytes: number;
}

type PurgeRecords = ImageRecords & CacheRecords & MetadataWriter;

const batchSize = 200;

/** Drops the content of a cache in bounded batches, pinned or not. Use an instance once. */
export class CachePurge {
  readonly #metadata: PurgeRecords;
  readonly #repository: string;
  readonly #isStopped: () => boolean;
  readonly #tally = { tags: 0, manifests: 0, blobs: 0, bytes: 0 };

  constructor(metadata: PurgeRecords, repository: string, isStopped: () => boolean) {
    this.#metadata = metadata;
    this.#repository = repository;
    this.#isStopped = isStopped;
  }

  get report(): PurgeTotals {
    return { ...this.#tally };
  }

  /**
   * Drops a tag; its manifest too, when no other tag or manifest of the image names it; and the content that this leaves
   * unnamed.
   */
  async purgeTag(at: ImageKey, tag: Tag): Promise<void> {
    const record = await this.#metadata.tag(at, tag);
    if (record === undefined || !(await this.#dropTags(at, [tag]))) return;
    const tagged = new Set<Digest>();
    await this.#eachTagPage(at, (items) => items.forEach(({ digest }) => tagged.add(digest)));
    await this.#dropTree(at, [record.digest], async (digest) => {
      return tagged.has(digest) || (await this.#metadata.isNamed(at, digest));
    });
  }

  /**
   * Drops everything in an image. Items accessed since `startedAt` may stay. Scans the access times of the whole
   * repository, because untagged items are listed nowhere else.
   */
  async purgeImage(at: ImageKey, startedAt: number): Promise<void> {
    await this.#purgeTags(at);
    await this.#purgeTouched(startedAt, (item) => item.at.image === at.image);
  }

  /** Drops everything in all images, like `purgeImage`. */
  async purgeAll(startedAt: number): Promise<void> {
    const images = pagesOf(
      (page) => this.#metadata.images(this.#repository, page),
      ({ image }) => image,
      { limit: batchSize },
    );
    for await (const items of images) {
      for (const { image } of items) await this.#purgeTags({ repository: this.#repository, image });
      if (this.#isStopped()) break;
    }
    await this.#purgeTouched(startedAt, () => true);
  }

  /** Drops the tags of an image and everything that they lead to. */
  async #purgeTags(at: ImageKey): Promise<void> {
    const roots = new Set<Digest>();
    // All tags first: deleting a manifest deletes its remaining tags, which would not be counted.
    await this.#eachTagPage(at, async (items) => {
      for (const { digest } of items) roots.add(digest);
      const names = items.map(({ name }) => name);
      if (names.length > 0) await this.#dropTags(at, names);
    });
    await this.#dropTree(at, [...roots]);
  }

  async #eachTagPage(
    at: ImageKey,
    visit: (items: readonly { readonly name: Tag; readonly digest: Digest }[]) => unknown,
  ): Promise<void> {
    if (this.#isStopped()) return;
    const tags = pagesOf(
      (page) => this.#metadata.tags(at, page),
      ({ name }) => name,
      { limit: batchSize },
    );
    for await (const items of tags) {
      await visit(items);
      if (this.#isStopped()) return;
    }
  }

  /** Returns false when the repository was deleted in the meantime. */
  async #dropTags(at: ImageKey, tags: readonly Tag[]): Promise<boolean> {
    const changes = tags.map((tag) => ({ type: 'tag.delete', at, tag }) as const);
    const isDropped = await this.#metadata.tryApply(changes, { durable: true });
    if (isDropped) this.#tally.tags += tags.length;
    return isDropped;
  }

  /** Drops manifests and what they name, level by level. Keeps digests for which `isNeeded` returns true. */
  async #dropTree(
    at: ImageKey,
    roots: readonly Digest[],
    isNeeded?: (digest: Digest) => Promise<boolean>,
  ): Promise<void> {
    const seen = new Set(roots);
    const waiting = [...roots];
    for (let done = 0; done < waiting.length && !this.#isStopped();) {
      const batch = waiting.slice(done, done + batchSize);
      done += batch.length;
      const references = new Map<Digest, readonly Digest[]>();
      const items: CachedContent[] = [];
      for (const digest of batch) {
        if (isNeeded !== undefined && (await isNeeded(digest))) continue;
        const manifest = await this.#metadata.manifest(at, digest);
        const found = manifest ?? (await this.#metadata.link(at, digest));
        if (found === undefined) continue;
        items.push({ kind: manifest ? 'manifest' : 'link', at, digest, size: found.size });
        references.set(digest, manifest?.references ?? []);
      }
      for (const { digest } of await this.#drop(items, isNeeded !== undefined)) {
        for (const named of references.get(digest) ?? []) {
          if (!seen.has(named)) waiting.push(named);
          seen.add(named);
        }
      }
    }
  }

  async #purgeTouched(startedAt: number, isMeant: (item: CacheItem) => boolean): Promise<void> {
    for (let after: CacheItem | undefined; !this.#isStopped();) {
      const page = { limit: batchSize, ...(after === undefined ? {} : { after }) };
      const items = await this.#metadata.evictable(this.#repository, page);
      after = items.at(-1);
      // Content that keeps arriving is not followed.
      if (after === undefined) return;
      await this.#drop(
        items.filter((item) => item.touchedAt <= startedAt && isMeant(item)),
        false,
      );
      if (after.touchedAt > startedAt) return;
    }
  }

  async #drop(items: readonly CachedContent[], unnamed: boolean): Promise<readonly CachedContent[]> {
    const dropped = await dropCached(this.#metadata, items, { unnamed });
    for (const { kind, size } of dropped) {
      this.#tally[kind === 'manifest' ? 'manifests' : 'blobs'] += 1;
      this.#tally.bytes += size;
    }
    return dropped;
  }
}
