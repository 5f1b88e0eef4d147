import { imagePrefix, rangeEnd, type Key, type RepositoryId, type StoredImage } from './level-keys.js';
import type { Operation } from './level-view.js';

/** The part of the index that sums need. */
interface Scanner {
  scan(
    range: { readonly gt: string; readonly lt: string },
    limit: number,
    decode: (key: string, text: string) => undefined,
  ): Promise<readonly unknown[]>;
}

/**
 * How many bytes each repository holds, of those that were asked about: summed up once, then followed. The sum is over the
 * images' records, so it is right whatever an earlier process left: some 2 us an image, in which nothing is written.
 */
export class LevelUsage {
  readonly #totals = new Map<RepositoryId, number>();
  /** By what the batch that is being written changes them. */
  #coming = new Map<RepositoryId, number>();

  get(id: RepositoryId): number | undefined {
    return this.#totals.get(id);
  }

  /** To be called by the writer, between two batches: what is on the disk then is what later batches change. */
  async load(index: Scanner, id: RepositoryId): Promise<number> {
    const kept = this.#totals.get(id);
    if (kept !== undefined) return kept;
    const prefix = imagePrefix(id);
    let total = 0;
    // Keeps no record: every one is refused once it is counted.
    await index.scan({ gt: prefix, lt: rangeEnd(prefix) }, Infinity, (_key, text) => {
      total += (JSON.parse(text) as StoredImage).record.bytes;
      return undefined;
    });
    this.#totals.set(id, total);
    return total;
  }

  /** Before a batch is written. @param before what lies under a key now. */
  prepare(operations: readonly Operation[], before: (key: Key<StoredImage>) => StoredImage | undefined): void {
    this.#coming = new Map();
    if (this.#totals.size === 0) return;
    for (const operation of operations) {
      const { key } = operation;
      const id = key.slice(0, key.indexOf('\0')) as RepositoryId;
      if (!this.#totals.has(id) || !key.startsWith(imagePrefix(id))) continue;
      const after = operation.type === 'put' ? (operation.value as StoredImage).record.bytes : 0;
      const change = after - (before(key as Key<StoredImage>)?.record.bytes ?? 0);
      this.#coming.set(id, (this.#coming.get(id) ?? 0) + change);
    }
  }

  /** The batch was written. */
  written(): void {
    for (const [id, change] of this.#coming) this.#totals.set(id, (this.#totals.get(id) ?? 0) + change);
    this.#coming.clear();
  }

  /** The repository was deleted. */
  forget(id: RepositoryId): void {
    this.#totals.delete(id);
  }

  clear(): void {
    this.#totals.clear();
    this.#coming.clear();
  }
}
