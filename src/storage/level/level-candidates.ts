import type { Candidate } from '../../ports/metadata.js';
import type { LevelIndex } from './level-index.js';
import { dueBefore, dueKey, parseDueKey, sinceKey, wholeTime, type CandidateTarget } from './level-keys.js';
import type { LevelView } from './level-view.js';

/**
 * The candidates from before a time, oldest first. Links of deleted repositories are left out: `purge` turns them into
 * candidates for their bytes.
 */
export async function readCandidates(index: LevelIndex, before: number, limit: number): Promise<readonly Candidate[]> {
  return index.scan(dueBefore(before), limit, (key): Candidate | undefined => {
    const { target, since } = parseDueKey(key);
    if (target.kind === 'bytes') return { kind: 'bytes', digest: target.digest, since };
    const repository = index.residents.nameOf(target.place.id);
    if (repository === undefined) return undefined;
    return { kind: 'link', at: { repository, image: target.place.image }, digest: target.digest, since };
  });
}

/** Adds a candidate or moves it to a later time, never to an earlier one: it may have been left behind again just now. */
export function putCandidate(view: LevelView, target: CandidateTarget, since: number): void {
  const key = sinceKey(target);
  const before = view.get(key);
  // As the key by time has it.
  const whole = wholeTime(since);
  const latest = Math.max(before ?? whole, whole);
  if (before !== undefined) view.delete(dueKey(target, before));
  view.put(key, latest);
  view.put(dueKey(target, latest), '');
}

/** Settles what was left behind at that time; what was left behind again since stays. */
export function settleCandidate(view: LevelView, target: CandidateTarget, since: number): void {
  if (view.get(sinceKey(target)) === since) dropCandidate(view, target);
}

/** Whatever its time. */
export function dropCandidate(view: LevelView, target: CandidateTarget): void {
  const key = sinceKey(target);
  const since = view.get(key);
  if (since === undefined) return;
  view.delete(key);
  view.delete(dueKey(target, since));
}
