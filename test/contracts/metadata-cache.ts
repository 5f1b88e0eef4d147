import { expect, it } from 'vitest';
import type { CacheItem, Change, MetadataStore } from '../../src/ports/metadata/metadata.js';
import type { Write } from './metadata-garbage.js';
import {
  at,
  deleteManifest,
  digest,
  link,
  putManifest,
  repository,
  tagName,
  touched,
  unlink,
} from './metadata-samples.js';

const other = { repository: 'r', image: 'other' };
const elsewhere = { repository: 's', image: 'team/app' };

/** Tests access times, sizes and times of revalidation. */
export function cache(current: () => MetadataStore, write: Write): void {
  const read = async (name = 'r') => (await current().evictable(name, { limit: 100 })).map(format);
  const held = [link('l', 1), link('k', 1), ...putManifest('m', { references: [digest('k')] }, 't')];

  it('is listed by access time, the oldest first, with its kind and size', async () => {
    await write(...held, link('l', 1, other), link('l', 1, elsewhere));
    await write(touched(30, ['l']), touched(20, ['m']), touched(25, ['l'], other), touched(5, ['l'], elsewhere));
    expect(await read()).toEqual(['manifest team/app m 100 @20', 'link other l 10 @25', 'link team/app l 10 @30']);
    expect(await read('s')).toEqual(['link team/app l 10 @5']);
    expect(await current().evictable('r', { limit: 1 })).toEqual([
      { kind: 'manifest', at, digest: digest('m'), size: 100, touchedAt: 20 },
    ]);
  });

  it('gets later access times, never earlier ones', async () => {
    await write(...held, touched(7, ['l', 'k']));
    await write(touched(9, ['l']), touched(3, ['k']), touched(8.5, ['m']));
    expect(await read()).toEqual(
      ['link team/app k 10 @7', 'link team/app l 10 @9', 'manifest team/app m 100 @9'].sort(byTime),
    );
  });

  it('can be touched by the write that creates it, and is skipped when the image does not hold it', async () => {
    await write(...held, touched(7, ['l', 'x', 'm']), touched(7, ['k'], other));
    expect((await read()).sort()).toEqual(['link team/app l 10 @7', 'manifest team/app m 100 @7']);
    expect(await current().image(other)).toBeUndefined();
  });

  it.each([
    { what: 'unlinking', change: unlink('l', 9), again: link('l', 10) },
    { what: 'deleting a manifest', change: deleteManifest('m', 9), again: putManifest('m')[0] as Change },
  ])('$what removes its access time permanently', async ({ change, again }) => {
    await write(...held, touched(7, ['l', 'm']));
    await write(change);
    expect(await read()).toHaveLength(1);
    await write(again);
    expect(await read()).toHaveLength(1);
  });

  it('is one item, a manifest, when it is also a link, until both are deleted', async () => {
    await write(...putManifest('m', { size: 10 }), link('m', 1), touched(7, ['m']));
    expect(await read()).toEqual(['manifest team/app m 10 @7']);
    await write(unlink('m', 8));
    expect(await read()).toEqual(['manifest team/app m 10 @7']);
    await write(link('m', 8), deleteManifest('m', 9));
    expect(await read()).toEqual(['link team/app m 10 @7']);
    await write(unlink('m', 9));
    expect(await read()).toEqual([]);
  });

  it.each([1, 2, 3, 100])('is listed completely in pages of %i while items are deleted', async (limit) => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    await write(...names.map((name) => link(name, 1)), touched(5, ['a', 'b', 'c', 'd']), touched(6, ['e', 'f']));
    const items: CacheItem[] = [];
    for (;;) {
      const after = items.at(-1);
      const page = await current().evictable('r', { limit, ...(after && { after }) });
      if (page.length === 0) break;
      items.push(...page);
      await write({ type: 'blob.unlink', at, digest: page.at(-1)?.digest ?? digest(''), when: 9 });
    }
    expect(items.map(({ digest: found }) => found).sort()).toEqual(names.map(digest).sort());
    expect(items.map(({ touchedAt }) => touchedAt)).toEqual([5, 5, 5, 5, 6, 6]);
  });

  it('has a size that is the sum of the images and follows writes', async () => {
    await write(...held);
    expect(await current().usage('r')).toBe(120);
    await write(link('l', 1, other), link('l', 1, elsewhere), link('l', 2));
    expect([await current().usage('r'), await current().usage('s')]).toEqual([130, 10]);
    await write(deleteManifest('m', 3), unlink('l', 3), touched(3, ['k']));
    expect(await current().usage('r')).toBe(20);
    const [, inFlight] = await Promise.all([write(link('n', 4)), current().usage('s'), write(link('o', 4, elsewhere))]);
    expect([10, 20]).toContain(inFlight);
    expect([await current().usage('r'), await current().usage('s')]).toEqual([30, 20]);
  });

  it('is empty in a repository that was deleted and created again', async () => {
    await write(...held, touched(7, ['l', 'm']));
    expect(await current().usage('r')).toBe(120);
    await write({ type: 'repository.delete', name: 'r', when: 8 });
    expect([await read(), await current().usage('r')]).toEqual([[], 0]);
    await write(repository('r', 9), link('k', 9));
    while (await current().purge(10));
    expect([await read(), await current().usage('r')]).toEqual([[], 10]);
  });

  it('keeps the time when a tag was checked, until the tag is written without one', async () => {
    const tag = { name: tagName('t'), digest: digest('m'), updatedAt: 5, checkedAt: 9 };
    await write(...putManifest('m'), { type: 'tag.put', at, tag });
    expect(await current().tag(at, tag.name)).toEqual(tag);
    expect((await current().tags(at, { limit: 9 })).items).toEqual([tag]);
    const { checkedAt: _, ...rest } = tag;
    await write({ type: 'tag.put', at, tag: rest });
    expect(await current().tag(at, tag.name)).toEqual(rest);
  });
}

function format({ kind, at: { image }, digest: found, size, touchedAt }: CacheItem): string {
  return `${kind} ${image} ${['l', 'k', 'm'].find((name) => digest(name) === found)} ${size} @${touchedAt}`;
}

/** Items with the same time are sorted by digest. */
function byTime(a: string, b: string): number {
  const key = (text: string) => `${text.split('@')[1]} ${digest(text.split(' ')[2] as string)}`;
  return key(a) < key(b) ? -1 : 1;
}
