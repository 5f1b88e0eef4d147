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

/** Selects images of one repository. */
export interface ImageFilter {
  /** Identifies the filter among those of the repository. */
  readonly key: string;
  matches(image: string): boolean;
}

/** Selects all images. */
export const allImages: ImageFilter = { key: '', matches: () => true };

interface Sum {
  readonly filter: ImageFilter;
  total: number;
  /** The change of the sum by the batch in progress. */
  coming: number;
}

/** Filters of one repository whose sums are kept. */
const maxFilters = 1000;

/**
 * The number of bytes in the requested images of each repository: summed once, then updated with each write. The sum is
 * computed from the records of the images, so it does not depend on the state that an earlier process left. It takes
 * some 2 us per image, during which nothing is written.
 */
export class LevelUsage {
  readonly #sums = new Map<RepositoryId, Map<string, Sum>>();

  get(id: RepositoryId, filter = allImages): number | undefined {
    return this.#sums.get(id)?.get(filter.key)?.total;
  }

  /** Called by the writer between two batches, so that later batches change exactly the sum that was read. */
  async load(index: Scanner, id: RepositoryId, filter = allImages): Promise<number> {
    const kept = this.get(id, filter);
    if (kept !== undefined) return kept;
    const prefix = imagePrefix(id);
    let total = 0;
    // Counts each record and keeps none.
    await index.scan({ gt: prefix, lt: rangeEnd(prefix) }, Infinity, (key, text) => {
      if (filter.matches(key.slice(prefix.length))) total += (JSON.parse(text) as StoredImage).record.bytes;
      return undefined;
    });
    const sums = this.#sums.get(id) ?? new Map<string, Sum>();
    this.#sums.set(id, sums);
    // Quotas that no longer exist leave sums behind.
    if (sums.size >= maxFilters) sums.clear();
    sums.set(filter.key, { filter, total, coming: 0 });
    return total;
  }

  /**
   * Computes how a batch changes the sums, before it is written.
   * @param before returns the current value of a key.
   */
  prepare(operations: readonly Operation[], before: (key: Key<StoredImage>) => StoredImage | undefined): void {
    for (const sums of this.#sums.values()) for (const sum of sums.values()) sum.coming = 0;
    if (this.#sums.size === 0) return;
    for (const operation of operations) {
      const { key } = operation;
      const id = key.slice(0, key.indexOf('\0')) as RepositoryId;
      const sums = this.#sums.get(id);
      if (sums === undefined || !key.startsWith(imagePrefix(id))) continue;
      // Under `imagePrefix` there are only records of images.
      const after = operation.type === 'put' ? (operation.value as StoredImage).record.bytes : 0;
      const change = after - (before(key as Key<StoredImage>)?.record.bytes ?? 0);
      if (change === 0) continue;
      const image = key.slice(imagePrefix(id).length);
      for (const sum of sums.values()) if (sum.filter.matches(image)) sum.coming += change;
    }
  }

  /** Applies the changes after the batch was written. */
  written(): void {
    for (const sums of this.#sums.values()) {
      for (const sum of sums.values()) {
        sum.total += sum.coming;
        sum.coming = 0;
      }
    }
  }

  /** Forgets a deleted repository. */
  forget(id: RepositoryId): void {
    this.#sums.delete(id);
  }

  clear(): void {
    this.#sums.clear();
  }
}
