/**
 * Records the journal and the history of tags. Entries are drafted with the change that they describe and written in
 * the same batch, so that one exists if and only if the other does.
 */
import type {
  Actor,
  Attribution,
  Journal,
  JournalEntry,
  JournalPage,
  TagMove,
} from '../../../ports/metadata/journal.js';
import type { Change, TagRecord } from '../../../ports/metadata/metadata.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Digest } from '../../../protocol/digest.js';
import type { Tag } from '../../../protocol/names.js';
import type { LevelIndex } from '../level-index.js';
import { journalPrefix, rangeEnd, repositoryKey, tagKey, trimmedKey, type Place } from '../level-keys.js';
import {
  allHistoryPrefix,
  historyKey,
  historyPrefix,
  journalKey,
  movesKey,
  parseSequence,
} from '../level-ordered-keys.js';
import { decodeValue, type LevelView } from '../level-view.js';
import type { LevelWriter } from './level-writer.js';

/** Moves that the history of a tag keeps. */
const maxMoves = 100;
/** Entries that one call of `trim` removes. */
const maxTrimmed = 1000;

type Details = Omit<JournalEntry, 'seq' | 'at' | 'type' | 'by'>;

/** The parts of the store that the journal uses. */
export interface JournalParts {
  /** For reads inside the writer, which must not wait. */
  readonly index: LevelIndex;
  /** Reads from the disk. Waits while the index is being reopened. */
  read<T>(work: (index: LevelIndex) => T | Promise<T>): Promise<T>;
  readonly writer: LevelWriter;
  /** The number of the newest entry; see `readLastEntry`. */
  readonly lastEntry: number;
}

/** Returns the number of the newest entry; 0 if there is none. */
export async function readLastEntry(index: LevelIndex): Promise<number> {
  const [newest] = await index.scanKeys(everything, 1, parseSequence, { reverse: true });
  return newest ?? 0;
}

/**
 * Numbers the entries of one index. The next number is kept in memory only: the newest entry is never removed, so a new
 * process continues after it. Dropped drafts leave gaps.
 */
export class LevelJournal implements Journal {
  readonly #parts: JournalParts;
  #last: number;

  constructor(parts: JournalParts) {
    this.#parts = parts;
    this.#last = parts.lastEntry;
  }

  /** Returns the recorder of one write. Without an attribution, it records nothing. */
  recorder(view: LevelView, by: Attribution | undefined): JournalRecorder {
    return new JournalRecorder(view, by, () => (this.#last += 1));
  }

  read(page: JournalPage): Promise<JournalEntry[]> {
    return this.#parts.read((index) => readEntries(index, page));
  }

  moves(
    at: ImageKey,
    tag: Tag,
    { limit, before }: { readonly limit: number; readonly before?: number },
  ): Promise<TagMove[]> {
    return this.#parts.read((index) => {
      const id = index.residents.idOf(at.repository);
      if (id === undefined) return [];
      const place = { id, image: at.image };
      const prefix = historyPrefix(place, tag);
      const range = { gt: prefix, lt: before === undefined ? rangeEnd(prefix) : historyKey(place, tag, before) };
      // Only moves are stored under this prefix.
      return index.scan(range, limit, (_key, text) => decodeValue(text) as TagMove, { reverse: true });
    });
  }

  losses(at: ImageKey): Promise<ReadonlyMap<Digest, number>> {
    return this.#parts.read(async (index) => {
      const losses = new Map<Digest, number>();
      const id = index.residents.idOf(at.repository);
      if (id === undefined) return losses;
      const prefix = allHistoryPrefix({ id, image: at.image });
      // Collects the losses and keeps no move.
      await index.scan({ gt: prefix, lt: rangeEnd(prefix) }, Infinity, (_key, text) => {
        const { was, at: when } = decodeValue(text) as TagMove;
        if (was !== undefined) losses.set(was, Math.max(losses.get(was) ?? 0, when));
        return undefined;
      });
      return losses;
    });
  }

  async trim(limits: { readonly before: number; readonly maxEntries: number }): Promise<boolean> {
    const newest = await this.#parts.read(readLastEntry);
    const entries = await this.read({ after: 0, limit: maxTrimmed });
    const kept = entries.findIndex(
      ({ at, seq }) => seq === newest || (at >= limits.before && seq > newest - limits.maxEntries),
    );
    const removed = entries.slice(0, kept < 0 ? entries.length : kept);
    const last = removed.at(-1);
    if (last === undefined) return false;
    await this.#parts.writer.run(async (view) => {
      view.put(trimmedKey, Math.max(last.seq, view.get(trimmedKey) ?? 0));
      for (const entry of removed) {
        view.delete(journalKey(entry.seq));
        if (entry.type === 'tag.deleted') await this.#forgetTag(view, entry);
      }
    }, false);
    return removed.length === maxTrimmed;
  }

  trimmedTo(): Promise<number> {
    return this.#parts.read((index) => index.get(trimmedKey) ?? 0);
  }

  /** Removes the history of a tag that was deleted and not created again. */
  async #forgetTag(view: LevelView, { repository = '', image = '', tag, at }: JournalEntry): Promise<void> {
    const id = view.get(repositoryKey(repository))?.id;
    if (id === undefined || tag === undefined) return;
    const place = { id, image };
    if (view.get(tagKey(place, tag)) !== undefined) return;
    const prefix = historyPrefix(place, tag);
    const moves = await this.#parts.index.scan({ gt: prefix, lt: rangeEnd(prefix) }, maxMoves, (key, text) => ({
      key,
      at: (decodeValue(text) as TagMove).at,
    }));
    if (moves.some((move) => move.at > at)) return;
    for (const { key } of moves) view.deleteRaw(key);
    view.delete(movesKey(place, tag));
  }
}

const everything = { gt: journalPrefix, lt: rangeEnd(journalPrefix) };

/** Records the entries of one write. */
export class JournalRecorder {
  readonly #view: LevelView;
  readonly #by: Attribution | undefined;
  readonly #next: () => number;

  constructor(view: LevelView, by: Attribution | undefined, next: () => number) {
    this.#view = view;
    this.#by = by;
    this.#next = next;
  }

  get actor(): Actor | undefined {
    return this.#by?.actor;
  }

  /** A recorder that records nothing, for a part of the write that is recorded as a whole. */
  get silent(): JournalRecorder {
    return new JournalRecorder(this.#view, undefined, this.#next);
  }

  record(type: JournalEntry['type'], details: Details): void {
    if (this.#by === undefined) return;
    const seq = this.#next();
    const { actor: by, at, override } = this.#by;
    const flags = override === true ? { override } : {};
    this.#view.put(journalKey(seq), { seq, at, type, by, ...details, ...flags });
  }

  /** Records that a tag names another digest, or none, and adds the move to the history of the tag. */
  recordMove(at: ImageKey, place: Place, tag: Tag, was: TagRecord | undefined, digest: Digest | undefined): void {
    if (this.#by === undefined || was?.digest === digest) return;
    const digests = {
      ...(digest === undefined ? {} : { digest }),
      ...(was === undefined ? {} : { was: was.digest }),
    };
    this.record(digest === undefined ? 'tag.deleted' : 'tag.moved', { ...at, tag, ...digests });
    const view = this.#view;
    const move = (view.get(movesKey(place, tag)) ?? 0) + 1;
    view.put(movesKey(place, tag), move);
    view.put(historyKey(place, tag, move), { move, at: this.#by.at, by: this.#by.actor, ...digests });
    if (move > maxMoves) view.delete(historyKey(place, tag, move - maxMoves));
  }

  /** Adds moves of the past to the history of a tag that has none. */
  importMoves(place: Place, { tag, moves }: Extract<Change, { type: 'tag.history' }>): void {
    const view = this.#view;
    const by = this.#by?.actor;
    if (by === undefined || view.get(movesKey(place, tag)) !== undefined) return;
    const kept = moves.slice(-maxMoves);
    for (const [i, { digest, at }] of kept.entries()) {
      const was = kept[i - 1]?.digest;
      const move = { move: i + 1, at, by, digest, ...(was === undefined ? {} : { was }) };
      view.put(historyKey(place, tag, move.move), move);
    }
    if (kept.length > 0) view.put(movesKey(place, tag), kept.length);
  }
}

function readEntries(index: LevelIndex, page: JournalPage): Promise<JournalEntry[]> {
  const isForward = 'after' in page;
  const range = isForward
    ? { gt: journalKey(page.after), lt: everything.lt }
    : { gt: everything.gt, lt: journalKey(page.before) };
  // Only entries are stored under this prefix.
  const decode = (_key: string, text: string): JournalEntry => decodeValue(text) as JournalEntry;
  return index.scan(range, page.limit, decode, { reverse: !isForward });
}
