import { imagePrefix, rangeEnd, type Key, type RepositoryId, type StoredImage } from '../level-keys.js';
import type { Operation } from '../level-view.js';

/** The part of the index that computing sums needs. */
interface Scanner {
  scan(
    range: { readonly gt: string; readonly lt: string },
    limit: number,
    decode: (key: string, text: string) => undefined,
  ): Promise<readonly unknown[]>;
}

/**
 * The number of bytes in each requested repository: summed once, then updated with each write. The sum is computed from
 * the records of the images, so it does not depend on the state that an earlier process left. It takes some 2 us per
 * image, during which nothing is written.
 */
export class LevelUsage {
  readonly #totals = new Map<RepositoryId, number>();
  /** How the batch in progress changes them. */
  #coming = new Map<RepositoryId, number>();

  get(id: RepositoryId): number | undefined {
    return this.#totals.get(id);
  }

  /** Called by the writer between two batches, so that later batches change exactly the sum that was read. */
  async load(index: Scanner, id: RepositoryId): Promise<number> {
    const kept = this.#totals.get(id);
    if (kept !== undefined) return kept;
    const prefix = imagePrefix(id);
    let total = 0;
    // Counts each record and keeps none.
    await index.scan({ gt: prefix, lt: rangeEnd(prefix) }, Infinity, (_key, text) => {
      total += (JSON.parse(text) as StoredImage).record.bytes;
      return undefined;
    });
    this.#totals.set(id, total);
    return total;
  }

  /**
   * Computes how a batch changes the sums, before it is written.
   * @param before returns the current value of a key.
   */
  prepare(operations: readonly Operation[], before: (key: Key<StoredImage>) => StoredImage | undefined): void {
    this.#coming = new Map();
    if (this.#totals.size === 0) return;
    for (const operation of operations) {
      const { key } = operation;
      const id = key.slice(0, key.indexOf('\0')) as RepositoryId;
      if (!this.#totals.has(id) || !key.startsWith(imagePrefix(id))) continue;
      // Under `imagePrefix` there are only records of images.
      const after = operation.type === 'put' ? (operation.value as StoredImage).record.bytes : 0;
      const change = after - (before(key as Key<StoredImage>)?.record.bytes ?? 0);
      this.#coming.set(id, (this.#coming.get(id) ?? 0) + change);
    }
  }

  /** Applies the changes after the batch was written. */
  written(): void {
    for (const [id, change] of this.#coming) this.#totals.set(id, (this.#totals.get(id) ?? 0) + change);
    this.#coming.clear();
  }

  /** Forgets a deleted repository. */
  forget(id: RepositoryId): void {
    this.#totals.delete(id);
  }

  clear(): void {
    this.#totals.clear();
    this.#coming.clear();
  }
}
