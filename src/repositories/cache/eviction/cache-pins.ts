import type { ImageRecords } from '../../../ports/metadata/metadata.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Digest } from '../../../protocol/digest.js';
import { matchesAny } from '../../../protocol/patterns.js';
import { itemsOf } from '../../../util/pages.js';

const tagPage = 1000;

/**
 * Finds what pins protect: everything in an image whose name matches a pin; for a pin of the form `image:tag`, the
 * tagged manifest and everything that it names, directly or through other manifests. Caches its findings: create one
 * for each batch.
 */
export class CachePins {
  readonly #metadata: ImageRecords;
  readonly #images: readonly string[];
  readonly #tags: readonly { readonly image: string; readonly tag: string }[];
  readonly #found = new Map<string, Promise<ReadonlySet<Digest>>>();

  constructor(metadata: ImageRecords, pins: readonly string[]) {
    this.#metadata = metadata;
    // Neither image names nor tags contain a colon.
    this.#images = pins.filter((pin) => !pin.includes(':'));
    this.#tags = pins
      .filter((pin) => pin.includes(':'))
      .map((pin) => ({ image: pin.slice(0, pin.indexOf(':')), tag: pin.slice(pin.indexOf(':') + 1) }));
  }

  async isPinned(at: ImageKey, digest: Digest): Promise<boolean> {
    if (matchesAny(this.#images, at.image)) return true;
    const patterns = this.#tags.filter(({ image }) => matchesAny([image], at.image)).map(({ tag }) => tag);
    if (patterns.length === 0) return false;
    let found = this.#found.get(at.image);
    if (found === undefined) this.#found.set(at.image, (found = this.#protectedBy(at, patterns)));
    return (await found).has(digest);
  }

  async #protectedBy(at: ImageKey, patterns: readonly string[]): Promise<ReadonlySet<Digest>> {
    const found = new Set<Digest>();
    const tags = itemsOf(
      (page) => this.#metadata.tags(at, page),
      ({ name }) => name,
      { limit: tagPage },
    );
    for await (const { name, digest } of tags) if (matchesAny(patterns, name)) found.add(digest);
    // The set grows during the loop, because a named manifest may name more.
    for (const digest of found) {
      const manifest = await this.#metadata.manifest(at, digest);
      for (const named of manifest?.references ?? []) found.add(named);
    }
    return found;
  }
}
