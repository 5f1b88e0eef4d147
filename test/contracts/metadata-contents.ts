import { expect, it } from 'vitest';
import type { Change, MetadataStore } from '../../src/ports/metadata/metadata.js';
import { at, deleteManifest, digest, link, manifest, putManifest, tag, tagName, unlink } from './metadata-samples.js';

const other = { repository: 's', image: 'other' };

/** Tests what the index refers to. */
export function contents(store: () => MetadataStore): void {
  const write = (...changes: readonly Change[]): Promise<void> => store().apply(changes, { durable: false });
  const list = async (repository?: string): Promise<readonly object[]> => {
    const { items, more } = await store().contents.references({ limit: 1000, repository });
    expect(more).toBe(false);
    return items;
  };
  const sorted = (...references: readonly { digest: string }[]): readonly object[] =>
    references.toSorted((a, b) => (a.digest < b.digest ? -1 : 1));
  const blob = (name: string): { digest: string; size: number } => ({ digest: digest(name), size: 10 });
  const record = (name: string): { digest: string; size: number } => ({ digest: digest(name), size: 100 });

  it('lists linked blobs and manifests once, with their sizes, of all repositories or of one', async () => {
    await write(
      ...putManifest('m', { references: [digest('a')] }, 't'),
      link('a', 1),
      link('a', 1, other),
      link('b', 1, other),
    );
    expect(await list()).toEqual(sorted(record('m'), blob('a'), blob('b')));
    expect(await list('r')).toEqual(sorted(record('m'), blob('a')));
    expect(await list('s')).toEqual(sorted(blob('a'), blob('b')));
    expect(await list('unknown')).toEqual([]);
  });

  it('does not list dropped content, or content that a manifest names but its image lacks', async () => {
    await write(...putManifest('m', { references: [digest('absent')] }), link('a', 1));
    await write(unlink('a', 2));
    expect(await list()).toEqual([record('m')]);
    await write(deleteManifest('m', 3));
    expect(await list()).toEqual([]);
  });

  it('lists in pages, without gaps or repetitions', async () => {
    const names = Array.from({ length: 25 }, (_, i) => `blob-${i}`);
    await write(...names.flatMap((name) => [link(name, 1), link(name, 1, other)]));
    const seen: string[] = [];
    for (let more = true; more;) {
      const page = await store().contents.references({ limit: 4, after: seen.at(-1) ?? '' });
      seen.push(...page.items.map((item) => item.digest));
      more = page.more;
    }
    expect(seen).toEqual(names.map(digest).sort());
  });

  it('finds the tags that need content, through manifests and indexes, and manifests without a tag', async () => {
    await write(
      ...putManifest('m', { references: [digest('layer')] }, 'v1', 'latest'),
      ...putManifest('child', { references: [digest('layer')] }),
      ...putManifest('index', { references: [digest('child')] }, 'multi'),
      ...putManifest('untagged', { references: [digest('layer')] }),
      link('layer', 1),
      link('layer', 1, other),
    );
    const uses = await store().contents.usesOf(digest('layer'));
    expect(uses).toHaveLength(5);
    expect(uses).toEqual(
      expect.arrayContaining([
        { ...at, tag: tagName('latest') },
        { ...at, tag: tagName('v1') },
        { ...at, tag: tagName('multi') },
        { ...at, manifest: digest('untagged') },
        other,
      ]),
    );
    expect(await store().contents.usesOf(digest('child'))).toEqual([{ ...at, tag: tagName('multi') }]);
    expect(await store().contents.usesOf(digest('unknown'))).toEqual([]);
  });

  it('counts what the trash keeps', async () => {
    await write(
      { type: 'manifest.put', at, manifest: manifest('m', { references: [digest('a')] }) },
      tag('t', 'm'),
      link('a', 1),
    );
    await write({ type: 'manifest.delete', at, digest: digest('m'), when: 2, trashUntil: 50 });
    expect(await list('r')).toEqual(sorted(record('m'), blob('a')));
    expect(await store().contents.usesOf(digest('a'))).toEqual([{ ...at, manifest: digest('m') }]);
  });

  it('counts a deleted repository until it is purged', async () => {
    await write(link('a', 1), { type: 'repository.delete', name: 'r', when: 2 });
    expect(await list()).toEqual([blob('a')]);
    expect(await store().contents.usesOf(digest('a'))).toEqual([]);
    while (await store().purge(3));
    expect(await list()).toEqual([]);
  });

  it('recounts an image, and returns the counts of its record', async () => {
    await write(
      ...putManifest('m', { references: [digest('a'), digest('b')] }, 'v1', 'v2'),
      ...putManifest('n', { references: [digest('b')] }, 'old'),
      link('a', 1),
      link('b', 1),
      link('unnamed', 1),
    );
    const counts = { manifests: 2, tags: 3, bytes: 230 };
    expect(await store().contents.recount(at)).toEqual({ ...at, recorded: counts, counted: counts });
    await write({ type: 'manifest.delete', at, digest: digest('m'), when: 2, trashUntil: 50 }, unlink('unnamed', 2));
    const rest = { manifests: 1, tags: 1, bytes: 110 };
    expect(await store().contents.recount(at)).toEqual({ ...at, recorded: rest, counted: rest });
    expect(await store().contents.recount({ ...at, image: 'unknown' })).toBeUndefined();
    expect(await store().contents.recount({ repository: 'unknown', image: 'a' })).toBeUndefined();
  });
}
