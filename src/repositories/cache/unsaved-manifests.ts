import { LRUCache } from 'lru-cache';
import type { ManifestContent, ManifestRecord } from '../../ports/metadata/images.js';
import type { TagRecord } from '../../ports/metadata/metadata.js';
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';

const maxTags = 10_000;
const maxManifestBytes = 32 * 1024 * 1024;

/** An upstream's manifest that could not be stored. */
export interface UnsavedManifest {
  readonly record: ManifestRecord;
  readonly content: ManifestContent;
}

/**
 * Holds manifests and tags that a cache could not store because the disk is full. They are newer than the stored ones.
 * Bounded: the least recently used are forgotten and requested from the upstream again.
 */
export class UnsavedManifests {
  readonly #tags = new LRUCache<string, TagRecord>({ maxSize: maxTags, sizeCalculation: () => 1 });
  readonly #manifests = new LRUCache<string, UnsavedManifest>({
    maxSize: maxManifestBytes,
    sizeCalculation: ({ content }) => content.bytes.length + 500,
  });

  tag(image: string, tag: Tag): TagRecord | undefined {
    return this.#tags.get(keyOf(image, tag));
  }

  keepTag(image: string, tag: TagRecord): void {
    this.#tags.set(keyOf(image, tag.name), tag);
  }

  forgetTag(image: string, tag: Tag): void {
    this.#tags.delete(keyOf(image, tag));
  }

  manifest(image: string, digest: Digest): UnsavedManifest | undefined {
    return this.#manifests.get(keyOf(image, digest));
  }

  keepManifest(image: string, manifest: UnsavedManifest): void {
    this.#manifests.set(keyOf(image, manifest.record.digest), manifest);
  }

  forgetManifest(image: string, digest: Digest): void {
    this.#manifests.delete(keyOf(image, digest));
  }

  /** Forgets everything about an image, or about all images. */
  forget(image?: string): void {
    for (const cache of [this.#tags, this.#manifests]) {
      const keys = [...cache.keys()];
      for (const key of keys) if (image === undefined || key.startsWith(keyOf(image, ''))) cache.delete(key);
    }
  }
}

/** Image names do not contain `\0`. */
function keyOf(image: string, name: string): string {
  return `${image}\0${name}`;
}
