import type { BlobStore } from '../../../ports/bytes.js';
import type { Change, ImageRecords, MetadataWriter } from '../../../ports/metadata/metadata.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Runtime } from '../../../ports/runtime.js';
import type { Digest } from '../../../protocol/digest.js';
import { isInsufficientStorage } from '../../../protocol/errors.js';

export interface AccessTimesParts {
  readonly metadata: MetadataWriter & Pick<ImageRecords, 'manifest'>;
  readonly blobs: Pick<BlobStore, 'ensureRoom'>;
  readonly runtime: Runtime;
  /** The interval between writes. @default 60 000 */
  readonly intervalMs?: number;
  /**
   * The maximum number of entries in memory, of about 250 bytes each. Further accesses are dropped. @default 100 000
   */
  readonly maxEntries?: number;
}

/** The number of digests in one write. */
const batchSize = 500;

type Entries = Map<string, number>;
type Entry = readonly [key: string, when: number];

/**
 * Collects the access times of cached content in memory and writes them to the index at intervals, so that a request
 * costs one map entry. A time is that of the first access since the last write, which is accurate enough for eviction.
 * An access to a manifest counts for everything that it names: a client that has the layers asks for the manifest only.
 * A crash loses the unwritten times without harm. A registry has one instance.
 */
export class AccessTimes {
  readonly #parts: AccessTimesParts;
  readonly #maxEntries: number;
  readonly #timer: NodeJS.Timeout;
  /** Keyed by `keyOf`. */
  #pending: Entries = new Map();
  /** The number of entries in the write that is running. */
  #writing = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(parts: AccessTimesParts) {
    this.#parts = parts;
    this.#maxEntries = parts.maxEntries ?? 100_000;
    this.#timer = setInterval(() => void this.#flushInBackground(), parts.intervalMs ?? 60_000);
    this.#timer.unref();
  }

  /** Records an access. The write skips digests that the image does not hold. */
  touch(at: ImageKey, digest: Digest): void {
    const key = keyOf(at, digest);
    if (this.#closed || this.#pending.has(key) || this.#pending.size + this.#writing >= this.#maxEntries) return;
    this.#pending.set(key, this.#parts.runtime.now());
    if (this.#pending.size === Math.ceil(this.#maxEntries / 2)) void this.#flushInBackground();
  }

  /** Returns whether the item was accessed since the last write began. */
  isTouched(at: ImageKey, digest: Digest): boolean {
    return this.#pending.has(keyOf(at, digest));
  }

  /** Writes the collected times. Keeps them for the next attempt when the write fails. */
  flush(): Promise<void> {
    return this.betweenFlushes(() => this.#flush());
  }

  /**
   * Runs a task while no write is running: the index and `isTouched` together then cover every accessed item. What an accessed
   * manifest names is covered from the next write on.
   */
  betweenFlushes<T>(task: () => Promise<T>): Promise<T> {
    const running = this.#turn.then(task);
    this.#turn = running.catch(() => undefined);
    return running;
  }

  /** Writes the collected times and stops recording. Never rejects, because nothing depends on these times. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#flushInBackground();
  }

  /** Keeps the times in memory while the disk is full: they are not worth the reserve. */
  async #flushInBackground(): Promise<void> {
    try {
      await this.betweenFlushes(async () => {
        await this.#parts.blobs.ensureRoom(0);
        await this.#flush();
      });
    } catch (error) {
      if (isInsufficientStorage(error)) return;
      this.#parts.runtime.log.warn({ err: error }, 'failed to save access times');
    }
  }

  async #flush(): Promise<void> {
    const taken = this.#pending;
    this.#pending = new Map();
    this.#writing = taken.size;
    try {
      for (const [repository, entries] of byRepository(taken)) {
        const isThere = await this.#write(repository, entries);
        // The times of a deleted repository cannot be written.
        for (const [key] of isThere ? [] : entries) taken.delete(key);
      }
    } catch (error) {
      // Includes times that were written: writing them again changes nothing.
      for (const [key, when] of taken) this.#pending.set(key, when);
      throw error;
    } finally {
      this.#writing = 0;
    }
  }

  /** Returns false when the repository does not exist. */
  async #write(repository: string, entries: readonly Entry[]): Promise<boolean> {
    let batch: Entry[] = [];
    const apply = (): Promise<boolean> => {
      const changes = toChanges(repository, batch);
      batch = [];
      return this.#parts.metadata.tryApply(changes, { durable: false });
    };
    for (const entry of entries) {
      for await (const each of this.#withNamed(entry)) {
        batch.push(each);
        if (batch.length === batchSize && !(await apply())) return false;
      }
    }
    return batch.length === 0 || apply();
  }

  /** Returns the entry and, for a manifest, what it names, directly or through other manifests of the image. */
  async *#withNamed([key, when]: Entry): AsyncGenerator<Entry> {
    const [repository, image, digest] = key.split('\0') as [string, string, Digest];
    const at = { repository, image };
    const found = new Set([digest]);
    // The set grows during the loop, because a named manifest may name more.
    for (const each of found) {
      yield [keyOf(at, each), when];
      const manifest = await this.#parts.metadata.manifest(at, each);
      for (const named of manifest?.references ?? []) found.add(named);
    }
  }
}

/** Returns a string key, which is cheaper than nested maps. No part contains `\0`. */
function keyOf({ repository, image }: ImageKey, digest: Digest): string {
  return `${repository}\0${image}\0${digest}`;
}

function byRepository(entries: Entries): Map<string, [string, number][]> {
  const groups = new Map<string, [string, number][]>();
  for (const entry of entries) {
    const repository = entry[0].slice(0, entry[0].indexOf('\0'));
    const group = groups.get(repository);
    if (group === undefined) groups.set(repository, [entry]);
    else group.push(entry);
  }
  return groups;
}

/** Returns one change for each image and time. */
function toChanges(repository: string, entries: readonly Entry[]): Change[] {
  const groups = new Map<string, { at: ImageKey; digests: Digest[]; when: number }>();
  for (const [key, when] of entries) {
    // `keyOf` joined three parts.
    const [, image, digest] = key.split('\0') as [string, string, Digest];
    const group = groups.get(`${when} ${image}`);
    if (group === undefined) groups.set(`${when} ${image}`, { at: { repository, image }, digests: [digest], when });
    else group.digests.push(digest);
  }
  return [...groups.values()].map((group) => ({ type: 'cache.touched', ...group }));
}
