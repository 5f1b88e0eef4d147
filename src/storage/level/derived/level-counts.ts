/**
 * Entries that follow from other entries and are updated in the same write: sizes of images, counts of references,
 * candidates for collection, lists of tags.
 */

import type { BlobLink } from '../../../ports/metadata/metadata.js';
import type { ManifestRecord } from '../../../ports/metadata/images.js';
import type { CountChange } from '../../image-content.js';
import { imageKey, type Place } from '../level-keys.js';
import type { LevelView } from '../level-view.js';

/**
 * Returns how many bytes a digest adds to its image. A digest that is both a manifest and a linked blob counts once. A
 * blob that only the trash needs does not count.
 */
export function weigh(manifest: ManifestRecord | undefined, link: BlobLink | undefined): number {
  return manifest?.size ?? (link?.inTrash === true ? 0 : (link?.size ?? 0));
}

/** Always writes absolute counts, even unchanged ones: an earlier write of them may not have reached the disk yet. */
export function count(view: LevelView, place: Place, by: CountChange): void {
  view.grow(place, by.bytes ?? 0);
  const key = imageKey(place);
  const before = view.get(key);
  const pushedAt = Math.max(before?.record.pushedAt ?? 0, by.pushedAt ?? 0);
  const record = {
    image: place.image,
    manifests: (before?.record.manifests ?? 0) + (by.manifests ?? 0),
    tags: (before?.record.tags ?? 0) + (by.tags ?? 0),
    bytes: (before?.record.bytes ?? 0) + (by.bytes ?? 0),
    updatedAt: Math.max(before?.record.updatedAt ?? 0, by.when ?? 0),
    ...(pushedAt === 0 ? {} : { pushedAt }),
  };
  const links = (before?.links ?? 0) + (by.links ?? 0);
  const trashed = (before?.trashed ?? 0) + (by.trashed ?? 0);
  if (record.manifests === 0 && links === 0 && trashed === 0) view.delete(key);
  else view.put(key, { record, links, ...(trashed === 0 ? {} : { trashed }) });
}
