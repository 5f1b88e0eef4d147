import { LRUCache } from 'lru-cache';
import type { Referrer } from '../../ports/images.js';
import type { Tag } from '../../protocol/names.js';
import { weightOf } from '../content/list-pages.js';

/** The limit for all remote repositories together. */
const maxBytes = 32 * 1024 * 1024;
/** The memory of a string or object besides its text. */
const overheadBytes = 60;

/** A list from an upstream. It is sorted once, when it arrives, and served in many pages. */
export interface KeptList {
  readonly items: readonly (Tag | Referrer)[];
  readonly checkedAt: number;
}

/** Keeps recent lists from upstreams, by repository and key. Bounded by their bytes in memory. */
export class ListCache {
  readonly #lists = new LRUCache<string, KeptList>({
    maxSize: maxBytes,
    sizeCalculation: ({ items }, key) =>
      items.reduce<number>((sum, item) => sum + weigh(item), key.length + overheadBytes),
  });

  /** The total size of the lists. */
  get bytes(): number {
    return this.#lists.calculatedSize;
  }

  get(repository: string, key: string): KeptList | undefined {
    return this.#lists.get(`${repository}\0${key}`);
  }

  /** Does not keep a list that is larger than the whole cache. */
  set(repository: string, key: string, list: KeptList): void {
    this.#lists.set(`${repository}\0${key}`, list);
  }

  /** Forgets the lists whose keys start with the prefix. */
  forget(repository: string, prefix: string): void {
    for (const key of this.#lists.keys()) if (key.startsWith(`${repository}\0${prefix}`)) this.#lists.delete(key);
  }
}

function weigh(item: Tag | Referrer): number {
  return typeof item === 'string' ? item.length + overheadBytes : weightOf(item) * 2 + overheadBytes * 6;
}
