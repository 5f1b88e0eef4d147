import { dueKey, sinceKey, wholeTime, type CandidateTarget } from './level-keys.js';
import type { LevelView } from './level-view.js';

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
