import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Trash, TrashItem, TrashPosition } from '../../../ports/metadata/trash.js';
import type { Digest } from '../../../protocol/digest.js';
import type { LevelIndex } from '../level-index.js';
import { rangeEnd, type RepositoryId } from '../level-keys.js';
import { expiringBefore, expiringKey, expiringPrefix, parseExpiringKey, trashedKey } from '../level-ordered-keys.js';

/** Reads from the disk. */
type Read = <T>(work: (index: LevelIndex) => T | Promise<T>) => Promise<T>;

/** Reads the trash. */
export class LevelTrash implements Trash {
  readonly #read: Read;

  constructor(read: Read) {
    this.#read = read;
  }

  get({ repository, image }: ImageKey, digest: Digest): Promise<TrashItem | undefined> {
    return this.#read((index) => {
      const id = index.residents.idOf(repository);
      return id === undefined ? undefined : index.get(trashedKey({ id, image }, digest));
    });
  }

  list(
    repository: string,
    { limit, after }: { readonly limit: number; readonly after?: TrashPosition | undefined },
  ): Promise<readonly TrashItem[]> {
    return this.#read((index) => {
      const id = index.residents.idOf(repository);
      if (id === undefined) return [];
      const prefix = expiringPrefix(id);
      const gt = after === undefined ? prefix : expiringKey({ id, image: after.at.image }, after.digest, after.until);
      return readItems(index, { gt, lt: rangeEnd(prefix) }, limit);
    });
  }

  expired(before: number, limit: number): Promise<readonly TrashItem[]> {
    return this.#read(async (index) => {
      const items: TrashItem[] = [];
      for (const { config } of index.residents.repositories()) {
        if (items.length >= limit) break;
        // The name comes from the same list.
        const id = index.residents.idOf(config.name) as RepositoryId;
        items.push(...(await readItems(index, expiringBefore(id, before), limit - items.length)));
      }
      return items;
    });
  }
}

function readItems(
  index: LevelIndex,
  range: { readonly gt: string; readonly lt: string },
  limit: number,
): Promise<TrashItem[]> {
  return index.scan(range, limit, (key) => {
    const { place, digest } = parseExpiringKey(key);
    // Skips an item that was restored or deleted since the scan began.
    return index.get(trashedKey(place, digest));
  });
}
