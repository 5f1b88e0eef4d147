import type { BlobStore } from '../../ports/bytes.js';
import type { MetadataStore, MetadataWriter, WriteOptions } from '../../ports/metadata/metadata.js';
import type { CollectOptions } from '../../ports/operations/garbage.js';
import type { Runtime } from '../../ports/runtime.js';
import type { EmptiedTrash, TrashItem } from '../../ports/metadata/trash.js';
import { isInsufficientStorage } from '../../protocol/errors.js';
import { timeLeft } from '../../protocol/recent.js';
import { SingleFlight } from '../../util/scheduling/concurrency.js';
import { overlay } from '../../util/overlay.js';
import { system } from '../../util/system-actor.js';
import { missingOf } from '../content/missing-room.js';

/** The pause after an attempt to make room that did not suffice. */
const restMs = 60_000;
const pageSize = 256;

export interface TrashRoomParts {
  readonly blobs: Pick<BlobStore, 'ensureRoom'>;
  readonly metadata: MetadataWriter & Pick<MetadataStore, 'trash'>;
  readonly runtime: Runtime;
  /** The grace period of the collector: content that was deleted longer ago is freed without shortening it. */
  readonly graceMs: number;
  /** Returns whether bytes are kept for now, whatever refers to them. */
  readonly isHeld: () => boolean;
  /** Frees bytes that nothing refers to. */
  readonly collect: (options?: Pick<CollectOptions, 'graceMs'>) => Promise<unknown>;
}

/** Empties the trash before it expires when the disk is full, the oldest deletions first. */
export class TrashRoom {
  readonly #parts: TrashRoomParts;
  readonly #making = new SingleFlight<void>();
  #restUntil = 0;
  #lastEmptied: EmptiedTrash | undefined;

  constructor(parts: TrashRoomParts) {
    this.#parts = parts;
  }

  /** The last deletion that made room since the start of the process. */
  get lastEmptied(): EmptiedTrash | undefined {
    return this.#lastEmptied;
  }

  /**
   * Works like `ensureRoom` of the store, but first deletes as much from the trash as is needed to make room.
   * @throws RegistryError UNAVAILABLE with status 507 when that does not suffice.
   */
  async ensureRoom(bytes: number): Promise<void> {
    const { blobs, runtime } = this.#parts;
    try {
      await blobs.ensureRoom(bytes);
    } catch (error) {
      if (!isInsufficientStorage(error) || timeLeft(this.#restUntil, restMs, runtime.now()) > 0) throw error;
      const missingBytes = missingOf(error, bytes);
      await this.#making.run('', () => this.#makeRoom(missingBytes));
      await blobs.ensureRoom(bytes).catch((cause: unknown) => {
        this.#restUntil = runtime.now() + restMs;
        throw cause;
      });
    }
  }

  /**
   * Deletes the oldest items that free this many bytes. Shortens the grace period if a recent one is needed: a full disk
   * refuses every push, and someone who deletes images then expects room. Blobs of running pushes stay.
   */
  async #makeRoom(missingBytes: number): Promise<void> {
    const { metadata, runtime, graceMs, collect, isHeld } = this.#parts;
    // Nothing can be freed while a backup copies the blobs.
    if (isHeld()) return;
    const items = (await metadata.trash.expired(Number.MAX_SAFE_INTEGER, Infinity)).toSorted(
      (a, b) => a.deletedAt - b.deletedAt,
    );
    let freedBytes = 0;
    const enough = items.findIndex(({ bytes }) => (freedBytes += bytes) >= missingBytes);
    // If emptying the whole trash would not suffice, keep it.
    if (enough < 0) return;
    const doomed = items.slice(0, enough + 1);
    const emptied: EmptiedTrash = { emptiedAt: runtime.now(), manifests: doomed.length, bytes: freedBytesOf(doomed) };
    runtime.log.warn({ missingBytes, ...emptied }, 'disk full: trash emptied before it expired');
    await dropTrash(metadata, doomed, { actor: system, at: emptied.emptiedAt });
    this.#lastEmptied = emptied;
    runtime.emit('trash.emptied', emptied);
    const isRecent = doomed.some(({ deletedAt }) => deletedAt >= emptied.emptiedAt - graceMs);
    await collect(isRecent ? { graceMs: 0 } : {});
  }
}

/**
 * Deletes expired items. Their content becomes garbage as of the time when it was deleted. Returns the number of items.
 */
export async function expireTrash(
  { metadata, runtime }: Pick<TrashRoomParts, 'metadata' | 'runtime'>,
  isStopped: () => boolean,
): Promise<number> {
  for (let count = 0; ;) {
    const items = isStopped() ? [] : await metadata.trash.expired(runtime.now(), pageSize);
    if (items.length === 0) return count;
    await dropTrash(metadata, items);
    count += items.length;
  }
}

/** @param by records the deletions in the journal. */
async function dropTrash(
  metadata: MetadataWriter,
  items: readonly TrashItem[],
  by?: WriteOptions['by'],
): Promise<void> {
  for (const { at, digest, deletedAt } of items) {
    const drop = { type: 'trash.delete', at, digest, since: deletedAt, deletedAt } as const;
    await metadata.tryApply([drop], { durable: false, by });
  }
}

function freedBytesOf(items: readonly TrashItem[]): number {
  return items.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Returns the store with another `ensureRoom`. */
export function roomMakingStore(blobs: BlobStore, ensureRoom: BlobStore['ensureRoom']): BlobStore {
  return overlay(blobs, { ensureRoom });
}
