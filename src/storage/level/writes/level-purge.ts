import type { Digest } from '../../../protocol/digest.js';
import type { SessionId } from '../../../protocol/names.js';
import { putCandidate } from '../derived/level-candidates.js';
import type { LevelIndex } from '../level-index.js';
import {
  holderKinds,
  holderMember,
  holderPrefix,
  ownedPrefix,
  purgingKey,
  rangeEnd,
  sessionKey,
  splitKey,
  type HolderKind,
  type Place,
  type RepositoryId,
} from '../level-keys.js';
import { dueKey } from '../level-ordered-keys.js';
import type { LevelView } from '../level-view.js';

/** Keys of a deleted repository that one batch removes. */
const maxKeysPerStep = 1000;

/** Removes the content of deleted repositories, step by step. */
export class LevelPurge {
  readonly #index: LevelIndex;
  /**
   * Where the last step ended. All keys before it are deleted. Scanning them again would take longer with every step,
   * since LevelDB reads past deleted keys until it compacts them. This only saves work: a new process starts from the
   * beginning.
   */
  #reached = '';
  #pending = '';

  constructor(index: LevelIndex) {
    this.#index = index;
  }

  /**
   * Removes one batch of keys. An earlier batch deleted the name of the repository, so no one writes under its id any
   * more, and reading the database without the view is enough.
   */
  async step(view: LevelView, id: RepositoryId, when: number): Promise<void> {
    const prefix = ownedPrefix(id);
    const gt = this.#reached.startsWith(prefix) ? this.#reached : prefix;
    const entries = await this.#index.scan({ gt, lt: rangeEnd(prefix) }, maxKeysPerStep, (key, text) => ({
      key,
      text,
    }));
    for (const { key, text } of entries) {
      view.deleteRaw(key);
      purgeBeyond(view, key, text, when);
    }
    if (entries.length === maxKeysPerStep) this.#pending = entries.at(-1)?.key ?? '';
    else view.delete(purgingKey(id));
  }

  /** Records that the last step was written. */
  advance(): void {
    this.#reached = this.#pending;
  }
}

/** Removes what a key of a repository left outside of the range of the repository. */
function purgeBeyond(view: LevelView, key: string, text: string, when: number): void {
  // The casts follow the layout in level-keys.ts: the family determines the parts of a key.
  const [owner, family, ...rest] = splitKey(key);
  const id = owner as RepositoryId;
  if (family === 'session') return view.delete(sessionKey(rest[0] as SessionId));
  const place: Place = { id, image: rest[0] as string };
  const digest = rest[1] as Digest;
  if (family === 'since') return view.delete(dueKey({ kind: 'link', place, digest }, Number(text)));
  const kind = family === 'trashed' ? 'trash' : family;
  if (!isHolderKind(kind)) return;
  view.removeMember(holderPrefix(digest), holderMember(kind, place));
  putCandidate(view, { kind: 'bytes', digest }, when);
}

function isHolderKind(family: string): family is HolderKind {
  const kinds: readonly string[] = holderKinds;
  return kinds.includes(family);
}
