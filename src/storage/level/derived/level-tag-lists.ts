import { LRUCache } from 'lru-cache';
import type { Page, PageRequest } from '../../../ports/pages.js';
import type { TagRecord } from '../../../ports/metadata/metadata.js';
import type { Operation } from '../level-view.js';

/** Limit over all images. A record takes some 250 bytes in memory. */
const maxCachedTags = 100_000;

/**
 * The sorted tags of recently listed images, by their key prefix. Writes update a list in place, so it is read from the
 * index only once.
 */
export class LevelTagLists {
  readonly #lists = new LRUCache<string, TagRecord[]>({
    maxSize: maxCachedTags,
    sizeCalculation: (list) => list.length + 1,
  });
  readonly #loads = new Map<string, Promise<TagRecord[]>>();

  /** Returns the list of an image from memory, or loads it with `load`. */
  async read(prefix: string, load: () => Promise<TagRecord[]>): Promise<readonly TagRecord[]> {
    const kept = this.#lists.get(prefix);
    if (kept !== undefined) return kept;
    let loading = this.#loads.get(prefix);
    if (loading === undefined) {
      loading = load();
      this.#loads.set(prefix, loading);
    }
    try {
      const list = await loading;
      // A concurrent write to the image has removed the load: the list may predate that write.
      if (this.#loads.get(prefix) === loading) this.#lists.set(prefix, list);
      return list;
    } finally {
      if (this.#loads.get(prefix) === loading) this.#loads.delete(prefix);
    }
  }

  /** Applies the write of a tag, whose key is the prefix and its name. */
  written(prefix: string, name: string, operation: Operation): void {
    this.#loads.delete(prefix);
    const list = this.#lists.get(prefix);
    if (list === undefined) return;
    const index = indexAfter(list, name);
    const present = list[index - 1]?.name === name;
    // The key of a tag has a record as its value.
    const records = operation.type === 'del' ? [] : [operation.value as TagRecord];
    if (present) list.splice(index - 1, 1, ...records);
    else list.splice(index, 0, ...records);
    // Updates its size in the cache.
    this.#lists.set(prefix, list);
  }

  clear(): void {
    this.#lists.clear();
    this.#loads.clear();
  }
}

/** Returns a page of a complete sorted list. */
export function sliceTags(list: readonly TagRecord[], { limit, after }: PageRequest): Page<TagRecord> {
  const start = after === undefined ? 0 : indexAfter(list, after);
  return { items: list.slice(start, start + limit), more: start + limit < list.length };
}

/** Returns the index of the first tag after a name. Tags are ASCII, so string order equals byte order. */
function indexAfter(list: readonly TagRecord[], name: string): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    // `middle` is below the length.
    if ((list[middle] as TagRecord).name <= name) low = middle + 1;
    else high = middle;
  }
  return low;
}
