/** Translates changes of manifests and tags into keys; see `level-changes.ts`. */
import type { Digest } from '../../../protocol/digest.js';
import { ConflictError } from '../../../util/conflict-error.js';
import type { Change, TagRecord } from '../../../ports/metadata/metadata.js';
import type { ManifestRecord } from '../../../ports/metadata/images.js';
import { takeTurns } from '../../../util/scheduling/turns.js';
import { describeTrash } from '../../image-content.js';
import { dropCandidate, putCandidate } from '../derived/level-candidates.js';
import { count, weigh } from '../derived/level-counts.js';
import { noteStored } from '../derived/level-stored.js';
import {
  condemnedKey,
  holderMember,
  holderPrefix,
  imageKey,
  keptPrefix,
  linkKey,
  manifestKey,
  namedPrefix,
  referrerPrefix,
  tagKey,
  taggedPrefix,
  type Place,
} from '../level-keys.js';
import { pullsKey, trashedKey } from '../level-ordered-keys.js';
import type { LevelView } from '../level-view.js';
import type { JournalRecorder } from './level-journal.js';
import { forgetTouch } from './level-touches.js';
import { putTrash, takeTrash } from './level-trash-records.js';

type ChangeOf<T extends Change['type']> = Extract<Change, { type: T }>;

/** Writes a manifest with its reverse keys. */
export async function putManifest(
  view: LevelView,
  place: Place,
  { at, manifest }: ChangeOf<'manifest.put'>,
  journal: JournalRecorder,
): Promise<void> {
  const { digest, mediaType } = manifest;
  refuseCondemned(view, digest);
  const key = manifestKey(place, digest);
  const before = view.get(key);
  const link = view.get(linkKey(place, digest));
  view.put(key, manifest);
  view.addMember(holderPrefix(digest), holderMember('manifest', place));
  noteStored(view, digest, manifest.size);
  if (before !== undefined) removeReverseKeys(view, place, before);
  else journal.record('manifest.pushed', { ...at, digest, mediaType });
  for (const named of manifest.references) view.addMember(namedPrefix(place, named), digest);
  if (manifest.subject !== undefined) view.addMember(referrerPrefix(place, manifest.subject), digest);
  count(view, place, {
    manifests: before === undefined ? 1 : 0,
    bytes: weigh(manifest, link) - weigh(before, link),
    when: manifest.pushedAt,
    pushedAt: manifest.pushedAt,
  });
  // After the count, which would forget an image that is empty in between.
  const trashed = (await takeTrash(view, place, digest, manifest.pushedAt))?.manifest;
  // The same bytes name the same digests, unless two releases parse manifests differently.
  const kept = new Set(manifest.references);
  const dropped = (before ?? trashed)?.references.filter((named) => !kept.has(named)) ?? [];
  await releaseReferences(view, place, dropped, manifest.pushedAt);
  const turn = takeTurns();
  for (const named of manifest.references) {
    await turn();
    reviveLink(view, place, named);
    dropCandidate(view, { kind: 'link', place, digest: named });
  }
}

/** Deletes a manifest and its tags. Leaves candidates for its bytes and its links. */
export async function deleteManifest(
  view: LevelView,
  place: Place,
  { at, digest, when, trashUntil }: ChangeOf<'manifest.delete'>,
  journal: JournalRecorder,
): Promise<void> {
  const key = manifestKey(place, digest);
  const before = view.get(key);
  if (before === undefined) return;
  const tagged = taggedPrefix(place, digest);
  // The members of `taggedPrefix` are tags.
  const tags = (await view.members(tagged)) as TagRecord['name'][];
  for (const tag of tags) {
    const key = tagKey(place, tag);
    journal.recordMove(at, place, tag, view.get(key), undefined);
    view.delete(key);
    view.removeMember(tagged, tag);
  }
  journal.record('manifest.deleted', { ...at, digest });
  view.delete(key);
  view.delete(pullsKey(place, digest));
  view.removeMember(holderPrefix(digest), holderMember('manifest', place));
  removeReverseKeys(view, place, before);
  const link = view.get(linkKey(place, digest));
  const bytes = weigh(undefined, link) - weigh(before, link);
  const item =
    trashUntil === undefined
      ? undefined
      : describeTrash(at, before, tags, { deletedAt: when, until: trashUntil, by: journal.actor });
  // Before the count, which would forget an image that is empty in between.
  if (item !== undefined) putTrash(view, place, item);
  count(view, place, { manifests: -1, tags: -tags.length, bytes, when });
  forgetTouch(view, place, digest);
  if (item === undefined) putCandidate(view, { kind: 'bytes', digest }, when);
  const freed = await releaseReferences(view, place, before.references, when);
  if (item !== undefined) view.put(trashedKey(place, digest), { ...item, bytes: freed - bytes });
}

function removeReverseKeys(view: LevelView, place: Place, manifest: ManifestRecord): void {
  for (const named of manifest.references) view.removeMember(namedPrefix(place, named), manifest.digest);
  if (manifest.subject !== undefined) view.removeMember(referrerPrefix(place, manifest.subject), manifest.digest);
}

/**
 * Leaves candidates for the links of digests that a manifest no longer names. Links that the trash keeps no longer count
 * in the size of the image. Returns by how many bytes that reduced it.
 */
export async function releaseReferences(
  view: LevelView,
  place: Place,
  digests: readonly Digest[],
  when: number,
): Promise<number> {
  const turn = takeTurns();
  let freed = 0;
  for (const digest of digests) {
    await turn();
    const key = linkKey(place, digest);
    const link = view.get(key);
    if (link === undefined || (await isNamed(view, place, digest))) continue;
    if (!(await isKept(view, place, digest))) putCandidate(view, { kind: 'link', place, digest }, when);
    else if (link.inTrash !== true) {
      const manifest = view.get(manifestKey(place, digest));
      view.put(key, { ...link, inTrash: true });
      const bytes = weigh(manifest, link) - weigh(manifest, { ...link, inTrash: true });
      count(view, place, { bytes: -bytes });
      freed += bytes;
    }
  }
  return freed;
}

/** Counts a link again that only the trash needed before. */
function reviveLink(view: LevelView, place: Place, digest: Digest): void {
  if (view.get(imageKey(place))?.links === 0) return;
  const key = linkKey(place, digest);
  const link = view.get(key);
  if (link?.inTrash !== true) return;
  const { inTrash: _, ...revived } = link;
  view.put(key, revived);
  const manifest = view.get(manifestKey(place, digest));
  count(view, place, { bytes: weigh(manifest, revived) - weigh(manifest, link) });
}

/** Points a tag to a manifest. @throws ConflictError when the image lacks the manifest. */
export function putTag(view: LevelView, place: Place, change: ChangeOf<'tag.put'>, journal: JournalRecorder): void {
  const { name, digest, updatedAt, checkedAt } = change.tag;
  if (view.get(manifestKey(place, digest)) === undefined) {
    throw new ConflictError(
      `tag "${name}" cannot point to ${digest}: image "${place.image}" does not have this manifest`,
    );
  }
  const key = tagKey(place, name);
  const before = view.get(key);
  if (before !== undefined) view.removeMember(taggedPrefix(place, before.digest), name);
  journal.recordMove(change.at, place, name, before, digest);
  view.put(key, { name, digest, updatedAt, ...(checkedAt === undefined ? {} : { checkedAt }) });
  view.addMember(taggedPrefix(place, digest), name);
  count(view, place, { tags: before === undefined ? 1 : 0, when: updatedAt, pushedAt: updatedAt });
}

/** Deletes a tag. */
export function deleteTag(
  view: LevelView,
  place: Place,
  { at, tag }: ChangeOf<'tag.delete'>,
  journal: JournalRecorder,
): void {
  const key = tagKey(place, tag);
  const before = view.get(key);
  if (before === undefined) return;
  view.delete(key);
  journal.recordMove(at, place, tag, before, undefined);
  view.removeMember(taggedPrefix(place, before.digest), tag);
  count(view, place, { tags: -1 });
}

/**
 * Returns whether a manifest of the image names the digest. Skips the lookup when the image has no manifests, as after its last
 * one was deleted.
 */
async function isNamed(view: LevelView, place: Place, digest: Digest): Promise<boolean> {
  if ((view.get(imageKey(place))?.record.manifests ?? 0) === 0) return false;
  return view.hasMembers(namedPrefix(place, digest));
}

/** Returns whether a manifest in the trash of the image names the digest. */
export async function isKept(view: LevelView, place: Place, digest: Digest): Promise<boolean> {
  if (view.get(imageKey(place))?.trashed === undefined) return false;
  return view.hasMembers(keptPrefix(place, digest));
}

/** @throws ConflictError when the bytes are about to be deleted. */
export function refuseCondemned(view: LevelView, digest: Digest): void {
  if (view.get(condemnedKey(digest)) !== undefined) throw new ConflictError(`the bytes of ${digest} are being deleted`);
}
