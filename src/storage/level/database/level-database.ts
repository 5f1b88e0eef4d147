/**
 * Opening, identifying, repairing and reopening the LevelDB database. Imported by storage/ only.
 */
import type { Level } from 'level';
import type { IndexFailure, MetadataStatus } from '../../../ports/metadata/index-status.js';
import { RegistryError } from '../../../protocol/errors.js';
import { batchKey, type BatchHead } from '../level-keys.js';
import { writeMarker } from './level-marker.js';
import { probeDisk, withSpace } from './level-space.js';
import {
  defaultMaxOpenFiles,
  openExpected,
  startIndex,
  type LevelSettings,
  type StartedIndex,
  type StartOptions,
} from './level-open.js';
import type { Operation } from '../level-view.js';
import { isDiskFull, toStorageError } from '../../files/storage-errors.js';
import { takeTurns } from '../../../util/scheduling/turns.js';

/** Options of the database. */
export interface DatabaseOptions extends Omit<StartOptions, 'onStartEmpty' | 'maxOpenFiles'> {
  /** Maximum number of table files that LevelDB keeps open. @default 1000 */
  readonly maxOpenFiles?: number | undefined;
  /**
   * Called when the index needs space on a full disk, before it is reopened. Resolves to whether it freed some.
   * @default nothing can be freed
   */
  readonly freeSpace?: (() => Promise<boolean>) | undefined;
  /** Called for each event of the index; must not throw. */
  readonly onEvent?: ((event: IndexEvent) => void) | undefined;
  /** A monotonic clock in milliseconds, for the pauses between attempts. @default performance.now */
  readonly clock?: (() => number) | undefined;
}

/** An event of the index, for logs and metrics. */
export type IndexEvent =
  | { readonly type: 'failed'; readonly failure: IndexFailure }
  | { readonly type: 'reopened'; readonly reopens: number; readonly failure: IndexFailure }
  /** `movedTo`: the new folder of the old index; absent when there were no files. */
  | { readonly type: 'started-empty'; readonly finding: string; readonly movedTo: string | undefined };

/** The pause after a failed attempt to reopen doubles from `minPauseMs` to `maxPauseMs`. */
const minPauseMs = 100;
const maxPauseMs = 5000;

/**
 * The database in an index folder. LevelDB 1.20 must not be written to after a failed write: either its log continues
 * at a wrong offset, and recovery drops everything appended there, or it refuses all writes. A failed write therefore
 * closes the database, reopens it and is retried; the caller sees an error only when that fails too. From then on
 * writes are refused; after a pause, the next write tries to reopen the database. While the disk cannot store a file,
 * the database stays open and keeps answering reads.
 */
export class LevelDatabase {
  readonly #folder: string;
  readonly #started: StartedIndex;
  readonly #options: DatabaseOptions & LevelSettings;
  /** `undefined` after a failed attempt to reopen, until one succeeds. */
  #level: Level | undefined;
  /** The newest written batch, and the newest synced one. */
  #head: BatchHead;
  /** The reason why the database must be reopened before the next write. */
  #broken: unknown;
  #failure: IndexFailure | undefined;
  #writable = true;
  #reopens = 0;
  /** The number of reopenings that a successful write has followed. */
  #reported = 0;
  #reopening: Promise<void> | undefined;
  /** Pending from the moment when the database is about to close until another one is open or failed to open. */
  #swapping: Promise<void> | undefined;
  #readers = 0;
  #onLastReader: (() => void) | undefined;
  #pauseMs = minPauseMs;
  #retryAt = 0;
  #reload: () => Promise<void> = async () => {};

  private constructor(folder: string, started: StartedIndex, options: DatabaseOptions & LevelSettings) {
    this.#folder = folder;
    this.#started = started;
    this.#options = options;
    this.#level = started.level;
    this.#head = started.head;
  }

  /**
   * Opens or creates the index in a folder.
   * @throws IndexDamageError when the index is lost or damaged.
   * @throws Error that names the folder when it cannot be opened.
   */
  static async open(folder: string, options: DatabaseOptions): Promise<LevelDatabase> {
    const settings = { ...options, maxOpenFiles: options.maxOpenFiles ?? defaultMaxOpenFiles };
    const start = (): Promise<StartedIndex> =>
      startIndex(folder, {
        ...settings,
        onStartEmpty: (finding, movedTo) => options.onEvent?.({ type: 'started-empty', finding, movedTo }),
      });
    const started = await withSpace(start, options.freeSpace);
    return new LevelDatabase(folder, started, settings);
  }

  /** Returns the open database. @throws RegistryError UNAVAILABLE */
  get level(): Level {
    if (this.#level === undefined) throw this.#unavailable();
    return this.#level;
  }

  /** Sets the function that reloads the data in memory after reopening, before reads continue. */
  onReload(reload: () => Promise<void>): void {
    this.#reload = reload;
  }

  /**
   * Runs a read from outside the writer. It waits while the database is being reopened, and reopening waits for it, so
   * it must neither write nor call `read` again. What is in memory is not awaited. @throws RegistryError UNAVAILABLE
   */
  async read<T>(work: () => T | Promise<T>): Promise<T> {
    // Waits even while the old database is still open: a steady stream of reads would otherwise keep it from closing.
    while (this.#swapping !== undefined || this.#level === undefined) await (this.#swapping ?? this.#reopen());
    this.#readers += 1;
    try {
      const result = work();
      return result instanceof Promise ? await result : result;
    } catch (error) {
      throw toStorageError(error);
    } finally {
      this.#readers -= 1;
      if (this.#readers === 0) this.#onLastReader?.();
    }
  }

  /**
   * Reopens the database if the last write failed. Called by the writer before it reads.
   * @throws RegistryError UNAVAILABLE
   */
  async ready(): Promise<void> {
    if (this.#broken !== undefined || this.#level === undefined) await this.#reopen();
  }

  /** Writes one batch. Retries it once on the reopened database. @throws RegistryError UNAVAILABLE */
  async write(operations: readonly Operation[], sync: boolean): Promise<void> {
    try {
      await this.#writeOnce(operations, sync);
    } catch (error) {
      this.#noteFailure(error);
      await this.#reopen();
      await this.#writeOnce(operations, sync).catch((again: unknown) => {
        this.#noteFailure(again);
        throw this.#refuse();
      });
    }
    this.#noteSuccess();
  }

  /** Returns whether writes are accepted, and the last failure. */
  status(): MetadataStatus {
    const status = { writable: this.#writable, reopens: this.#reopens };
    return this.#failure === undefined ? status : { ...status, lastFailure: this.#failure };
  }

  /**
   * Closes the database and releases the folder, even when the database is broken. Callers have stopped reading and
   * writing.
   */
  async close(): Promise<void> {
    await this.#reopening?.catch(() => {});
    try {
      const isWhole = await this.#writeLast();
      await this.#closeLevel();
      if (!isWhole) return;
      const marker = { id: this.#head.id, sequence: this.#head.number };
      await withSpace(() => writeMarker(this.#folder, marker), this.#options.freeSpace);
    } finally {
      await this.#started.lock.release();
    }
  }

  /** Uses a chained batch: several times faster than an array of operations, and still one batch to LevelDB. */
  async #writeOnce(operations: readonly Operation[], sync: boolean): Promise<void> {
    const { id, number, synced } = this.#head;
    const head = { id, number: number + 1, synced };
    const batch = this.level.batch();
    batch.put(batchKey, JSON.stringify(head));
    const turn = takeTurns();
    for (const operation of operations) {
      const others = turn();
      if (others !== undefined) await others;
      if (operation.type === 'put') batch.put(operation.key, operation.text);
      else batch.del(operation.key);
    }
    await batch.write({ sync });
    this.#head = sync ? { ...head, synced: head.number } : head;
  }

  /** Writes the last batch; returns whether the marker may record a clean stop. */
  async #writeLast(): Promise<boolean> {
    if (this.#broken !== undefined || this.#level === undefined) return false;
    try {
      await this.#writeOnce([], true);
      return true;
    } catch (error) {
      // All acknowledged writes are on disk. The next start finds the marker of an unclean stop.
      this.#noteFailure(error);
      this.#refuse();
      return false;
    }
  }

  /** Reopens the database, unless the last attempt was too recent. @throws RegistryError UNAVAILABLE */
  #reopen(): Promise<void> {
    if (this.#reopening === undefined && this.#now() < this.#retryAt) return Promise.reject(this.#unavailable());
    this.#reopening ??= this.#attempt()
      .catch((error: unknown) => {
        this.#noteFailure(error);
        throw this.#refuse();
      })
      .finally(() => (this.#reopening = undefined));
    return this.#reopening;
  }

  async #attempt(): Promise<void> {
    const { freeSpace } = this.#options;
    if (this.#level !== undefined) await withSpace(() => probeDisk(this.#folder), freeSpace);
    let done = (): void => {};
    this.#swapping = new Promise((resolve) => (done = resolve));
    try {
      await this.#closeLevel();
      await withSpace(() => this.#openLevel(), freeSpace);
    } finally {
      this.#swapping = undefined;
      done();
    }
    this.#broken = undefined;
    this.#reopens += 1;
  }

  async #closeLevel(): Promise<void> {
    if (this.#readers > 0) await new Promise<void>((resolve) => (this.#onLastReader = resolve));
    this.#onLastReader = undefined;
    await this.#level?.close();
    this.#level = undefined;
  }

  async #openLevel(): Promise<void> {
    const expected = { id: this.#head.id, sequence: this.#head.synced };
    const { level, head } = await openExpected(this.#folder, expected, this.#options);
    this.#level = level;
    try {
      await this.#reload();
    } catch (error) {
      await this.#closeLevel();
      throw error;
    }
    // LevelDB has moved the recovered log into a synced table.
    if (head !== undefined) this.#head = { ...head, synced: head.number };
  }

  #noteFailure(error: unknown): void {
    this.#broken = error;
    const message = error instanceof Error ? error.message : String(error);
    this.#failure = { message, at: Date.now(), noSpace: isDiskFull(error) };
  }

  /** Reports a reopening after the first write that succeeds. */
  #noteSuccess(): void {
    if (this.#reopens === this.#reported) return;
    this.#reported = this.#reopens;
    this.#writable = true;
    this.#pauseMs = minPauseMs;
    this.#retryAt = 0;
    if (this.#failure === undefined) return;
    this.#options.onEvent?.({ type: 'reopened', reopens: this.#reopens, failure: this.#failure });
  }

  /** Refuses writes from now on, until an attempt to reopen succeeds. */
  #refuse(): RegistryError {
    this.#retryAt = this.#now() + this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, maxPauseMs);
    if (this.#writable && this.#failure !== undefined) {
      this.#options.onEvent?.({ type: 'failed', failure: this.#failure });
    }
    this.#writable = false;
    return this.#unavailable();
  }

  #unavailable(): RegistryError {
    const full = this.#failure?.noSpace === true;
    return new RegistryError('UNAVAILABLE', {
      message: full ? 'the disk is full' : 'the index is unavailable',
      cause: this.#broken,
      ...(full ? { status: 507 } : {}),
    });
  }

  #now(): number {
    return (this.#options.clock ?? (() => performance.now()))();
  }
}
