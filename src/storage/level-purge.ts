import type { Digest } from '../protocol/digest.js';
import type { SessionId } from '../protocol/names.js';
import { putCandidate } from './level-changes.js';
import type { LevelIndex } from './level-index.js';
import {
  dueKey,
  holderMember,
  holderPrefix,
  ownedPrefix,
  purgingKey,
  rangeEnd,
  sessionKey,
  splitKey,
  type Place,
  type RepositoryId,
} from './level-keys.js';
import type { LevelView } from './level-view.js';

/** How many keys of a deleted repository go in one batch. */
const purgeStep = 1000;

/**
 * Removes a part of what a deleted repository held. Nothing writes under its id any more: its name is gone in an earlier
 * batch, so what is read here from the database is all there is.
 */
export async function purgeStepOf(view: LevelView, index: LevelIndex, id: RepositoryId, when: number): Promise<void> {
  const prefix = ownedPrefix(id);
  const range = { gt: prefix, lt: rangeEnd(prefix) };
  const entries = await index.scan(range, purgeStep, (key, text) => ({ key, text }));
  for (const { key, text } of entries) {
    view.deleteRaw(key);
    purgeBeyond(view, key, text, when);
  }
  if (entries.length < purgeStep) view.delete(purgingKey(id));
}

/** What a key of a repository has outside of the repository's own range. */
function purgeBeyond(view: LevelView, key: string, text: string, when: number): void {
  const [owner, family, ...rest] = splitKey(key);
  const id = owner as RepositoryId;
  if (family === 'session') return view.delete(sessionKey(rest[0] as SessionId));
  const place: Place = { id, image: rest[0] as string };
  const digest = rest[1] as Digest;
  if (family === 'since') return view.delete(dueKey({ kind: 'link', place, digest }, Number(text)));
  if (family !== 'link' && family !== 'manifest') return;
  view.removeMember(holderPrefix(digest), holderMember(family, place));
  putCandidate(view, { kind: 'bytes', digest }, when);
}
