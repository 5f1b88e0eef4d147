import type { Level } from 'level';
import type { IndexFailure, MetadataStatus } from '../../../ports/metadata.js';
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

export interface DatabaseOptions extends Omit<StartOptions, 'onStartEmpty' | 'maxOpenFiles'> {
  /** How many table files LevelDB keeps open at most. @default 1000 */
  readonly maxOpenFiles?: number | undefined;
  /**
   * Called when the index needs room on a full disk, before it is opened again. Resolves to true when it released some.
   * @default nothing can be released
   */
  readonly freeSpace?: (() => Promise<boolean>) | undefined;
  /** Called for each event of the index; must not throw. */
  readonly onEvent?: ((event: IndexEvent) => void) | undefined;
  /** Milliseconds since any fixed moment, for the pauses between attempts. @default performance.now */
  readonly clock?: (() => number) | undefined;
}

export type IndexEvent =
  | { readonly type: 'failed'; readonly failure: IndexFailure }
  | { readonly type: 'reopened'; readonly reopens: number; readonly failure: IndexFailure }
  /** `movedTo`: where the files of the index are now; absent when there were none. */
  | { readonly type: 'started-empty'; readonly finding: string; readonly movedTo: string | undefined };

/** The pause after a failed attempt to reopen doubles from the first of these to the second. */
const minPauseMs = 100;
const maxPauseMs = 5000;

/**
 * The database in an index folder. LevelDB 1.20 must not be written to after a failed write: its log goes on at a wrong
 * offset, and recovery drops whatever is appended, or it refuses all writes. So a failed write closes the database, opens
 * it again and is repeated; its caller learns of it only when that fails too. Then writes are refused until an attempt
 * succeeds, made by whoever writes next, after a pause. As long as the disk does not take a file, the database is not closed
 * and goes on answering reads.
 */
export class LevelDatabase {
  readonly #folder: string;
  readonly #started: StartedIndex;
  readonly #options: DatabaseOptions & LevelSettings;
  /** `undefined` from a reopening that failed to the next one that does not. */
  #level: Level | undefined;
  /** The newest batch that was written, and the newest that was synced. */
  #head: BatchHead;
  /** Why the database must be opened again before the next write. */
  #broken: unknown;
  #failure: IndexFailure | undefined;
  #writable = true;
  #reopens = 0;
  /** As many reopenings as were followed by a write. */
  #reported = 0;
  #reopening: Promise<void> | undefined;
  /** From when the database is about to be closed until another one is open, or could not be opened. */
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

  /** @throws IndexDamageError, and Error that names the folder when it cannot be opened. */
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

  /** The open database. @throws RegistryError UNAVAILABLE */
  get level(): Level {
    if (this.#level === undefined) throw this.#unavailable();
    return this.#level;
  }

  /** Sets what brings the memory up to date after a reopening, before anyone reads again. */
  onReload(reload: () => Promise<void>): void {
    this.#reload = reload;
  }

  /**
   * Runs a read from outside the writer. It waits for a reopening in progress, and the next one waits for it, so it must
   * neither write nor call this again. @throws RegistryError UNAVAILABLE
   */
  async read<T>(work: () => T | Promise<T>): Promise<T> {
    // Also while the old database is still open: reads that kept coming would keep it from being closed.
    while (this.#swapping !== undefined || this.#level === undefined) await (this.#swapping ?? this.#reopen());
    this.#readers += 1;
    try {
      return await work();
    } catch (error) {
      throw toStorageError(error);
    } finally {
      this.#readers -= 1;
      if (this.#readers === 0) this.#onLastReader?.();
    }
  }

  /** Opens the database again if the last write failed; for the writer, before it reads. @throws RegistryError UNAVAILABLE */
  async ready(): Promise<void> {
    if (this.#broken !== undefined || this.#level === undefined) await this.#reopen();
  }

  /** Writes one batch. After a failure it is written once more to the reopened database. @throws RegistryError UNAVAILABLE */
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

  status(): MetadataStatus {
    const status = { writable: this.#writable, reopens: this.#reopens };
    return this.#failure === undefined ? status : { ...status, lastFailure: this.#failure };
  }

  /** Closes the database and gives the folder up, also when it is broken. Nobody reads or writes any more. */
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

  /** By a chained batch: several times faster than an array of operations, and one batch to LevelDB all the same. */
  async #writeOnce(operations: readonly Operation[], sync: boolean): Promise<void> {
    const { id, number, synced } = this.#head;
    const head = { id, number: number + 1, synced };
    const batch = this.level.batch();
    batch.put(batchKey, JSON.stringify(head));
    for (const operation of operations) {
      if (operation.type === 'put') batch.put(operation.key, operation.text);
      else batch.del(operation.key);
    }
    await batch.write({ sync });
    this.#head = sync ? { ...head, synced: head.number } : head;
  }

  /** Whether the marker may say that this stop was clean. */
  async #writeLast(): Promise<boolean> {
    if (this.#broken !== undefined || this.#level === undefined) return false;
    try {
      await this.#writeOnce([], true);
      return true;
    } catch (error) {
      // All that was acknowledged is on the disk; the next start finds the marker of an unclean stop.
      this.#noteFailure(error);
      this.#refuse();
      return false;
    }
  }

  /** Opens the database again, unless the last attempt was just now. @throws RegistryError UNAVAILABLE */
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
    // What was recovered from the log is in a synced table.
    if (head !== undefined) this.#head = { ...head, synced: head.number };
  }

  #noteFailure(error: unknown): void {
    this.#broken = error;
    const message = error instanceof Error ? error.message : String(error);
    this.#failure = { message, at: Date.now(), noSpace: isDiskFull(error) };
  }

  /** Reports a reopening once a write has shown that it helped. */
  #noteSuccess(): void {
    if (this.#reopens === this.#reported) return;
    this.#reported = this.#reopens;
    this.#writable = true;
    this.#pauseMs = minPauseMs;
    this.#retryAt = 0;
    if (this.#failure === undefined) return;
    this.#options.onEvent?.({ type: 'reopened', reopens: this.#reopens, failure: this.#failure });
  }

  /** From now on writes are refused. */
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
