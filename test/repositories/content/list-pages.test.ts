import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Listed } from '../../../src/ports/repository.js';
import { mergePages, sliceSorted } from '../../../src/repositories/content/list-pages.js';

interface Item {
  readonly name: string;
  readonly from: number;
}
const nameOf = ({ name }: Item): string => name;
const sorted = (items: readonly Item[]): readonly Item[] => items.toSorted((a, b) => (a.name < b.name ? -1 : 1));
const names = fc.uniqueArray(fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,3}$/), { maxLength: 15 });

/** What the merged pages give, `limit` at a time, from `after` on. */
function walk(members: readonly (readonly Item[])[], limit: number, after?: string): Item[] {
  const all: Item[] = [];
  let last = after;
  for (let pages = 0; ; pages++) {
    if (pages > 200) throw new Error('it goes on for ever');
    const request = last === undefined ? { limit } : { limit, after: last };
    const page: Listed<Item> = mergePages(
      members.map((items) => sliceSorted(sorted(items), request, nameOf)),
      limit,
      nameOf,
    );
    expect(page.items.length).toBeLessThanOrEqual(limit);
    all.push(...page.items);
    if (!page.more) return all;
    // Without it a client could not go on.
    expect(page.items.length).toBeGreaterThan(0);
    last = page.items.at(-1)?.name;
  }
}

describe('mergePages', () => {
  it('returns the sorted union page by page, with each name from the first member that has it', () => {
    fc.assert(
      fc.property(fc.array(names, { maxLength: 4 }), fc.integer({ min: 1, max: 7 }), (lists, limit) => {
        const members = lists.map((list, from) => list.map((name) => ({ name, from })));
        const union = [...new Set(lists.flat())].sort();
        const merged = walk(members, limit);
        expect(merged.map(nameOf)).toEqual(union);
        for (const { name, from } of merged) expect(from).toBe(lists.findIndex((list) => list.includes(name)));
      }),
      { numRuns: 150 },
    );
  });

  it('starts at any name', () => {
    fc.assert(
      fc.property(
        fc.array(names, { maxLength: 3 }),
        fc.integer({ min: 1, max: 5 }),
        fc.stringMatching(/^[a-zA-Z0-9._-]{1,4}$/),
        (lists, limit, after) => {
          const members = lists.map((list, from) => list.map((name) => ({ name, from })));
          const union = [...new Set(lists.flat())].filter((name) => name > after).sort();
          expect(walk(members, limit, after).map(nameOf)).toEqual(union);
        },
      ),
    );
  });

  it('ends where a member with more items ended', () => {
    const short = { items: [{ name: 'c', from: 0 }], more: true };
    const long = { items: ['b', 'c', 'd'].map((name) => ({ name, from: 1 })), more: false };
    const merged = mergePages([short, long], 10, nameOf);
    expect(merged.items.map(nameOf)).toEqual(['b', 'c']);
    expect(merged.more).toBe(true);
  });

  it('is stale when one of its parts is', () => {
    const stale = { repository: 'hub', cache: 'stale', reason: 'it is down' } as const;
    const parts = [
      { items: [], more: false },
      { items: [], more: false, provenance: stale },
    ];
    expect(mergePages(parts, 10, nameOf).provenance).toEqual(stale);
    expect(mergePages([], 10, nameOf)).toEqual({ items: [], more: false });
  });
});

describe('sliceSorted', () => {
  it.each<[number, string | undefined, string[], boolean]>([
    [10, undefined, ['A', 'a', 'a-1', 'b'], false],
    [4, undefined, ['A', 'a', 'a-1', 'b'], false],
    [3, undefined, ['A', 'a', 'a-1'], true],
    [2, 'A', ['a', 'a-1'], true],
    [2, 'a', ['a-1', 'b'], false],
    [2, 'a.', ['b'], false],
    [2, 'z', [], false],
    [0, undefined, [], true],
  ])('returns %i items after %s', (limit, after, expected, more) => {
    const items = ['b', 'a-1', 'A', 'a'].map((name) => ({ name, from: 0 }));
    const page = sliceSorted(sorted(items), after === undefined ? { limit } : { limit, after }, nameOf);
    expect(page.items.map(nameOf)).toEqual(expected);
    expect(page.more).toBe(more);
    expect(items.map(nameOf)).toEqual(['b', 'a-1', 'A', 'a']);
  });

  it('finds its start in a long list by binary search', () => {
    let looked = 0;
    const sorted = Array.from({ length: 100_000 }, (_, n) => ({ name: String(n).padStart(6, '0'), from: 0 }));
    const counting = (item: Item): string => {
      looked++;
      return item.name;
    };
    const page = sliceSorted(sorted, { limit: 10, after: '050000' }, counting);
    expect([page.items[0]?.name, page.items.length, page.more]).toEqual(['050001', 10, true]);
    expect(looked).toBeLessThan(20);
  });
});
