import { LRUCache } from 'lru-cache';
import type { Digest } from '../../protocol/digest.js';
import { Closers } from '../../util/closers.js';
import { LevelDatabase, type DatabaseOptions } from './database/level-database.js';
import {
  imageKey,
  keptPrefix,
  namedPrefix,
  purgingPrefix,
  rangeEnd,
  splitKey,
  type Key,
  type Place,
  type Prefix,
  type RepositoryId,
} from './level-keys.js';
import { LevelResidents, residentKeys, residentPrefixes } from './derived/level-residents.js';
import { LevelTagLists } from './derived/level-tag-lists.js';
import { LevelUsage } from './derived/level-usage.js';
import { decodeValue, type Operation } from './level-view.js';
import type { LevelTarget } from './writes/level-writer.js';

/** Families whose records are cached because they are read repeatedly. The rest is read from LevelDB each time. */
const cachedFamilies: ReadonlySet<string> = new Set(['tag', 'manifest', 'link', 'image', 'session']);
/** Memory of a cached entry besides its key and its text. */
const entryOverheadBytes = 300;

/** A range of keys, in byte order. */
export interface Range {
  readonly gt?: string;
  readonly gte?: string;
  readonly lt: string;
}

/** The order of a scan. @default ascending */
export interface Order {
  readonly reverse?: boolean;
}

/**
 * The database and its data in memory: residents (always complete), hot records, lists of tags, and sums. The writer
 * updates the memory after each write and before the write resolves, so memory never shows unwritten data. This works
 * for a single process only, so it stays inside this driver.
 */
export class LevelIndex implements LevelTarget {
  readonly residents = new LevelResidents();
  readonly tagLists = new LevelTagLists();
  readonly usage = new LevelUsage();
  readonly database: LevelDatabase;
  readonly #records: LRUCache<string, object>;
  /** Prefixes of member lists that are known to be non-empty. */
  readonly #nonEmpty = new LRUCache<string, true>({ maxSize: 50_000, sizeCalculation: () => 1 });
  #writes = 0;

  private constructor(database: LevelDatabase, cacheBytes: number) {
    this.database = database;
    this.#records = new LRUCache({ maxSize: cacheBytes });
  }

  /** Opens the index in a folder. @throws IndexDamageError, and Error that names the folder when it cannot be opened */
  static async open(folder: string, cacheBytes: number, options: DatabaseOptions): Promise<LevelIndex> {
    const database = await LevelDatabase.open(folder, options);
    const index = new LevelIndex(database, cacheBytes);
    try {
      await index.#loadResidents();
    } catch (error) {
      const closers = new Closers();
      closers.add('database', () => database.close());
      return closers.undo(error);
    }
    database.onReload(() => index.#reload());
    return index;
  }

  close(): Promise<void> {
    return this.database.close();
  }

  ready(): Promise<void> {
    return this.database.ready();
  }

  /**
   * Reads synchronously: from memory, or from LevelDB's own caches in some 3 us. An asynchronous read takes 20 us
   * because it goes through a worker thread.
   */
  get<T>(key: Key<T>): T | undefined {
    // The type of the key says what was written under it; the three casts rely on this.
    if (LevelResidents.isResident(key)) return this.residents.get(key) as T | undefined;
    const kept = this.#records.get(key);
    if (kept !== undefined) return kept as T;
    const text = this.database.level.getSync(key);
    if (text === undefined) return undefined;
    const value = decodeValue(text);
    if (typeof value === 'object' && value !== null && cachedFamilies.has(familyOf(key))) {
      this.#records.set(key, value, { size: key.length + text.length + entryOverheadBytes });
    }
    return value as T;
  }

  async members(prefix: Prefix, limit = Infinity): Promise<string[]> {
    return this.scanKeys({ gt: prefix, lt: rangeEnd(prefix) }, limit, (key) => key.slice(prefix.length));
  }

  /** Caches a positive answer, which stays valid until a member of the list is removed. */
  repositoryNames(): readonly string[] {
    return this.residents.repositories().map(({ config }) => config.name);
  }

  async hasMembers(prefix: Prefix): Promise<boolean> {
    if (this.#nonEmpty.has(prefix)) return true;
    const writes = this.#writes;
    const found = (await this.members(prefix, 1)).length > 0;
    if (found && writes === this.#writes) this.#nonEmpty.set(prefix, true);
    return found;
  }

  /** Returns whether a manifest of an image, or of its trash, names the digest. */
  async isNamed(place: Place, digest: Digest): Promise<boolean> {
    if (await this.hasMembers(namedPrefix(place, digest))) return true;
    return this.get(imageKey(place))?.trashed !== undefined && this.hasMembers(keptPrefix(place, digest));
  }

  /** Returns the first `limit` entries of a range for which `decode` does not return `undefined`. */
  async scan<T>(
    range: Range,
    limit: number,
    decode: (key: string, text: string) => T | undefined,
    order: Order = {},
  ): Promise<T[]> {
    const items: T[] = [];
    const iterator = this.database.level.iterator({ ...range, ...order, highWaterMarkBytes: 1 << 20 });
    try {
      while (items.length < limit) {
        const entries = await iterator.nextv(Math.min(limit - items.length, 1000));
        if (entries.length === 0) break;
        for (const [key, text] of entries) {
          const item = decode(key, text);
          if (item !== undefined) items.push(item);
        }
      }
      return items;
    } finally {
      await iterator.close();
    }
  }

  async scanKeys<T>(range: Range, limit: number, decode: (key: string) => T, order: Order = {}): Promise<T[]> {
    const keys = await this.database.level
      .keys({ ...range, ...order, ...(limit === Infinity ? {} : { limit }), highWaterMarkBytes: 1 << 20 })
      .all();
    return keys.map(decode);
  }

  /** Returns the distinct values of the key part that follows the prefix. Seeks past keys that share a value. */
  async distinctParts(prefix: string): Promise<string[]> {
    const parts: string[] = [];
    const iterator = this.database.level.keys({ gt: prefix, lt: rangeEnd(prefix) });
    try {
      for (let key = await iterator.next(); key !== undefined; key = await iterator.next()) {
        const part = key.slice(prefix.length, key.indexOf('\0', prefix.length));
        parts.push(part);
        iterator.seek(`${prefix}${part}\x01`);
      }
      return parts;
    } finally {
      await iterator.close();
    }
  }

  async write(operations: readonly Operation[], sync: boolean): Promise<void> {
    this.usage.prepare(operations, (key) => this.get(key));
    await this.database.write(operations, sync);
  }

  written(operations: readonly Operation[]): void {
    this.#writes += 1;
    this.usage.written();
    for (const operation of operations) {
      const { key } = operation;
      if (key.startsWith(purgingPrefix)) this.usage.forget(key.slice(purgingPrefix.length) as RepositoryId);
      if (LevelResidents.isResident(key)) this.residents.written(operation);
      else if (!key.startsWith('!')) this.#follow(operation);
      else this.#followGlobal(operation);
    }
  }

  /** Discards everything in memory and loads the residents again, after another database was opened. */
  async #reload(): Promise<void> {
    this.#writes += 1;
    this.#records.clear();
    this.#nonEmpty.clear();
    this.tagLists.clear();
    this.usage.clear();
    await this.#loadResidents();
  }

  #follow(operation: Operation): void {
    const { key } = operation;
    const family = familyOf(key);
    const end = key.lastIndexOf('\0') + 1;
    // Dropped, not replaced: the next reader decodes what was written instead of sharing the caller's object.
    if (cachedFamilies.has(family)) this.#records.delete(key);
    if (family === 'tag') this.tagLists.written(key.slice(0, end), key.slice(end), operation);
    if ((family === 'named' || family === 'kept') && operation.type === 'del') this.#nonEmpty.delete(key.slice(0, end));
  }

  #followGlobal({ type, key }: Operation): void {
    this.#records.delete(key);
    const [owner, family, digest] = splitKey(key);
    if (type === 'del' && family === 'holder') this.#nonEmpty.delete(`${owner}\0${family}\0${digest}\0`);
  }

  async #loadResidents(): Promise<void> {
    const entries = new Map<string, unknown>();
    for (const prefix of residentPrefixes) {
      await this.scan({ gt: prefix, lt: rangeEnd(prefix) }, Infinity, (key, text) =>
        entries.set(key, decodeValue(text)),
      );
    }
    for (const key of residentKeys) {
      const text = await this.database.level.get(key);
      if (text !== undefined) entries.set(key, decodeValue(text));
    }
    this.residents.clear();
    for (const [key, value] of entries) this.residents.set(key, value);
  }
}

function familyOf(key: string): string {
  const start = key.indexOf('\0') + 1;
  return key.slice(start, key.indexOf('\0', start));
}
