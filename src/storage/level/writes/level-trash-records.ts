/** The records of the trash. A manifest in the trash keeps its bytes and its links. */

import type { ImageKey, ManifestRecord } from '../../../ports/images.js';
import type { TrashItem } from '../../../ports/trash.js';
import type { Digest } from '../../../protocol/digest.js';
import type { Tag } from '../../../protocol/names.js';
import { count } from '../derived/level-counts.js';
import { holderMember, holderPrefix, keptPrefix, type Place } from '../level-keys.js';
import { expiringKey, trashedKey } from '../level-ordered-keys.js';
import type { LevelView } from '../level-view.js';
import type { JournalRecorder } from './level-journal.js';

/** Adds a manifest, whose record and reverse keys are gone already, to the trash. */
export function putTrash(view: LevelView, place: Place, item: TrashItem): void {
  const { digest, manifest, until } = item;
  view.put(trashedKey(place, digest), item);
  view.put(expiringKey(place, digest, until), '');
  view.addMember(holderPrefix(digest), holderMember('trash', place));
  for (const named of manifest.references) view.addMember(keptPrefix(place, named), digest);
  count(view, place, { trashed: 1 });
}

/** Removes a manifest from the trash, without candidates for what it kept. Returns its item. */
export function takeTrash(view: LevelView, place: Place, digest: Digest): TrashItem | undefined {
  const key = trashedKey(place, digest);
  const item = view.get(key);
  if (item === undefined) return undefined;
  view.delete(key);
  view.delete(expiringKey(place, digest, item.until));
  view.removeMember(holderPrefix(digest), holderMember('trash', place));
  for (const named of item.manifest.references) view.removeMember(keptPrefix(place, named), digest);
  count(view, place, { trashed: -1 });
  return item;
}

/** Describes a manifest that a write moves to the trash. The caller adds its bytes. */
export function describeTrash(
  at: ImageKey,
  manifest: ManifestRecord,
  tags: readonly Tag[],
  times: { readonly deletedAt: number; readonly until: number },
  journal: JournalRecorder,
): TrashItem {
  const by = journal.actor === undefined ? {} : { by: journal.actor };
  return { at, digest: manifest.digest, manifest, tags: tags.toSorted(), ...times, bytes: 0, ...by };
}
