import { describe, expect, it } from 'vitest';
import { itemsOf, pagesOf, readAll } from '../../src/util/pages.js';
import type { Page, PageRequest } from '../../src/ports/pages.js';

const letters = ['a', 'b', 'c', 'd', 'e'];
const same = (item: string): string => item;

/** Reads pages of a list, and remembers the requests. */
function listOf(all: readonly string[]) {
  const requests: PageRequest[] = [];
  const read = async (request: PageRequest): Promise<Page<string>> => {
    requests.push(request);
    const { limit, after = '' } = request;
    const left = all.filter((item) => item > after);
    return { items: left.slice(0, limit), more: left.length > limit };
  };
  return { requests, read };
}

describe('readAll', () => {
  it.each([
    ['an empty list', [], 2, 1],
    ['a list of one page', ['a', 'b'], 2, 1],
    ['a list of several pages', letters, 2, 3],
  ])('reads %s', async (_what, all, limit, pages) => {
    const { read, requests } = listOf(all);
    expect(await readAll(read, same, limit)).toEqual(all);
    expect(requests).toHaveLength(pages);
  });

  it('continues after what a page has looked at, even if the page has no items', async () => {
    const pages = [
      { items: ['a'], more: true, seenTo: 'c' },
      { items: [], more: true, seenTo: 'e' },
      { items: ['f'], more: false },
    ];
    const asked: (string | undefined)[] = [];
    const read = async ({ after }: PageRequest): Promise<Page<string>> => {
      asked.push(after);
      return pages[asked.length - 1] ?? { items: [], more: false };
    };
    expect(await readAll(read, same, 2)).toEqual(['a', 'f']);
    expect(asked).toEqual([undefined, 'c', 'e']);
  });

  it('ends with a page without items and without a position', async () => {
    expect(await readAll(async () => ({ items: [], more: true }), same, 2)).toEqual([]);
  });

  it('returns nothing if there is no list', async () => {
    expect(await readAll(async () => undefined, same, 2)).toEqual([]);
  });
});

describe('pagesOf', () => {
  it('does not read a page before the caller asks for it', async () => {
    const { read, requests } = listOf(letters);
    for await (const items of pagesOf(read, same, { limit: 2 })) {
      expect(items).toEqual(['a', 'b']);
      break;
    }
    expect(requests).toEqual([{ limit: 2 }]);
  });
});

describe('itemsOf', () => {
  it('starts after a position', async () => {
    const found: string[] = [];
    for await (const item of itemsOf(listOf(letters).read, same, { limit: 1, after: 'c' })) found.push(item);
    expect(found).toEqual(['d', 'e']);
  });
});
