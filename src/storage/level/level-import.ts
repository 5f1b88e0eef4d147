import { inParts, RowCounter, type IndexImport, type RowCounts, type SourceEntry } from '../index-rows.js';
import { putCandidate } from './derived/level-candidates.js';
import type { LevelIndex } from './level-index.js';
import type { Digest } from '../../protocol/digest.js';
import { nextIdKey, rangeEnd, type Key } from './level-keys.js';
import { placePrefix } from './level-ledger-keys.js';
import { isReferred } from './level-references.js';
import { isContent, toEntry } from './level-rows.js';
import { decodeValue } from './level-view.js';
import type { LevelWriter } from './writes/level-writer.js';

const entriesPerWrite = 1000;

/** The parts of an open index. */
export interface LevelParts {
  /** @throws Error once the index is closed */
  readonly index: () => LevelIndex;
  readonly writer: () => LevelWriter;
}

/** Takes over the content of another index of LevelDB, entry by entry. */
export class LevelImport implements IndexImport {
  readonly #open: () => LevelIndex;
  readonly #writer: () => LevelWriter;

  constructor({ index, writer }: LevelParts) {
    this.#open = index;
    this.#writer = writer;
  }

  async replace(entries: AsyncIterable<SourceEntry>, when: number): Promise<void> {
    await this.#eachContent((keys) => this.#deleteAll(keys));
    for await (const part of inParts(entries, entriesPerWrite)) {
      await this.#writer().run(async (view) => {
        // The key and the value come from an index with the same layout.
        for (const { key, text } of part) view.put(key as Key<unknown>, decodeValue(text));
      }, false);
    }
    await this.#addCandidates(when);
  }

  async count(): Promise<RowCounts> {
    const counter = new RowCounter();
    const { level } = this.#open().database;
    for await (const [key, text] of level.iterator()) if (isContent(key)) counter.add(toEntry(key, text));
    return counter.counts;
  }

  async #eachContent(work: (keys: readonly string[]) => Promise<void>): Promise<void> {
    // An iterator reads the state at its creation.
    const { level } = this.#open().database;
    let part: string[] = [];
    for await (const key of level.keys()) {
      if (!isContent(key)) continue;
      part.push(key);
      if (part.length === entriesPerWrite) await work(part.splice(0));
    }
    await work(part);
  }

  #deleteAll(keys: readonly string[]): Promise<void> {
    return this.#writer().run(async (view) => {
      for (const key of keys) view.deleteRaw(key);
    }, false);
  }

  /** Bytes that were copied for an earlier state of the source are garbage now. */
  async #addCandidates(when: number): Promise<void> {
    const { level } = this.#open().database;
    for await (const key of level.keys({ gt: placePrefix, lt: rangeEnd(placePrefix) })) {
      // The rest of the key of a place is a digest.
      const digest = key.slice(placePrefix.length) as Digest;
      if (await isReferred(level, digest)) continue;
      await this.#writer().run(async (view) => putCandidate(view, { kind: 'bytes', digest }, when), false);
    }
    // Durable, and with it everything before.
    await this.#writer().run(async (view) => view.put(nextIdKey, view.get(nextIdKey) ?? 1), true);
  }
}
