import { LRUCache } from 'lru-cache';
import type { Referrer } from '../../ports/images.js';
import type { Tag } from '../../protocol/names.js';
import { weightOf } from '../content/list-pages.js';

/** Of all remote repositories together. */
const maxBytes = 32 * 1024 * 1024;
/** What a string or an object weighs beside its text. */
const overheadBytes = 60;

/** A list of an upstream, sorted once when it comes: it is given in many pages. */
export interface KeptList {
  readonly items: readonly (Tag | Referrer)[];
  readonly checkedAt: number;
}

/** The lists that upstreams gave lately, by repository and key: bounded by their bytes in memory. */
export class ListCache {
  readonly #lists = new LRUCache<string, KeptList>({
    maxSize: maxBytes,
    sizeCalculation: ({ items }, key) =>
      items.reduce<number>((sum, item) => sum + weigh(item), key.length + overheadBytes),
  });

  /** The bytes that the lists hold. */
  get bytes(): number {
    return this.#lists.calculatedSize;
  }

  get(repository: string, key: string): KeptList | undefined {
    return this.#lists.get(`${repository}\0${key}`);
  }

  /** A list that is larger than the whole cache is not kept. */
  set(repository: string, key: string, list: KeptList): void {
    this.#lists.set(`${repository}\0${key}`, list);
  }

  /** Forgets the lists whose keys begin so. */
  forget(repository: string, prefix: string): void {
    for (const key of this.#lists.keys()) if (key.startsWith(`${repository}\0${prefix}`)) this.#lists.delete(key);
  }
}

function weigh(item: Tag | Referrer): number {
  return typeof item === 'string' ? item.length + overheadBytes : weightOf(item) * 2 + overheadBytes * 6;
}
