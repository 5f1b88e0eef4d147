import { LRUCache } from 'lru-cache';
import type { Referrer } from '../../ports/metadata/images.js';
import type { Tag } from '../../protocol/names.js';

/**
 * The limit for all remote repositories together. Holds a few lists of the largest size that is read: the members of a virtual
 * repository must not drive out each other's lists while a client reads page after page.
 */
const maxBytes = 64 * 1024 * 1024;
/** The memory of a string besides its text, and of a referrer besides its JSON, as measured. */
const overheadBytes = { tag: 60, referrer: 120 };

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
      items.reduce<number>((sum, item) => sum + weigh(item), key.length + overheadBytes.tag),
  });

  /** The total size of the lists. */
  get bytes(): number {
    return this.#lists.calculatedSize;
  }

  get(repository: string, key: string): KeptList | undefined {
    return this.#lists.get(`${repository}\0${key}`);
  }

  /** Keeps a list, unless it is larger than the whole cache. */
  set(repository: string, key: string, list: KeptList): void {
    this.#lists.set(`${repository}\0${key}`, list);
  }

  /** Forgets the lists whose keys start with the prefix. */
  forget(repository: string, prefix: string): void {
    for (const key of this.#lists.keys()) if (key.startsWith(`${repository}\0${prefix}`)) this.#lists.delete(key);
  }
}

function weigh(item: Tag | Referrer): number {
  if (typeof item === 'string') return item.length + overheadBytes.tag;
  const json = JSON.stringify(item);
  // V8 keeps a string in one byte per character, or in two if a character needs them.
  const isAscii = Buffer.byteLength(json) === json.length;
  return json.length * (isAscii ? 1 : 2) + overheadBytes.referrer;
}
