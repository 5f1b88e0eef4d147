import type { Listed, PageRequest } from '../ports.js';

interface SeenPage<T> extends Listed<T> {
  readonly seenTo?: string;
}

/**
 * Merges the pages of several members, all asked for the same page: in byte order of what `nameOf` gives, each name once, as
 * the first member has it. A member that has more cannot be believed beyond the last name that it gave.
 */
export function mergePages<T>(pages: readonly SeenPage<T>[], limit: number, nameOf: (item: T) => string): SeenPage<T> {
  const ends = pages.filter(({ more }) => more).map(({ items, seenTo }) => seenTo ?? lastOf(items, nameOf));
  const horizon = ends.reduce<string | undefined>(
    (least, end) => (least === undefined || end < least ? end : least),
    undefined,
  );
  const merged = new Map<string, T>();
  for (const { items } of pages) {
    for (const item of items) {
      const name = nameOf(item);
      if (!merged.has(name) && (horizon === undefined || name <= horizon)) merged.set(name, item);
    }
  }
  const sorted = [...merged].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item);
  const more = horizon !== undefined || sorted.length > limit;
  const stale = pages.find(({ provenance }) => provenance?.cache === 'stale')?.provenance;
  // With fewer than were asked for, the page ends where a member has looked no further.
  const isShort = horizon !== undefined && sorted.length < limit;
  const page = { items: sorted.slice(0, limit), more, ...(isShort ? { seenTo: horizon } : {}) };
  return stale === undefined ? page : { ...page, provenance: stale };
}

function lastOf<T>(items: readonly T[], nameOf: (item: T) => string): string {
  const last = items.at(-1);
  return last === undefined ? '' : nameOf(last);
}

/** A list in byte order of what `nameOf` gives, as `sliceSorted` takes it. */
export function sortByName<T>(items: readonly T[], nameOf: (item: T) => string): readonly T[] {
  return items.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
}

/** A page of a whole list that `sortByName` sorted: a page costs as much as it has items, however long the list is. */
export function sliceSorted<T>(
  sorted: readonly T[],
  { limit, after }: PageRequest,
  nameOf: (item: T) => string,
): Listed<T> {
  const start = after === undefined ? 0 : countUpTo(sorted, after, nameOf);
  return { items: sorted.slice(start, start + limit), more: sorted.length > start + limit };
}

/** How many items have that name or one before it, by halves. */
function countUpTo<T>(sorted: readonly T[], name: string, nameOf: (item: T) => string): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = sorted[middle];
    if (item !== undefined && nameOf(item) <= name) low = middle + 1;
    else high = middle;
  }
  return low;
}
