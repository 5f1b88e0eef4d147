import type { Counted, ImportReport } from '../../ports/archives.js';
import type { Digest } from '../../protocol/digest.js';
import type { PlannedManifest } from './archive-plan.js';
import type { ImageTarget } from './archive-targets.js';

type Kind = 'manifests' | 'blobs';

/** Counts what an archive brought, and what of it was there already. */
export class Tally {
  readonly #seen: Record<Kind, Map<Digest, { readonly size: number; present: boolean }>> = {
    manifests: new Map(),
    blobs: new Map(),
  };

  /** Once for each image that it goes to. */
  count(kind: Kind, digest: Digest, size: number, present: boolean): void {
    const before = this.#seen[kind].get(digest);
    this.#seen[kind].set(digest, { size, present: present && (before?.present ?? true) });
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
    const all = [...this.#seen[kind].values()];
    const present = all.filter((item) => item.present);
    return {
      total: all.length,
      bytes: all.reduce((sum, { size }) => sum + size, 0),
      presentTotal: present.length,
      presentBytes: present.reduce((sum, { size }) => sum + size, 0),
    };
  }
}

/** Of an index, what its entries say, else what the configs below it say. */
function platformsOf(top: PlannedManifest): readonly string[] {
  const platforms = new Set<string>();
  // Grows while it is walked: each manifest once, however many name it.
  const asked = new Set([top]);
  for (const { platforms: own, children } of asked) {
    for (const platform of own) platforms.add(platform);
    if (own.length === 0) for (const child of children) asked.add(child);
  }
  return [...platforms];
}

/** Everything below the manifest and itself, each digest once. */
function weigh(parts: readonly PlannedManifest[]): number {
  const sizes = new Map<Digest, number>();
  for (const { manifest, blobs } of parts) {
    sizes.set(manifest.digest, manifest.bytes.length);
    for (const { digest, size } of blobs.values()) sizes.set(digest, size);
  }
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}
