/**
 * Translates each change into keys: the record itself, its reverse keys, the counts of the image, the candidates that the
 * change leaves, and entries of the journal.
 */
import { isState } from '../../state-documents.js';
import { ConflictError } from '../../../util/conflict-error.js';
import type { Candidate, Change, SessionRecord } from '../../../ports/metadata/metadata.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import { takeTurns } from '../../../util/scheduling/turns.js';
import { count, weigh } from '../derived/level-counts.js';
import { countPulls } from '../derived/level-pulls.js';
import { forgetStored, noteStored } from '../derived/level-stored.js';
import { dropCandidate, putCandidate, repeatCandidate, settleCandidate } from '../derived/level-candidates.js';
import {
  condemnedKey,
  holderMember,
  holderPrefix,
  imageKey,
  linkKey,
  manifestKey,
  nextIdKey,
  ownSessionKey,
  purgingKey,
  documentKey,
  repositoryKey,
  sessionKey,
  type CandidateTarget,
  type Place,
  type RepositoryId,
} from '../level-keys.js';
import { sampleKey } from '../level-ordered-keys.js';
import type { JournalRecorder } from './level-journal.js';
import { deleteManifest, deleteTag, isKept, putManifest, putTag, refuseCondemned } from './level-manifest-changes.js';
import { forgetTouch, touch } from './level-touches.js';
import { deleteTrash, restoreTrash } from './level-trash.js';
import { forgetUnlinked, putUnlinked } from './level-trash-records.js';
import type { LevelView } from '../level-view.js';

type ChangeOf<T extends Change['type']> = Extract<Change, { type: T }>;

/**
 * Writes changes to the draft of the view, in order. Other requests take turns.
 * @throws ConflictError as `recordChange`
 */
export async function recordChanges(
  view: LevelView,
  changes: readonly Change[],
  journal: JournalRecorder,
): Promise<void> {
  const turn = takeTurns();
  for (const change of changes) {
    await turn();
    await recordChange(view, change, journal);
  }
}

/**
 * Writes one change to the draft of the view.
 * @throws ConflictError when it names a missing repository or condemned bytes
 */
async function recordChange(view: LevelView, change: Change, journal: JournalRecorder): Promise<void> {
  switch (change.type) {
    case 'repository.put':
      return putRepository(view, change, journal);
    case 'repository.delete':
      return deleteRepository(view, change, journal);
    case 'blob.link':
      return linkBlob(view, placeOf(view, change.at), change);
    case 'blob.unlink':
      return unlinkBlob(view, placeOf(view, change.at), change);
    case 'manifest.put':
      return putManifest(view, placeOf(view, change.at), change, journal);
    case 'manifest.delete':
      return deleteManifest(view, placeOf(view, change.at), change, journal);
    case 'trash.restore':
      return restoreTrash(view, placeOf(view, change.at), change, journal);
    case 'trash.delete':
      return deleteTrash(view, placeOf(view, change.at), change, journal);
    case 'tag.put':
      return putTag(view, placeOf(view, change.at), change, journal);
    case 'tag.delete':
      return deleteTag(view, placeOf(view, change.at), change, journal);
    case 'tag.history':
      return journal.importMoves(placeOf(view, change.at), change);
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
    case 'manifest.pulled':
      return countPulls(view, placeOf(view, change.at), change.digest, change.count, change.when);
    case 'bytes.condemn':
      return view.put(condemnedKey(change.digest), '');
    case 'bytes.forget':
      if (change.deleted === true && view.get(condemnedKey(change.digest)) !== undefined)
        forgetStored(view, change.digest);
      return view.delete(condemnedKey(change.digest));
    case 'document.put':
      return putDocument(view, change, journal);
    case 'document.delete':
      return deleteDocument(view, change, journal);
    case 'sample.put':
      return view.put(sampleKey(change.step, change.sample.at), change.sample);
    case 'sample.delete':
      return view.delete(sampleKey(change.step, change.when));
  }
}

/** @throws ConflictError when the repository does not exist. */
function placeOf(view: LevelView, at: ImageKey): Place {
  const stored = view.get(repositoryKey(at.repository));
  if (stored === undefined) throw new ConflictError(`repository "${at.repository}" does not exist`);
  return { id: stored.id, image: at.image };
}

// ---------------------------------------------------------------------------------------------- repositories

function putRepository(
  view: LevelView,
  { config, origin, when }: ChangeOf<'repository.put'>,
  journal: JournalRecorder,
): void {
  const key = repositoryKey(config.name);
  const before = view.get(key);
  const type = before === undefined ? 'repository.created' : 'repository.replaced';
  journal.record(type, { repository: config.name });
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

function deleteRepository(
  view: LevelView,
  { name, when }: ChangeOf<'repository.delete'>,
  journal: JournalRecorder,
): void {
  const key = repositoryKey(name);
  const stored = view.get(key);
  if (stored === undefined) throw new ConflictError(`repository "${name}" does not exist`);
  view.delete(key);
  view.put(purgingKey(stored.id), when);
  journal.record('repository.deleted', { repository: name });
}

// ---------------------------------------------------------------------------------------------- blobs

function linkBlob(view: LevelView, place: Place, change: ChangeOf<'blob.link'>): void {
  const { digest, size, when } = change;
  refuseCondemned(view, digest);
  const key = linkKey(place, digest);
  const before = view.get(key);
  // A renewed link is written again with all of its keys: this write may be durable while the first one has not reached
  // the disk yet.
  const link = { size: before?.size ?? size, linkedAt: when };
  view.put(key, link);
  view.addMember(holderPrefix(digest), holderMember('link', place));
  noteStored(view, digest, link.size);
  // A link that counts already weighs the same.
  const isCounted = before !== undefined && before.inTrash !== true;
  const manifest = isCounted ? undefined : view.get(manifestKey(place, digest));
  const bytes = weigh(manifest, link) - weigh(manifest, before);
  if (before === undefined) count(view, place, { links: 1, bytes, when });
  else count(view, place, { bytes });
  if (before === undefined && view.get(imageKey(place))?.trashed !== undefined) forgetUnlinked(view, place, digest);
  const target: CandidateTarget = { kind: 'link', place, digest };
  if (before === undefined) putCandidate(view, target, when);
  else repeatCandidate(view, target);
}

async function unlinkBlob(view: LevelView, place: Place, { digest, when }: ChangeOf<'blob.unlink'>): Promise<void> {
  const key = linkKey(place, digest);
  const before = view.get(key);
  if (before === undefined) return;
  view.delete(key);
  view.removeMember(holderPrefix(digest), holderMember('link', place));
  const manifest = view.get(manifestKey(place, digest));
  count(view, place, { links: -1, bytes: weigh(manifest, undefined) - weigh(manifest, before), when });
  forgetTouch(view, place, digest);
  dropCandidate(view, { kind: 'link', place, digest });
  if (await isKept(view, place, digest)) putUnlinked(view, place, digest, before);
  else putCandidate(view, { kind: 'bytes', digest }, when);
}

// ---------------------------------------------------------------------------------------------- sessions

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

// ---------------------------------------------------------------------------------------------- documents

function putDocument(view: LevelView, { kind, id, value }: ChangeOf<'document.put'>, journal: JournalRecorder): void {
  const key = documentKey(kind, id);
  const isNew = view.get(key) === undefined;
  view.put(key, value);
  if (isState(kind)) return;
  journal.record(isNew ? `${kind}.created` : `${kind}.replaced`, { id });
}

function deleteDocument(view: LevelView, { kind, id }: ChangeOf<'document.delete'>, journal: JournalRecorder): void {
  const key = documentKey(kind, id);
  if (view.get(key) === undefined) return;
  view.delete(key);
  if (isState(kind)) return;
  journal.record(`${kind}.deleted`, { id });
}

// ---------------------------------------------------------------------------------------------- candidates

function targetOf(view: LevelView, candidate: Candidate): CandidateTarget {
  const { digest } = candidate;
  if (candidate.kind === 'bytes') return { kind: 'bytes', digest };
  return { kind: 'link', place: placeOf(view, candidate.at), digest };
}
