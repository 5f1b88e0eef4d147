import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ImageSort, RowPage, RowRequest, TagSort } from '../../../src/ports/browsing.js';
import type { ImageRow, TagRow } from '../../../src/protocol/manifests/browsed-images.js';
import { digestOf, type Digest } from '../../../src/protocol/digest.js';
import { parseTag } from '../../../src/protocol/names.js';
import { StoredImageBrowser } from '../../../src/repositories/browse/image-browser.js';
import { callerWho } from '../../support/access/callers.js';
import {
  anyone,
  day,
  Domain,
  hour,
  imageOf,
  indexOf,
  keyOf,
  pushImage,
  type Image,
} from '../../support/storage/domain.js';

const layer = (text: string): Buffer => Buffer.from(text);
const byName = { limit: 100, sort: 'name', isDescending: false } as const;

describe('browsing images', () => {
  let domain: Domain;
  let browser: StoredImageBrowser;
  beforeEach(async () => {
    domain = await Domain.open();
    browser = new StoredImageBrowser({ metadata: domain.metadata, blobs: domain.blobs, runtime: domain.runtime });
    for (const name of ['a', 'b']) await domain.addRepository(name);
  });
  afterEach(() => domain.dispose());

  const push = async (name: string, image: Image, ...tags: string[]): Promise<Digest> => {
    const [repository = '', ...rest] = name.split('/');
    await pushImage(domain.writer(repository), rest.join('/'), image, ...tags);
    domain.runtime.advance(hour);
    return image.manifest.digest;
  };
  const pull = (name: string, digest: Digest, count: number): Promise<void> => {
    const [repository = '', image = ''] = name.split('/');
    const when = domain.runtime.now();
    const change = { type: 'manifest.pulled', at: keyOf(repository, image), digest, count, when } as const;
    return domain.metadata.apply([change], { durable: false });
  };
  const images = (request: Partial<RowRequest<ImageSort>> = {}, caller = anyone): Promise<RowPage<ImageRow>> => {
    const repositories = ['a', 'b'].map((name) => domain.repository(name));
    return browser.images(caller, repositories, { ...byName, withUnique: true, ...request });
  };
  const tags = async (request: Partial<RowRequest<TagSort>> & { readonly untagged?: boolean } = {}) => {
    const page = await browser.tags(anyone, domain.repository('a'), 'app', { ...byName, untagged: false, ...request });
    return page ?? { items: [] };
  };
  /** Reads all pages. */
  const collect = async <T, S extends string>(
    read: (request: Partial<RowRequest<S>>) => Promise<RowPage<T>>,
    request: Partial<RowRequest<S>>,
    limit: number,
  ): Promise<T[]> => {
    const all: T[] = [];
    for (let page = await read({ ...request, limit }); ; page = await read({ ...request, limit, after: page.next })) {
      all.push(...page.items);
      if (page.next === undefined) return all;
      expect(page.items.length).toBe(limit);
    }
  };

  it('lists images of several repositories with sizes, unique bytes, pushes and pulls', async () => {
    const shared = layer('shared by both');
    const one = imageOf('one', [shared, layer('own')]);
    await push('a/app', one, 'v1', 'v2');
    await push('b/app', imageOf('two', [shared]));
    await pull('a/app', one.manifest.digest, 3);
    domain.runtime.advance(40 * day);
    await pull('a/app', one.manifest.digest, 2);
    const { items } = await images();
    const bytes = one.manifest.bytes.length + one.blobs.reduce((sum, blob) => sum + blob.length, 0);
    expect(items[0]).toEqual({
      repository: 'a',
      image: 'app',
      manifests: 1,
      tags: 2,
      bytes,
      uniqueBytes: bytes - shared.length,
      updatedAt: expect.any(Number) as number,
      pushedAt: domain.runtime.now() - 40 * day - 2 * hour,
      pulledAt: domain.runtime.now(),
      pulls: 5,
      recentPulls: 2,
    });
    expect(items.map(({ repository, image }) => `${repository}/${image}`)).toEqual(['a/app', 'b/app']);
    expect(items[1]).toMatchObject({ pulls: 0, recentPulls: 0 });
    expect(items[1]).not.toHaveProperty('pulledAt');
  });

  describe('lists of many images', () => {
    const names = ['a/app', 'a/base', 'a/team/x', 'a/team/y', 'b/app', 'b/team/x'];
    beforeEach(async () => {
      for (const [i, name] of names.entries()) {
        const labels = Array.from({ length: (i * 5) % 4 }, (_, n) => `t${n}`);
        await push(name, imageOf(name, [layer('x'.repeat(((i * 7) % 5) * 10))]), ...labels);
      }
    });
    const nameOf = ({ repository, image }: ImageRow): string => `${repository}/${image}`;

    it.each([1, 2, 3, 5, 100])('are complete in pages of %i, in every order and both directions', async (limit) => {
      for (const sort of ['name', 'tags', 'size', 'pushed_at', 'pulled_at', 'pulls'] as const) {
        const whole = (await images({ sort })).items;
        expect(whole.map(nameOf).toSorted()).toEqual(names);
        for (const isDescending of [false, true]) {
          const rows = await collect(images, { sort, isDescending }, Math.min(limit, 6));
          expect(rows.map(nameOf).toSorted(), `${sort} ${isDescending}`).toEqual(names);
          expect(rows.map(nameOf)).toEqual((await images({ sort, isDescending })).items.map(nameOf));
        }
      }
      const sizes = (await images({ sort: 'size', isDescending: true })).items.map(({ bytes }) => bytes);
      expect(sizes).toEqual(sizes.toSorted((x, y) => y - x));
      const counts = (await images({ sort: 'tags' })).items.map((row) => row.tags);
      expect(counts).toEqual(counts.toSorted((x, y) => x - y));
      expect((await images({ sort: 'pushed_at' })).items.map(nameOf)).toEqual(names);
    });

    it.each([
      ['team', ['a/team/x', 'a/team/y', 'b/team/x']],
      ['TEAM/X', ['a/team/x', 'b/team/x']],
      ['b/', ['b/app', 'b/team/x']],
      ['*x', ['a/team/x', 'b/team/x']],
      ['t*m/y', ['a/team/y']],
      ['a/*p', ['a/app']],
      ['nothing', []],
    ])('are searched by %s', async (q, found) => {
      expect((await images({ q })).items.map(nameOf)).toEqual(found);
      expect((await images({ q, sort: 'size' })).items.map(nameOf).toSorted()).toEqual(found);
      expect((await collect(images, { q }, 1)).map(nameOf)).toEqual(found);
    });

    it('show only images that the caller may pull', async () => {
      const guest = callerWho('guest', ({ repository, image }) => repository === 'b' || image === 'base');
      const allowed = ['a/base', 'b/app', 'b/team/x'];
      expect((await images({}, guest)).items.map(nameOf)).toEqual(allowed);
      expect((await images({ sort: 'pushed_at' }, guest)).items.map(nameOf)).toEqual(allowed);
      expect((await images({ q: 'team' }, guest)).items.map(nameOf)).toEqual(['b/team/x']);
    });
  });

  it('lists tags with types, sizes, pushes and who made them', async () => {
    const one = imageOf('one', [layer('layer')]);
    const helm = imageOf('chart', [], { artifactType: 'application/vnd.cncf.helm.config.v1+json' });
    await push('a/app', one, '1.9.0', '1.10.0');
    await push('a/app', helm, 'chart');
    const index = indexOf([one.manifest]);
    await domain.writer('a').putManifest(anyone, 'app', index, [parseTag('multi')]);
    await pull('a/app', one.manifest.digest, 2);
    const { items } = await tags();
    const bytes = one.manifest.bytes.length + one.blobs.reduce((sum, blob) => sum + blob.length, 0);
    const [first, , chart, multi] = items;
    expect(items.map(({ name }) => name)).toEqual(['1.10.0', '1.9.0', 'chart', 'multi']);
    expect(first).toMatchObject({ digest: one.manifest.digest, kind: 'image', bytes, pulls: 2 });
    expect(first?.pushedBy).toMatchObject({ principal: 'anyone' });
    expect(chart).toMatchObject({ kind: 'artifact', artifactType: 'application/vnd.cncf.helm.config.v1+json' });
    expect(multi).toMatchObject({
      kind: 'index',
      manifestBytes: index.bytes.length,
      bytes: index.bytes.length + bytes,
    });
    expect((await tags({ q: '1.*' })).items.map(({ name }) => name)).toEqual(['1.10.0', '1.9.0']);
    const bySize = await collect<TagRow, TagSort>(tags, { sort: 'size', isDescending: true }, 1);
    expect(bySize.map(({ name }) => name)).toEqual(['multi', '1.10.0', '1.9.0', 'chart']);
    const byPulls = await collect<TagRow, TagSort>(tags, { sort: 'pulled_at' }, 2);
    expect(byPulls.map(({ name }) => name)).toEqual(['chart', 'multi', '1.10.0', '1.9.0']);
    expect(
      await browser.tags(anyone, domain.repository('a'), 'absent', { ...byName, untagged: false }),
    ).toBeUndefined();
  });

  it('lists manifests that no tag, index or subject keeps, and counts them', async () => {
    const old = [imageOf('old 1', []), imageOf('old 2', [])];
    for (const image of old) await push('a/app', image, 'latest');
    const [{ manifest }] = old as [Image, Image];
    const { digest, mediaType, bytes } = manifest;
    await push(
      'a/app',
      imageOf('signature of the old one', [], { subject: { mediaType, digest, size: bytes.length } }),
    );
    await push('a/app', imageOf('now', []), 'latest');
    const child = imageOf('child', []);
    await push('a/app', child);
    await domain.writer('a').putManifest(anyone, 'app', indexOf([child.manifest]), [parseTag('multi')]);
    const digests = old.map((image) => image.manifest.digest).sort();
    expect((await tags({ untagged: true })).items.map((row) => row.digest)).toEqual(digests);
    const paged = await collect<TagRow, TagSort>((request) => tags({ ...request, untagged: true }), {}, 1);
    expect(paged.map((row) => row.digest)).toEqual(digests);
    expect((await tags({ untagged: true, q: digests[1] as string })).items).toHaveLength(1);
    const summary = await browser.summary(anyone, domain.repository('a'), 'app');
    expect(summary).toMatchObject({ members: [], manifests: 6, tags: 2, untagged: 2, pulls: 0 });
    expect(summary?.uniqueBytes).toBe(summary?.bytes);
    expect(await browser.summary(anyone, domain.repository('a'), 'absent')).toBeUndefined();
  });

  it('lists the moves of a tag, with whether the manifests are still there', async () => {
    const digests: Digest[] = [];
    for (const label of ['1', '2', '3']) digests.push(await push('a/app', imageOf(label, []), 'latest'));
    await domain.writer('a').deleteManifest(anyone, 'app', digests[1] as Digest);
    const history = await browser.history(anyone, domain.repository('a'), 'app', parseTag('latest'), { limit: 9 });
    expect(history?.map(({ move, digest, was, present }) => [move, digest, was, present])).toEqual([
      [3, digests[2], digests[1], true],
      [2, digests[1], digests[0], false],
      [1, digests[0], undefined, true],
    ]);
    const page = { limit: 1, before: 3 };
    expect(await browser.history(anyone, domain.repository('a'), 'app', parseTag('latest'), page)).toMatchObject([
      { move: 2, by: { principal: 'anyone' } },
    ]);
    expect(await browser.history(anyone, domain.repository('a'), 'app', parseTag('none'), page)).toEqual([]);
    expect(await browser.history(anyone, domain.repository('a'), 'absent', parseTag('x'), page)).toBeUndefined();
    await browserlessDelete();
    const gone = await browser.history(anyone, domain.repository('a'), 'app', parseTag('latest'), { limit: 1 });
    expect(gone).toMatchObject([{ move: 4, was: digests[2], present: false }]);
  });

  const browserlessDelete = async (): Promise<void> => {
    const request = { tags: [], digests: [], all: true };
    await domain.writer('a').editor.delete(anyone, 'app', request, { dryRun: false });
  };

  it('returns the blobs that a manifest of the image names, and no others', async () => {
    const one = imageOf('one', [layer('a layer')]);
    await push('a/app', one, 'v1');
    await push('a/other', imageOf('other', [layer('a secret')]));
    await domain.seedBlobs('a', 'app', [layer('uploaded but never named')]);
    const size = async (image: string, digest: Digest) =>
      (await browser.blob(anyone, domain.repository('a'), image, digest))?.size;
    const [, named] = one.manifest.references;
    expect(await size('app', named?.digest as Digest)).toBe('a layer'.length);
    expect(await size('app', one.manifest.digest)).toBe(one.manifest.bytes.length);
    expect(await size('other', named?.digest as Digest)).toBeUndefined();
    expect(await size('app', digestOf(layer('uploaded but never named')))).toBeUndefined();
    expect(await size('app', digestOf(layer('a secret')))).toBeUndefined();
  });
});
