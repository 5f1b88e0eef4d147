import type { Digest } from '../../protocol/digest.js';
import type { SessionId } from '../../protocol/names.js';
import { putCandidate } from './level-candidates.js';
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

/** Removes what deleted repositories held, a part at a time. */
export class LevelPurge {
  readonly #index: LevelIndex;
  /**
   * Where the last part ended. All before it is gone, and walking over it again would cost more each time: LevelDB passes
   * by every deleted key until it is compacted. Only a saving: a new process begins at the beginning.
   */
  #reached = '';
  #pending = '';

  constructor(index: LevelIndex) {
    this.#index = index;
  }

  /**
   * Removes a part. Nothing writes under the id any more: its name is gone with an earlier batch, so what is read here
   * from the database, beside the view, is all there is.
   */
  async step(view: LevelView, id: RepositoryId, when: number): Promise<void> {
    const prefix = ownedPrefix(id);
    const gt = this.#reached.startsWith(prefix) ? this.#reached : prefix;
    const entries = await this.#index.scan({ gt, lt: rangeEnd(prefix) }, purgeStep, (key, text) => ({ key, text }));
    for (const { key, text } of entries) {
      view.deleteRaw(key);
      purgeBeyond(view, key, text, when);
    }
    if (entries.length === purgeStep) this.#pending = entries.at(-1)?.key ?? '';
    else view.delete(purgingKey(id));
  }

  /** The last step was written. */
  advance(): void {
    this.#reached = this.#pending;
  }
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
