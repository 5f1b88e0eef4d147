import type { BlobStore } from '../../../ports/bytes.js';
import type { Change, MetadataWriter } from '../../../ports/metadata.js';
import type { ImageKey } from '../../../ports/images.js';
import type { Runtime } from '../../../ports/runtime.js';
import type { Digest } from '../../../protocol/digest.js';
import { isInsufficientStorage } from '../../../protocol/errors.js';

export interface AccessTimesParts {
  readonly metadata: MetadataWriter;
  readonly blobs: Pick<BlobStore, 'ensureRoom'>;
  readonly runtime: Runtime;
  /** How often what was collected is written. @default 60 000 */
  readonly intervalMs?: number;
  /** How much is kept in memory, at some 250 bytes. More is not noted until a part is written. @default 100 000 */
  readonly maxEntries?: number;
}

/** How many digests go into one write. */
const batchSize = 500;

type Entries = Map<string, number>;

/**
 * Collects in memory what caches are asked for, so that a request costs an entry in a map, and writes it to the index now
 * and then. A time is that of the first touch since the last write: coarse, as befits a last-access time. What a dying
 * process has not written is lost, and harms nothing. One for a registry.
 */
export class AccessTimes {
  readonly #parts: AccessTimesParts;
  readonly #maxEntries: number;
  readonly #timer: NodeJS.Timeout;
  /** By `keyOf`. */
  #pending: Entries = new Map();
  /** How many of those that were taken to be written are not yet. */
  #writing = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(parts: AccessTimesParts) {
    this.#parts = parts;
    this.#maxEntries = parts.maxEntries ?? 100_000;
    this.#timer = setInterval(() => void this.#flushInBackground(), parts.intervalMs ?? 60_000);
    this.#timer.unref();
  }

  /** Notes that it was asked for now. What the image does not hold is forgotten when it is written. */
  touch(at: ImageKey, digest: Digest): void {
    const key = keyOf(at, digest);
    if (this.#closed || this.#pending.has(key) || this.#pending.size + this.#writing >= this.#maxEntries) return;
    this.#pending.set(key, this.#parts.runtime.now());
    if (this.#pending.size === Math.ceil(this.#maxEntries / 2)) void this.#flushInBackground();
  }

  /** Whether it was touched since the last write began. */
  isTouched(at: ImageKey, digest: Digest): boolean {
    return this.#pending.has(keyOf(at, digest));
  }

  /** Writes what was collected. What could not be written is kept for the next time. */
  flush(): Promise<void> {
    return this.betweenFlushes(() => this.#flush());
  }

  /** Runs a task while nothing is written: what is touched is then told by the index or by `isTouched`. */
  betweenFlushes<T>(task: () => Promise<T>): Promise<T> {
    const running = this.#turn.then(task);
    this.#turn = running.catch(() => undefined);
    return running;
  }

  /** Writes what was collected, and notes nothing more. Never rejects: nothing depends on these times. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#flushInBackground();
  }

  /** On a full disk the times stay in memory: they are not worth the reserve. */
  async #flushInBackground(): Promise<void> {
    try {
      await this.betweenFlushes(async () => {
        await this.#parts.blobs.ensureRoom(0);
        await this.#flush();
      });
    } catch (error) {
      if (isInsufficientStorage(error)) return;
      this.#parts.runtime.log.warn({ err: error }, 'when cached content was last asked for could not be written');
    }
  }

  async #flush(): Promise<void> {
    const taken = this.#pending;
    this.#pending = new Map();
    this.#writing = taken.size;
    try {
      for (const [repository, entries] of byRepository(taken)) {
        const isThere = await this.#write(repository, entries);
        // Of a repository that was deleted, nothing can be written.
        for (const [key] of isThere ? [] : entries) taken.delete(key);
      }
    } catch (error) {
      // Also what was written: writing it again changes nothing.
      for (const [key, when] of taken) this.#pending.set(key, when);
      throw error;
    } finally {
      this.#writing = 0;
    }
  }

  /** False when there is no such repository. */
  async #write(repository: string, entries: readonly (readonly [string, number])[]): Promise<boolean> {
    for (let start = 0; start < entries.length; start += batchSize) {
      const changes = toChanges(repository, entries.slice(start, start + batchSize));
      if (!(await this.#parts.metadata.tryApply(changes, { durable: false }))) return false;
    }
    return true;
  }
}

/** A string, for a map of maps would cost a request more. No part of it contains a `\0`. */
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

/** One for each image and time. */
function toChanges(repository: string, entries: readonly (readonly [string, number])[]): Change[] {
  const groups = new Map<string, { at: ImageKey; digests: Digest[]; when: number }>();
  for (const [key, when] of entries) {
    const [, image, digest] = key.split('\0') as [string, string, Digest];
    const group = groups.get(`${when} ${image}`);
    if (group === undefined) groups.set(`${when} ${image}`, { at: { repository, image }, digests: [digest], when });
    else group.digests.push(digest);
  }
  return [...groups.values()].map((group) => ({ type: 'cache.touched', ...group }));
}
