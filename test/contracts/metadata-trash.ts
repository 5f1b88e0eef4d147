import { describe, expect, it } from 'vitest';
import { ConflictError } from '../../src/util/conflict-error.js';
import type { Change, MetadataStore } from '../../src/ports/metadata/metadata.js';
import { admin } from '../support/access/callers.js';
import { at, digest, link, manifest, putManifest, repository, tag, tagName, unlink } from './metadata-samples.js';

const other = { repository: 'r', image: 'other' };
const toTrash = (name: string, when: number, until: number, image = at): Change => {
  return { type: 'manifest.delete', at: image, digest: digest(name), when, trashUntil: until };
};
const restore = (name: string): Change => ({ type: 'trash.restore', at, digest: digest(name) });
const expire = (name: string, since: number): Change => ({ type: 'trash.delete', at, digest: digest(name), since });

/** Tests the trash. */
export function trash(store: () => MetadataStore): void {
  const write = (...changes: readonly Change[]): Promise<void> => store().apply(changes, { durable: false });
  const size = async (): Promise<number | undefined> => (await store().image(at))?.bytes;
  const listed = async (name = 'r'): Promise<string[]> =>
    (await store().trash.list(name, { limit: 100 })).map((item) => `${item.at.image} ${item.digest}`);
  // A manifest of 100 bytes with two layers of 10 bytes, one of which another manifest shares.
  // The links come before the manifests that name them, which settle their candidates.
  const image = [
    link('l', 1),
    link('shared', 1),
    ...putManifest('m', { references: [digest('l'), digest('shared')] }, 'v1', 'latest'),
    ...putManifest('n', { references: [digest('shared')] }),
  ];

  it('keeps the manifest, its tags, who deleted it and how many bytes that frees', async () => {
    await write(...image);
    const by = { actor: admin, at: 5 };
    await store().apply([toTrash('m', 5, 50)], { durable: true, by });
    expect(await store().trash.get(at, digest('m'))).toEqual({
      at,
      digest: digest('m'),
      manifest: manifest('m', { references: [digest('l'), digest('shared')] }),
      tags: ['latest', 'v1'],
      deletedAt: 5,
      until: 50,
      by: admin,
      bytes: 110,
    });
    expect(await store().manifest(at, digest('m'))).toBeUndefined();
    expect(await store().tag(at, tagName('v1'))).toBeUndefined();
    expect(await store().image(at)).toMatchObject({ manifests: 1, tags: 0, bytes: 110 });
  });

  it('keeps bytes and links as long as it holds the manifest, and leaves candidates for what nothing else needs', async () => {
    await write(...image, toTrash('m', 5, 50));
    expect(await store().candidates(Infinity, 100)).toEqual([]);
    expect(await store().isReferenced(digest('m'))).toBe(true);
    expect(await store().isNamed(at, digest('l'))).toBe(true);
    await write(expire('m', 5));
    expect(await store().isReferenced(digest('m'))).toBe(false);
    expect(await store().isNamed(at, digest('l'))).toBe(false);
    expect(await store().candidates(Infinity, 100)).toEqual([
      { kind: 'bytes', digest: digest('m'), since: 5 },
      { kind: 'link', at, digest: digest('l'), since: 5 },
    ]);
    expect(await listed()).toEqual([]);
    expect(await size()).toBe(110);
    await write(unlink('l', 6));
    expect(await size()).toBe(110);
  });

  it('restores the manifest and counts its blobs again', async () => {
    await write(...image, toTrash('m', 5, 50), restore('m'), tag('v1', 'm'));
    expect(await store().image(at)).toMatchObject({ manifests: 2, tags: 1, bytes: 220 });
    expect(await store().link(at, digest('l'))).toEqual({ size: 10, linkedAt: 1 });
    expect(await store().trash.get(at, digest('m'))).toBeUndefined();
    await expect(write(restore('m'))).rejects.toThrow(ConflictError);
  });

  it.each([
    {
      what: 'a push of the manifest',
      change: putManifest('m', { references: [digest('l'), digest('shared')] }),
      bytes: 220,
    },
    { what: 'a push of a blob', change: [link('l', 9)], bytes: 120 },
    { what: 'another manifest that names a blob', change: putManifest('o', { references: [digest('l')] }), bytes: 220 },
  ])('counts blobs again after $what', async ({ change, bytes }) => {
    await write(...image, toTrash('m', 5, 50));
    await write(...change);
    expect(await size()).toBe(bytes);
  });

  it('takes over the blobs of a manifest that is deleted after one that is in the trash', async () => {
    await write(...image, toTrash('m', 5, 50));
    await write({ type: 'manifest.delete', at, digest: digest('n'), when: 6 });
    expect(await size()).toBe(0);
    expect(await store().candidates(Infinity, 100)).toEqual([{ kind: 'bytes', digest: digest('n'), since: 6 }]);
  });

  describe('keeps the bytes of a blob that is deleted', () => {
    const unlinked = [...image, toTrash('m', 5, 50), unlink('l', 6)];

    it('hides the blob until its manifest is restored', async () => {
      await write(...unlinked);
      expect(await store().link(at, digest('l'))).toBeUndefined();
      expect((await store().imagesLinking(digest('l'), { limit: 9 })).items).toEqual([]);
      expect(await store().isReferenced(digest('l'))).toBe(true);
      expect((await store().contents.references({ limit: 9 })).items).toContainEqual({ digest: digest('l'), size: 10 });
      expect(await store().contents.usesOf(digest('l'))).toEqual([{ ...at, manifest: digest('m') }]);
      expect(await store().candidates(Infinity, 100)).toEqual([]);
      await write(restore('m'));
      expect(await store().link(at, digest('l'))).toEqual({ size: 10, linkedAt: 1 });
      expect(await store().image(at)).toMatchObject({ manifests: 2, bytes: 220 });
      expect(await store().candidates(Infinity, 100)).toEqual([]);
    });

    it.each([
      { what: 'its manifest leaves the trash', change: [expire('m', 7)], at: 7, size: 110 },
      { what: 'its manifest is pushed without it', change: putManifest('m'), at: 1, size: 210 },
    ])('leaves a candidate once $what', async ({ change, at: since, size: bytes }) => {
      await write(...unlinked, ...change);
      expect(await store().isReferenced(digest('l'))).toBe(false);
      expect(await store().candidates(Infinity, 100)).toContainEqual({ kind: 'bytes', digest: digest('l'), since });
      expect(await size()).toBe(bytes);
    });

    it('waits for the last of several manifests', async () => {
      await write(...putManifest('o', { references: [digest('l')] }), ...unlinked, toTrash('o', 5, 60), expire('m', 7));
      expect(await store().isReferenced(digest('l'))).toBe(true);
      await write(restore('o'));
      expect(await store().link(at, digest('l'))).toEqual({ size: 10, linkedAt: 1 });
    });

    it('is no longer needed once the blob is pushed again', async () => {
      await write(...unlinked, link('l', 9), expire('m', 10), unlink('l', 11));
      expect(await store().isReferenced(digest('l'))).toBe(false);
    });

    it('leaves a candidate when its repository is purged', async () => {
      await write(...unlinked, { type: 'repository.delete', name: 'r', when: 8 });
      while (await store().purge(9));
      expect(await store().isReferenced(digest('l'))).toBe(false);
      expect(await store().isCandidate(digest('l'))).toBe(true);
    });
  });

  it('keeps an image that has nothing else, but does not list it', async () => {
    await write(...putManifest('m', {}, 'v1'), toTrash('m', 5, 50));
    expect((await store().images('r', { limit: 10 })).items).toEqual([]);
    expect(await store().image(at)).toMatchObject({ manifests: 0, bytes: 0, updatedAt: 5 });
    await write(expire('m', 5));
    expect(await store().image(at)).toBeUndefined();
  });

  it('hides referrers until they are restored', async () => {
    await write(...putManifest('sig', { subject: digest('m') }), toTrash('sig', 5, 50));
    const referrers = async () => (await store().referrers(at, digest('m'), { limit: 10 })).items;
    expect(await referrers()).toEqual([]);
    await write(restore('sig'));
    expect(await referrers()).toHaveLength(1);
  });

  it('lists items by the time when they expire, in pages, and finds expired ones of all repositories', async () => {
    await write(...putManifest('a'), ...putManifest('b'), ...putManifest('c'));
    await write(...putManifest('d').map((change) => ({ ...change, at: other })));
    await write(toTrash('b', 1, 10), toTrash('a', 1, 30), toTrash('c', 1, 20), toTrash('d', 1, 20, other));
    const order = await listed();
    expect(order).toEqual([
      `team/app ${digest('b')}`,
      `other ${digest('d')}`,
      `team/app ${digest('c')}`,
      `team/app ${digest('a')}`,
    ]);
    const [first, second] = await store().trash.list('r', { limit: 2 });
    const rest = await store().trash.list('r', { limit: 10, after: second });
    expect([first, second, ...rest].map((item) => `${item?.at.image} ${item?.digest}`)).toEqual(order);
    const expired = await store().trash.expired(20, 10);
    expect(expired.map((item) => item.digest)).toEqual([digest('b')]);
    expect(await store().trash.expired(21, 2)).toHaveLength(2);
    expect(await listed('s')).toEqual([]);
    expect(await listed('unknown')).toEqual([]);
  });

  it('is deleted with its repository, whose bytes become candidates', async () => {
    await write(...putManifest('m'), toTrash('m', 5, 50), { type: 'repository.delete', name: 'r', when: 6 });
    while (await store().purge(7));
    expect(await store().candidates(Infinity, 10)).toEqual([{ kind: 'bytes', digest: digest('m'), since: 7 }]);
    await write(repository('r'));
    expect(await listed()).toEqual([]);
  });

  it('is recorded in the journal', async () => {
    const by = { actor: admin, at: 5 };
    await write(...putManifest('m'));
    for (const change of [toTrash('m', 5, 50), restore('m'), toTrash('m', 6, 50), expire('m', 6)]) {
      await store().apply([change], { durable: true, by });
    }
    const types = (await store().journal.read({ after: 0, limit: 10 })).map(({ type }) => type);
    expect(types).toEqual(['manifest.deleted', 'manifest.restored', 'manifest.deleted', 'manifest.purged']);
  });
}
