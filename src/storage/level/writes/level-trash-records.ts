/**
 * The records of the trash. A manifest in the trash keeps its bytes and its links. A link that is deleted in the
 * meantime is hidden, but keeps its bytes, so that the manifest can be restored completely.
 */

import type { ManifestRecord } from '../../../ports/metadata/images.js';
import type { BlobLink } from '../../../ports/metadata/metadata.js';
import type { TrashItem } from '../../../ports/metadata/trash.js';
import type { Digest } from '../../../protocol/digest.js';
import { takeTurns } from '../../../util/scheduling/turns.js';
import { putCandidate } from '../derived/level-candidates.js';
import { count, weigh } from '../derived/level-counts.js';
import { noteStored } from '../derived/level-stored.js';
import { holderMember, holderPrefix, keptPrefix, linkKey, manifestKey, type Place } from '../level-keys.js';
import { expiringKey, trashedKey, unlinkedKey } from '../level-ordered-keys.js';
import type { LevelView } from '../level-view.js';

/** Adds a manifest, whose record and reverse keys are gone already, to the trash. */
export function putTrash(view: LevelView, place: Place, item: TrashItem): void {
  const { digest, manifest, until } = item;
  view.put(trashedKey(place, digest), item);
  view.put(expiringKey(place, digest, until), '');
  view.addMember(holderPrefix(digest), holderMember('trash', place));
  for (const named of manifest.references) view.addMember(keptPrefix(place, named), digest);
  count(view, place, { trashed: 1 });
}

/**
 * Removes a manifest from the trash, without candidates for its bytes and its links. Leaves candidates for the bytes of
 * deleted links that only it kept. Returns its item.
 */
export async function takeTrash(
  view: LevelView,
  place: Place,
  digest: Digest,
  when: number,
): Promise<TrashItem | undefined> {
  const key = trashedKey(place, digest);
  const item = view.get(key);
  if (item === undefined) return undefined;
  view.delete(key);
  view.delete(expiringKey(place, digest, item.until));
  view.removeMember(holderPrefix(digest), holderMember('trash', place));
  const turn = takeTurns();
  for (const named of item.manifest.references) {
    await turn();
    view.removeMember(keptPrefix(place, named), digest);
    if (view.get(unlinkedKey(place, named)) === undefined) continue;
    if (await view.hasMembers(keptPrefix(place, named))) continue;
    forgetUnlinked(view, place, named);
    putCandidate(view, { kind: 'bytes', digest: named }, when);
  }
  count(view, place, { trashed: -1 });
  return item;
}

/** Keeps the bytes of a deleted link that a manifest in the trash names. */
export function putUnlinked(view: LevelView, place: Place, digest: Digest, { size, linkedAt }: BlobLink): void {
  view.put(unlinkedKey(place, digest), { size, linkedAt });
  view.addMember(holderPrefix(digest), holderMember('unlinked', place));
}

/** Forgets a deleted link: a new one exists, or nothing in the trash names the blob. */
export function forgetUnlinked(view: LevelView, place: Place, digest: Digest): void {
  view.delete(unlinkedKey(place, digest));
  view.removeMember(holderPrefix(digest), holderMember('unlinked', place));
}

/** Creates the deleted links of a manifest that is restored. */
export async function relink(view: LevelView, place: Place, { references }: ManifestRecord): Promise<void> {
  const turn = takeTurns();
  for (const digest of references) {
    await turn();
    const link = view.get(unlinkedKey(place, digest));
    if (link === undefined) continue;
    forgetUnlinked(view, place, digest);
    view.put(linkKey(place, digest), link);
    view.addMember(holderPrefix(digest), holderMember('link', place));
    noteStored(view, digest, link.size);
    const manifest = view.get(manifestKey(place, digest));
    count(view, place, { links: 1, bytes: weigh(manifest, link) - weigh(manifest, undefined) });
  }
}
