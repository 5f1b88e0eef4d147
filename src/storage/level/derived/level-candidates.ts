import type { Candidate } from '../../../ports/metadata/metadata.js';
import type { Digest } from '../../../protocol/digest.js';
import type { LevelIndex } from '../level-index.js';
import { type CandidateTarget } from '../level-keys.js';
import { dueBefore, dueKey, parseDueKey, sinceKey, wholeTime } from '../level-ordered-keys.js';
import type { LevelView } from '../level-view.js';

/**
 * Returns the candidates from before a time, oldest first. Skips links of deleted repositories: `purge` turns them into
 * candidates for their bytes.
 */
export async function readCandidates(
  index: LevelIndex,
  before: number,
  limit: number,
  after?: Candidate,
): Promise<readonly Candidate[]> {
  const range = dueBefore(before);
  const from = after === undefined ? range.gt : keyOf(index, after);
  if (from >= range.lt) return [];
  return index.scan({ gt: from, lt: range.lt }, limit, (key): Candidate | undefined => {
    const { target, since } = parseDueKey(key);
    if (target.kind === 'bytes') return { kind: 'bytes', digest: target.digest, since };
    const repository = index.residents.nameOf(target.place.id);
    if (repository === undefined) return undefined;
    return { kind: 'link', at: { repository, image: target.place.image }, digest: target.digest, since };
  });
}

/** Returns whether the bytes have a candidate. */
export function isCandidate(index: LevelIndex, digest: Digest): boolean {
  return index.get(sinceKey({ kind: 'bytes', digest })) !== undefined;
}

/** Returns the key of a candidate. If its repository is gone, the beginning of the keys of its time. */
function keyOf(index: LevelIndex, { since, ...candidate }: Candidate): string {
  if (candidate.kind === 'bytes') return dueKey(candidate, since);
  const id = index.residents.idOf(candidate.at.repository);
  if (id === undefined) return dueBefore(since).lt;
  return dueKey({ kind: 'link', place: { id, image: candidate.at.image }, digest: candidate.digest }, since);
}

/**
 * Adds a candidate, or moves it to a later time but never to an earlier one: its last reference may have been dropped
 * again just now.
 */
export function putCandidate(view: LevelView, target: CandidateTarget, since: number): void {
  const key = sinceKey(target);
  const before = view.get(key);
  // Rounded as in the key that sorts by time.
  const whole = wholeTime(since);
  const latest = Math.max(before ?? whole, whole);
  if (before !== undefined) view.delete(dueKey(target, before));
  view.put(key, latest);
  view.put(dueKey(target, latest), '');
}

/** Writes the candidate again if there is one: this write may be durable while the first one has not reached the disk yet. */
export function repeatCandidate(view: LevelView, target: CandidateTarget): void {
  const since = view.get(sinceKey(target));
  if (since === undefined) return;
  view.put(sinceKey(target), since);
  view.put(dueKey(target, since), '');
}

/** Removes the candidate if it still has this time. A candidate that was renewed since then stays. */
export function settleCandidate(view: LevelView, target: CandidateTarget, since: number): void {
  if (view.get(sinceKey(target)) === since) dropCandidate(view, target);
}

/** Removes the candidate, regardless of its time. */
export function dropCandidate(view: LevelView, target: CandidateTarget): void {
  const key = sinceKey(target);
  const since = view.get(key);
  if (since === undefined) return;
  view.delete(key);
  view.delete(dueKey(target, since));
}
