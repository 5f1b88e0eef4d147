/**
 * Browsing images: `image-browser.ts` implements the port, `image-rows.ts` and `tag-rows.ts` its lists, and this file
 * their order. Imported by the composition root; imports content/ of the other folders.
 */
import type { RowPage, RowPosition, RowRequest } from '../../ports/browsing.js';
import { compilePattern } from '../../protocol/patterns.js';
import { problemsFound } from '../../protocol/tables/documents/encoding.js';

/** The maximum number of rows that are sorted. A longer list is only available by name. */
export const maxSorted = 20_000;

/** Returns whether a name fits the search of a request: a part of it, or with `*` a pattern of the whole name. */
export function createMatcher(q: string | undefined): (name: string) => boolean {
  const wanted = q?.toLowerCase() ?? '';
  if (wanted === '') return () => true;
  if (!wanted.includes('*')) return (name) => name.toLowerCase().includes(wanted);
  const pattern = compilePattern(wanted.replaceAll(/\*+/g, '**'));
  return (name) => pattern.matches(name.toLowerCase());
}

/** @throws RegistryError OPTIONS_INVALID when there are too many rows to be sorted. */
export function refuseSorting(count: number): void {
  if (count <= maxSorted) return;
  const problem = `there are more than ${maxSorted} items: sort by name, or search with q`;
  throw problemsFound([{ path: 'sort', problem }]);
}

/** A row with its sort key. Rows without a value, such as those that were never pulled, have -1. */
export interface Sortable<T> {
  readonly name: string;
  readonly value: number;
  readonly row: T;
}

/** Sorts rows and returns the page after a position. Rows with equal values are in the order of their names. */
export function cutSorted<T>(
  rows: readonly Sortable<T>[],
  { limit, after, isDescending, sort }: RowRequest<string>,
): RowPage<T> {
  const byName = sort === 'name';
  const compare = (a: RowPosition, b: RowPosition): number => {
    const difference = byName ? 0 : (a.value ?? 0) - (b.value ?? 0);
    const names = a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
    // Equal values keep the order of names in both directions.
    if (difference !== 0) return isDescending ? -difference : difference;
    return byName && isDescending ? -names : names;
  };
  const sorted = rows.toSorted(compare);
  const rest = after === undefined ? sorted : sorted.filter((row) => compare(row, after) > 0);
  const page = rest.slice(0, limit);
  const last = page.at(-1);
  const items = page.map(({ row }) => row);
  if (rest.length <= limit || last === undefined) return { items };
  return { items, next: byName ? { name: last.name } : { name: last.name, value: last.value } };
}
