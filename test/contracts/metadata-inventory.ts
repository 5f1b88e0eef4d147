import { expect, it } from 'vitest';
import type { Change, MetadataStore } from '../../src/ports/metadata/metadata.js';
import type { Digest } from '../../src/protocol/digest.js';
import { at, deleteManifest, digest, link, manifest, putManifest, unlink } from './metadata-samples.js';

const sibling = { repository: 'r', image: 'sibling' };
const stranger = { repository: 's', image: 'stranger' };

/** Returns the sums of all parts. */
export async function sumExclusive(store: MetadataStore): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  for (let after: Digest | undefined; ;) {
    const part = await store.inventory.exclusiveBytes(after);
    for (const [name, bytes] of part.bytes) sums.set(name, (sums.get(name) ?? 0) + bytes);
    after = part.next;
    if (after === undefined) return sums;
  }
}

/** Tests what images hold, what else holds it, and the sums of bytes. */
export function inventory(store: () => MetadataStore): void {
  const write = (...changes: readonly Change[]): Promise<void> => store().apply(changes, { durable: false });
  const stored = async (): Promise<number> => {
    while (await store().inventory.countStored());
    const { bytes, isComplete } = await store().inventory.storedBytes();
    expect(isComplete).toBe(true);
    return bytes;
  };

  it('lists manifests in byte order of their digest, in pages, and of one image only', async () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    await write(...names.flatMap((name) => putManifest(name)));
    await write({ type: 'manifest.put', at: { ...at, image: `${at.image}/x` }, manifest: manifest('f') });
    const found: Digest[] = [];
    for (let after: Digest | undefined; ;) {
      const page = { limit: 2, ...(after === undefined ? {} : { after }) };
      const { items, more } = await store().inventory.manifests(at, page);
      found.push(...items.map((item) => item.digest));
      if (!more) break;
      after = found.at(-1);
    }
    expect(found).toEqual(names.map(digest).sort());
  });

  it('counts content once, from its first holder until its bytes are deleted', async () => {
    await write(link('l', 1), link('l', 1, sibling), link('l', 1, stranger), ...putManifest('m'));
    expect(await stored()).toBe(110);
    await write(unlink('l', 2), unlink('l', 2, sibling), unlink('l', 2, stranger), deleteManifest('m', 2));
    expect(await stored()).toBe(110);
    // Pushed again before it is collected, and once more after that.
    await write(link('l', 3));
    expect(await stored()).toBe(110);
    await write({ type: 'bytes.condemn', digest: digest('m') });
    await write({ type: 'bytes.forget', digest: digest('m') });
    expect(await stored()).toBe(110);
    await write({ type: 'bytes.forget', digest: digest('m'), deleted: true });
    expect(await stored()).toBe(110);
    await write({ type: 'bytes.condemn', digest: digest('m') });
    await write({ type: 'bytes.forget', digest: digest('m'), deleted: true });
    await write({ type: 'bytes.condemn', digest: digest('unknown') });
    await write({ type: 'bytes.forget', digest: digest('unknown'), deleted: true });
    expect(await stored()).toBe(10);
    await write(...putManifest('m'));
    expect(await stored()).toBe(110);
  });

  it('sums what only an image, and what only a repository, holds', async () => {
    await write(link('own', 1), link('shared', 1), link('shared', 1, sibling), link('known', 1), ...putManifest('m'));
    await write(link('known', 1, stranger), link('other', 1, stranger), link('m', 1));
    expect(await store().inventory.uniqueBytes(at)).toBe(110);
    expect(await store().inventory.uniqueBytes(stranger)).toBe(10);
    expect(await sumExclusive(store())).toEqual(
      new Map([
        ['r', 120],
        ['s', 10],
      ]),
    );
    await write({ type: 'repository.delete', name: 's', when: 2 });
    expect(await store().inventory.uniqueBytes(at)).toBe(110);
    expect(await sumExclusive(store())).toEqual(new Map([['r', 120]]));
    while (await store().purge(3));
    expect(await store().inventory.uniqueBytes(at)).toBe(120);
    expect(await sumExclusive(store())).toEqual(new Map([['r', 130]]));
  });

  it('sums over many digests and over a digest with many holders', async () => {
    const many = Array.from({ length: 1200 }, (_, i) => i);
    await write(...many.map((i) => link(`l${i}`, 1)));
    await write(...many.map((i) => link('popular', 1, { repository: 'r', image: `i${i}` })));
    expect(await sumExclusive(store())).toEqual(new Map([['r', 12_010]]));
    expect(await store().inventory.uniqueBytes(at)).toBe(12_000);
    await write(link('popular', 1, stranger));
    expect(await sumExclusive(store())).toEqual(new Map([['r', 12_000]]));
    expect(await stored()).toBe(12_010);
  });

  it('returns nothing for an unknown repository', async () => {
    const nowhere = { repository: 'unknown', image: 'x' };
    await write(link('l', 1));
    expect(await store().inventory.manifests(nowhere, { limit: 9 })).toEqual({ items: [], more: false });
    expect(await store().inventory.holders(nowhere, digest('l'))).toEqual({ tags: [], namedBy: [] });
    expect(await store().inventory.uniqueBytes(nowhere)).toBe(0);
    expect(await store().inventory.isHeldElsewhere(nowhere, digest('l'))).toBe(true);
    expect(await store().inventory.isHeldElsewhere(nowhere, digest('m'))).toBe(false);
  });
}
