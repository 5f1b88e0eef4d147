/** What both drivers of the index derive from the content of an image. */
import type { ImageKey, ManifestRecord } from '../ports/metadata/images.js';
import type { Actor } from '../ports/metadata/journal.js';
import type { TrashItem } from '../ports/metadata/trash.js';
import type { Tag } from '../protocol/names.js';

/** The additions of a change to the counts of an image. */
export interface CountChange {
  readonly manifests?: number;
  readonly tags?: number;
  readonly links?: number;
  readonly trashed?: number;
  readonly bytes?: number;
  /** Absent when the change carries no time, or one that images do not show. */
  readonly when?: number;
  /** The time of a push. */
  readonly pushedAt?: number;
}

/** Describes a manifest that a write moves to the trash. The caller adds its bytes. */
export function describeTrash(
  at: ImageKey,
  manifest: ManifestRecord,
  tags: readonly Tag[],
  { by, ...times }: { readonly deletedAt: number; readonly until: number; readonly by: Actor | undefined },
): TrashItem {
  const item = { at, digest: manifest.digest, manifest, tags: tags.toSorted(), ...times, bytes: 0 };
  return by === undefined ? item : { ...item, by };
}
