import type { Counted, ImportReport } from '../../ports/archives.js';
import type { Digest } from '../../protocol/digest.js';
import type { PlannedManifest } from './archive-plan.js';
import type { ImageTarget } from './archive-targets.js';

type Kind = 'manifests' | 'blobs';

/** Counts the content of an import, and how much of it was already present. */
export class Tally {
  readonly #items: Record<Kind, Map<Digest, { readonly size: number; present: boolean }>> = {
    manifests: new Map(),
    blobs: new Map(),
  };

  /** Counts content for one image. Content counts as present only if every image already had it. */
  count(kind: Kind, digest: Digest, size: number, present: boolean): void {
    const before = this.#items[kind].get(digest);
    this.#items[kind].set(digest, { size, present: present && (before?.present ?? true) });
  }

  report(targets: readonly ImageTarget[]): ImportReport {
    const images = targets.map(({ image, tags, top, parts }) => ({
      image,
      tags: [...tags],
      digest: top.manifest.digest,
      mediaType: top.manifest.mediaType,
      platforms: platformsOf(top),
      bytes: weigh(parts),
    }));
    return { images, manifests: this.#sum('manifests'), blobs: this.#sum('blobs') };
  }

  #sum(kind: Kind): Counted {
    const all = [...this.#items[kind].values()];
    const present = all.filter((item) => item.present);
    return {
      total: all.length,
      bytes: all.reduce((sum, { size }) => sum + size, 0),
      presentTotal: present.length,
      presentBytes: present.reduce((sum, { size }) => sum + size, 0),
    };
  }
}

/** Returns the platforms of an index according to its entries, or else according to the configs below it. */
function platformsOf(top: PlannedManifest): readonly string[] {
  const platforms = new Set<string>();
  // The set grows during the loop and visits each manifest once.
  const visited = new Set([top]);
  for (const { platforms: own, children } of visited) {
    for (const platform of own) platforms.add(platform);
    if (own.length === 0) for (const child of children) visited.add(child);
  }
  return [...platforms];
}

/** Returns the total size of an image in bytes, counting each digest once. */
function weigh(parts: readonly PlannedManifest[]): number {
  const sizes = new Map<Digest, number>();
  for (const { manifest, blobs } of parts) {
    sizes.set(manifest.digest, manifest.bytes.length);
    for (const { digest, size } of blobs.values()) sizes.set(digest, size);
  }
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}
