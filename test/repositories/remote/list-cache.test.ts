import { describe, expect, it } from 'vitest';
import type { Referrer } from '../../../src/ports/metadata/images.js';
import { digestOf } from '../../../src/protocol/digest.js';
import type { Tag } from '../../../src/protocol/names.js';
import { ListCache } from '../../../src/repositories/remote/list-cache.js';

const mebibyte = 1024 * 1024;
const tags = (count: number): Tag[] => Array.from({ length: count }, (_, i) => `nightly-${i}` as Tag);
const kept = (items: readonly (Tag | Referrer)[]) => ({ items, checkedAt: 1 });

describe('the lists that are kept of upstreams', () => {
  it('hold 64 MiB together, across repositories: the least recently used are dropped', () => {
    const cache = new ListCache();
    const list = tags(100_000);
    for (let i = 0; i < 20; i++) cache.set(`hub-${i}`, 'app\0tags', kept(list));
    expect(cache.bytes).toBeLessThanOrEqual(64 * mebibyte);
    expect([cache.get('hub-0', 'app\0tags'), cache.get('hub-19', 'app\0tags')?.items]).toEqual([undefined, list]);
  });

  it('are measured by their content: a few referrers may be as large as many tags', () => {
    const cache = new ListCache();
    const annotations = { text: 'x'.repeat(mebibyte) };
    const referrer = { digest: digestOf(Buffer.from('')), mediaType: 'a/b', size: 1, annotations };
    const list = 100;
    for (let i = 0; i < list; i++) cache.set('hub', `app\0${i}`, kept([referrer]));
    expect(cache.bytes).toBeLessThanOrEqual(64 * mebibyte);
    expect(cache.get('hub', `app\0${list - 1}`)).toBeDefined();
    cache.set('hub', 'app\0huge', kept(Array.from({ length: 70 }, () => referrer)));
    expect(cache.get('hub', 'app\0huge')).toBeUndefined();
  });

  it.each([
    ['ASCII', 'x', 3],
    ['other characters, which take two bytes in memory', '漢', 1],
  ])('hold several of the largest lists that are read: %s', (_title, character, count) => {
    const cache = new ListCache();
    const annotations = { text: character.repeat(60_000) };
    const referrer = { digest: digestOf(Buffer.from('')), mediaType: 'a/b', size: 1, annotations };
    const list = Array.from({ length: 275 }, () => referrer);
    for (let i = 0; i < count; i++) cache.set(`hub-${i}`, 'app\0x', kept(list));
    for (let i = 0; i < count; i++) expect(cache.get(`hub-${i}`, 'app\0x')).toBeDefined();
  });

  it('are forgotten by image or repository', () => {
    const cache = new ListCache();
    for (const repository of ['a', 'b'])
      for (const image of ['x', 'xy']) cache.set(repository, `${image}\0tags`, kept([]));
    cache.forget('a', 'x\0');
    cache.forget('b', '');
    const left = ['a', 'b'].flatMap((repository) =>
      ['x', 'xy'].filter((image) => cache.get(repository, `${image}\0tags`)),
    );
    expect(left).toEqual(['xy']);
  });
});
