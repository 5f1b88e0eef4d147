/**
 * Translates each change into keys: the record itself, its reverse keys, the counts of the image, and the candidates
 * that the change leaves.
 */
import type { Digest } from '../../../protocol/digest.js';
import { ConflictError } from '../../../util/conflict-error.js';
import type { Candidate, Change, ManifestRecord, SessionRecord, TagRecord } from '../../../ports/metadata.js';
import type { ImageKey } from '../../../ports/images.js';
import { takeTurns } from '../../../util/scheduling/turns.js';
import { count, weigh } from '../derived/level-counts.js';
import { dropCandidate, putCandidate, settleCandidate } from '../derived/level-candidates.js';
import {
  condemnedKey,
  holderMember,
  holderPrefix,
  imageKey,
  linkKey,
  manifestKey,
  namedPrefix,
  nextIdKey,
  ownSessionKey,
  purgingKey,
  documentKey,
  referrerPrefix,
  repositoryKey,
  sessionKey,
  sinceKey,
  tagKey,
  taggedPrefix,
  type CandidateTarget,
  type Place,
  type RepositoryId,
} from '../level-keys.js';
import { forgetTouch, touch } from './level-touches.js';
import type { LevelView } from '../level-view.js';

type ChangeOf<T extends Change['type']> = Extract<Change, { type: T }>;

/** Writes changes to the draft of the view, in order. Other requests take turns. @throws ConflictError as `recordChange` */
export async function recordChanges(view: LevelView, changes: readonly Change[]): Promise<void> {
  const turn = takeTurns();
  for (const change of changes) {
    await turn();
    await recordChange(view, change);
  }
}

/**
 * Writes one change to the draft of the view.
 * @throws ConflictError when it names a missing repository or condemned bytes
 */
async function recordChange(view: LevelView, change: Change): Promise<void> {
  switch (change.type) {
    case 'repository.put':
      return putRepository(view, change);
    case 'repository.delete':
      return deleteRepository(view, change);
    case 'blob.link':
      return linkBlob(view, placeOf(view, change.at), change);
    case 'blob.unlink':
      return unlinkBlob(view, placeOf(view, change.at), change);
    case 'manifest.put':
      return putManifest(view, placeOf(view, change.at), change.manifest);
    case 'manifest.delete':
      return deleteManifest(view, placeOf(view, change.at), change);
    case 'tag.put':
      return putTag(view, placeOf(view, change.at), change.tag);
    case 'tag.delete':
      return deleteTag(view, placeOf(view, change.at), change);
    case 'session.put':
      return putSession(view, change.session);
    case 'session.delete':
      return deleteSession(view, change);
    case 'candidate.put':
      return putCandidate(view, targetOf(view, change.candidate), change.candidate.since);
    case 'candidate.delete':
      return settleCandidate(view, targetOf(view, change.candidate), change.candidate.since);
    case 'cache.touched':
      return touch(view, placeOf(view, change.at), change.digests, change.when);
    case 'bytes.condemn':
      return view.put(condemnedKey(change.digest), '');
    case 'bytes.forget':
      return view.delete(condemnedKey(change.digest));
    case 'document.put':
      return view.put(documentKey(change.kind, change.id), change.value);
    case 'document.delete':
      return view.delete(documentKey(change.kind, change.id));
  }
}

/** @throws ConflictError when the repository does not exist. */
function placeOf(view: LevelView, at: ImageKey): Place {
  const stored = view.get(repositoryKey(at.repository));
  if (stored === undefined) throw new ConflictError(`repository "${at.repository}" does not exist`);
  return { id: stored.id, image: at.image };
}

// ---------------------------------------------------------------------------------------------- repositories

function putRepository(view: LevelView, { config, origin, when }: ChangeOf<'repository.put'>): void {
  const key = repositoryKey(config.name);
  const before = view.get(key);
  if (before !== undefined) {
    const record = { config, origin, createdAt: before.record.createdAt, updatedAt: when };
    return view.put(key, { id: before.id, record });
  }
  const next = view.get(nextIdKey) ?? 1;
  view.put(nextIdKey, next + 1);
  // The only place that creates an id.
  const id = next.toString(36) as RepositoryId;
  view.put(key, { id, record: { config, origin, createdAt: when, updatedAt: when } });
}

function deleteRepository(view: LevelView, { name, when }: ChangeOf<'repository.delete'>): void {
  const key = repositoryKey(name);
  const stored = view.get(key);
  if (stored === undefined) throw new ConflictError(`repository "${name}" does not exist`);
  view.delete(key);
  view.put(purgingKey(stored.id), when);
}

// ---------------------------------------------------------------------------------------------- blobs

async function linkBlob(view: LevelView, place: Place, change: ChangeOf<'blob.link'>): Promise<void> {
  const { digest, size, when } = change;
  refuseCondemned(view, digest);
  const key = linkKey(place, digest);
  const before = view.get(key);
  // A renewed link is written again with all of its keys: this write may be durable while the first one has not reached
  // the disk yet.
  view.put(key, { size: before?.size ?? size, linkedAt: when });
  view.addMember(holderPrefix(digest), holderMember('link', place));
  if (before === undefined) {
    const bytes = view.get(manifestKey(place, digest)) === undefined ? size : 0;
    count(view, place, { links: 1, bytes, when });
  } else {
    count(view, place, {});
  }
  if (await isNamed(view, place, digest)) return;
  const target: CandidateTarget = { kind: 'link', place, digest };
  putCandidate(view, target, before === undefined ? when : (view.get(sinceKey(target)) ?? when));
}

/** Skips the lookup while the image has no manifests, as when the layers of a new image arrive. */
async function isNamed(view: LevelView, place: Place, digest: Digest): Promise<boolean> {
  if ((view.get(imageKey(place))?.record.manifests ?? 0) === 0) return false;
  return view.hasMembers(namedPrefix(place, digest));
}

function unlinkBlob(view: LevelView, place: Place, { digest, when }: ChangeOf<'blob.unlink'>): void {
  const key = linkKey(place, digest);
  const before = view.get(key);
  if (before === undefined) return;
  view.delete(key);
  view.removeMember(holderPrefix(digest), holderMember('link', place));
  const manifest = view.get(manifestKey(place, digest));
  count(view, place, { links: -1, bytes: weigh(manifest, undefined) - weigh(manifest, before), when });
  forgetTouch(view, place, digest);
  dropCandidate(view, { kind: 'link', place, digest });
  putCandidate(view, { kind: 'bytes', digest }, when);
}

function refuseCondemned(view: LevelView, digest: Digest): void {
  if (view.get(condemnedKey(digest)) !== undefined) throw new ConflictError(`the bytes of ${digest} are being deleted`);
}

// ---------------------------------------------------------------------------------------------- manifests

async function putManifest(view: LevelView, place: Place, manifest: ManifestRecord): Promise<void> {
  const { digest } = manifest;
  refuseCondemned(view, digest);
  const key = manifestKey(place, digest);
  const before = view.get(key);
  const link = view.get(linkKey(place, digest));
  view.put(key, manifest);
  view.addMember(holderPrefix(digest), holderMember('manifest', place));
  if (before !== undefined) removeReverseKeys(view, place, before);
  for (const named of manifest.references) view.addMember(namedPrefix(place, named), digest);
  if (manifest.subject !== undefined) view.addMember(referrerPrefix(place, manifest.subject), digest);
  count(view, place, {
    manifests: before === undefined ? 1 : 0,
    bytes: weigh(manifest, link) - weigh(before, link),
    when: manifest.pushedAt,
  });
  // The same bytes name the same digests, unless two releases parse manifests differently.
  const kept = new Set(manifest.references);
  const dropped = before?.references.filter((named) => !kept.has(named)) ?? [];
  await leaveLinkCandidates(view, place, dropped, manifest.pushedAt);
}

async function deleteManifest(view: LevelView, place: Place, change: ChangeOf<'manifest.delete'>): Promise<void> {
  const { digest, when } = change;
  const key = manifestKey(place, digest);
  const before = view.get(key);
  if (before === undefined) return;
  const tagged = taggedPrefix(place, digest);
  const tags = await view.members(tagged);
  for (const tag of tags) {
    // The members of `taggedPrefix` are tags.
    view.delete(tagKey(place, tag as TagRecord['name']));
    view.removeMember(tagged, tag);
  }
  view.delete(key);
  view.removeMember(holderPrefix(digest), holderMember('manifest', place));
  removeReverseKeys(view, place, before);
  const link = view.get(linkKey(place, digest));
  const bytes = weigh(undefined, link) - weigh(before, link);
  count(view, place, { manifests: -1, tags: -tags.length, bytes, when });
  forgetTouch(view, place, digest);
  putCandidate(view, { kind: 'bytes', digest }, when);
  await leaveLinkCandidates(view, place, before.references, when);
}

function removeReverseKeys(view: LevelView, place: Place, manifest: ManifestRecord): void {
  for (const named of manifest.references) view.removeMember(namedPrefix(place, named), manifest.digest);
  if (manifest.subject !== undefined) view.removeMember(referrerPrefix(place, manifest.subject), manifest.digest);
}

/** Leaves candidates for the links of digests that a manifest no longer names. */
async function leaveLinkCandidates(
  view: LevelView,
  place: Place,
  digests: readonly Digest[],
  when: number,
): Promise<void> {
  const turn = takeTurns();
  for (const digest of digests) {
    await turn();
    if (view.get(linkKey(place, digest)) === undefined) continue;
    if (await isNamed(view, place, digest)) continue;
    putCandidate(view, { kind: 'link', place, digest }, when);
  }
}

// ---------------------------------------------------------------------------------------------- tags, sessions

function putTag(view: LevelView, place: Place, tag: TagRecord): void {
  const { name, digest, updatedAt, checkedAt } = tag;
  if (view.get(manifestKey(place, digest)) === undefined) {
    throw new ConflictError(`tag "${name}" cannot point to ${digest}: image "${place.image}" has no such manifest`);
  }
  const key = tagKey(place, name);
  const before = view.get(key);
  if (before !== undefined) view.removeMember(taggedPrefix(place, before.digest), name);
  view.put(key, { name, digest, updatedAt, ...(checkedAt === undefined ? {} : { checkedAt }) });
  view.addMember(taggedPrefix(place, digest), name);
  count(view, place, { tags: before === undefined ? 1 : 0, when: updatedAt });
}

function deleteTag(view: LevelView, place: Place, { tag }: ChangeOf<'tag.delete'>): void {
  const key = tagKey(place, tag);
  const before = view.get(key);
  if (before === undefined) return;
  view.delete(key);
  view.removeMember(taggedPrefix(place, before.digest), tag);
  count(view, place, { tags: -1 });
}

function putSession(view: LevelView, session: SessionRecord): void {
  const { id } = placeOf(view, session.at);
  deleteSession(view, session);
  view.put(sessionKey(session.id), { repositoryId: id, session });
  view.put(ownSessionKey(id, session.id), '');
}

function deleteSession(view: LevelView, { id }: { readonly id: SessionRecord['id'] }): void {
  const before = view.get(sessionKey(id));
  if (before === undefined) return;
  view.delete(sessionKey(id));
  view.delete(ownSessionKey(before.repositoryId, id));
}

// ---------------------------------------------------------------------------------------------- candidates

function targetOf(view: LevelView, candidate: Candidate): CandidateTarget {
  const { digest } = candidate;
  if (candidate.kind === 'bytes') return { kind: 'bytes', digest };
  return { kind: 'link', place: placeOf(view, candidate.at), digest };
}
