import type { Page, PageRequest } from '../ports/pages.js';

/** Reads a page of a list. `seenTo` is how far it has looked, if that is beyond its last item; `undefined`: there is no list. */
type ReadPage<T> = (request: PageRequest) => Promise<(Page<T> & { readonly seenTo?: string }) | undefined>;

/** Yields the pages of a list, from `first` on. `keyOf` returns the position of an item. Reads a page when it is asked for. */
export async function* pagesOf<T>(
  read: ReadPage<T>,
  keyOf: (item: T) => string,
  first: PageRequest,
): AsyncGenerator<readonly T[]> {
  for (let request = first; ;) {
    const page = await read(request);
    if (page === undefined) return;
    yield page.items;
    const last = page.items.at(-1);
    const after = page.seenTo ?? (last === undefined ? undefined : keyOf(last));
    if (!page.more || after === undefined) return;
    request = { limit: first.limit, after };
  }
}

/** Yields the items of a list, like `pagesOf`. */
export async function* itemsOf<T>(
  read: ReadPage<T>,
  keyOf: (item: T) => string,
  first: PageRequest,
): AsyncGenerator<T> {
  for await (const items of pagesOf(read, keyOf, first)) yield* items;
}

/** Returns all items of a list. */
export async function readAll<T>(read: ReadPage<T>, keyOf: (item: T) => string, limit: number): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const items of pagesOf(read, keyOf, { limit })) all.push(...items);
  return all;
}
