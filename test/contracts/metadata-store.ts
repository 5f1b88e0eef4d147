import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConflictError } from '../../src/util/conflict-error.js';
import type { Candidate, Change, MetadataStore, Precondition } from '../../src/ports/metadata/metadata.js';
import type { ManifestHolders } from '../../src/ports/operations/inventory.js';
import { metadataChangesContract } from './metadata-changes.js';
import { contents } from './metadata-contents.js';
import { inventory } from './metadata-inventory.js';
import { journal } from './metadata-journal.js';
import { pulls } from './metadata-pulls.js';
import { trash } from './metadata-trash.js';
import {
  at,
  collect,
  digest,
  link,
  manifest,
  putManifest,
  record,
  repository,
  session,
  tag,
  tagName,
} from './metadata-samples.js';
import { sizes } from './metadata-sizes.js';
import { samples } from './metadata-statistics.js';
import { metadataPropertiesContract } from './metadata-properties.js';

/** An empty store of the driver under test. */
export interface MetadataStoreFixture {
  readonly store: MetadataStore;
  /** Closes the store and removes everything. */
  dispose(): Promise<void>;
}

/** Tests the contract of `MetadataStore`, which every driver must fulfill. */
export function metadataStoreContract(name: string, create: () => Promise<MetadataStoreFixture>): void {
  describe(`${name} fulfills the contract of MetadataStore`, () => {
    let fixture: MetadataStoreFixture | undefined;
    const store = (): MetadataStore => {
      if (fixture === undefined) throw new Error('no store is open');
      return fixture.store;
    };
    beforeEach(async () => {
      fixture = await create();
      await fixture.store.apply([repository('r'), repository('s')], { durable: false });
    });
    afterEach(async () => {
      await fixture?.dispose();
      fixture = undefined;
    });
    metadataChangesContract(store);
    preconditions(store);
    paging(store);
    concurrency(store);
    health(store);
    describe('the journal', () => journal(store));
    describe('counts of pulls', () => pulls(store));
    describe('samples', () => samples(store));
    describe('the trash', () => trash(store));
    describe('the content that it refers to', () => contents(store));
    describe('the inventory', () => inventory(store));
    describe('sizes of groups of images', () => sizes(store));
  });

  describe(`${name} compared with a simple model`, () => {
    let shared: Promise<MetadataStoreFixture> | undefined;
    afterAll(async () => (await shared)?.dispose());
    // All runs share a store, each with its own names and digests.
    metadataPropertiesContract(async () => (await (shared ??= create())).store);
  });
}

function health(store: () => MetadataStore): void {
  it('check() resolves while the index accepts writes, even concurrently, and status() reports no failure', async () => {
    await Promise.all([store().check(), store().check(), store().check()]);
    await store().check();
    expect(store().status()).toEqual({ writable: true, reopens: 0 });
  });
}

function preconditions(store: () => MetadataStore): void {
  describe('preconditions', () => {
    const id = session('1', at).id;
    const holders = (tags: readonly string[], ...namedBy: readonly string[]): ManifestHolders => {
      return { tags: tags.map(tagName), namedBy: namedBy.map(digest) };
    };
    const cases: { require: Precondition; holds: boolean }[] = [
      { require: { type: 'repository', name: 'r', is: 'present' }, holds: true },
      { require: { type: 'repository', name: 'r', is: 'absent' }, holds: false },
      { require: { type: 'repository', name: 'x', is: 'present' }, holds: false },
      { require: { type: 'repository', name: 'x', is: 'absent' }, holds: true },
      { require: { type: 'manifest', at, digest: digest('m'), is: 'present' }, holds: true },
      { require: { type: 'manifest', at, digest: digest('m'), is: 'absent' }, holds: false },
      { require: { type: 'manifest', at, digest: digest('l'), is: 'present' }, holds: false },
      { require: { type: 'tag', at, tag: tagName('v1'), is: 'present' }, holds: true },
      { require: { type: 'tag', at, tag: tagName('v1'), is: { digest: digest('m') } }, holds: true },
      { require: { type: 'tag', at, tag: tagName('v1'), is: { digest: digest('l') } }, holds: false },
      { require: { type: 'tag', at, tag: tagName('v2'), is: 'absent' }, holds: true },
      { require: { type: 'tag', at, tag: tagName('v2'), is: { digest: digest('m') } }, holds: false },
      { require: { type: 'link', at, digest: digest('l'), is: 'present' }, holds: true },
      { require: { type: 'link', at, digest: digest('l'), is: { linkedAt: 1 } }, holds: true },
      { require: { type: 'link', at, digest: digest('l'), is: { linkedAt: 2 } }, holds: false },
      { require: { type: 'link', at, digest: digest('m'), is: 'absent' }, holds: true },
      { require: { type: 'link', at, digest: digest('m'), is: { linkedAt: 1 } }, holds: false },
      { require: { type: 'unnamed', at, digest: digest('l') }, holds: false },
      { require: { type: 'unnamed', at, digest: digest('m') }, holds: true },
      { require: { type: 'unnamed', at: { ...at, repository: 'x' }, digest: digest('l') }, holds: true },
      { require: { type: 'holders', at, digest: digest('m'), are: holders(['v1']) }, holds: true },
      { require: { type: 'holders', at, digest: digest('m'), are: holders([]) }, holds: false },
      { require: { type: 'holders', at, digest: digest('m'), are: holders(['v1', 'v2']) }, holds: false },
      { require: { type: 'holders', at, digest: digest('m'), are: holders(['v2']) }, holds: false },
      { require: { type: 'holders', at, digest: digest('l'), are: holders([], 'm') }, holds: true },
      { require: { type: 'holders', at, digest: digest('l'), are: holders([]) }, holds: false },
      {
        require: { type: 'holders', at: { ...at, repository: 'x' }, digest: digest('l'), are: holders([]) },
        holds: false,
      },
      { require: { type: 'unreferenced', digest: digest('l') }, holds: false },
      { require: { type: 'unreferenced', digest: digest('m') }, holds: false },
      { require: { type: 'unreferenced', digest: digest('x') }, holds: true },
      { require: { type: 'session', id, is: 'present' }, holds: true },
      { require: { type: 'session', id, is: 'absent' }, holds: false },
      { require: { type: 'session', id: session('2', at).id, is: 'absent' }, holds: true },
      { require: { type: 'document', kind: 'rule', id: '1', is: 'present' }, holds: true },
      { require: { type: 'document', kind: 'rule', id: '1', is: 'absent' }, holds: false },
      { require: { type: 'document', kind: 'rule', id: '2', is: 'present' }, holds: false },
      { require: { type: 'document', kind: 'account', id: '1', is: 'absent' }, holds: true },
      { require: { type: 'bytes', digest: digest('condemned'), size: 10 }, holds: false },
      { require: { type: 'candidate', candidate: { kind: 'bytes', digest: digest('c'), since: 5 } }, holds: true },
      { require: { type: 'candidate', candidate: { kind: 'bytes', digest: digest('c'), since: 4 } }, holds: false },
      { require: { type: 'candidate', candidate: { kind: 'bytes', digest: digest('d'), since: 5 } }, holds: false },
      { require: { type: 'candidate', candidate: { kind: 'link', at, digest: digest('c'), since: 6 } }, holds: true },
      { require: { type: 'candidate', candidate: { kind: 'link', at, digest: digest('c'), since: 5 } }, holds: false },
      {
        require: {
          type: 'candidate',
          candidate: { kind: 'link', at: { ...at, repository: 'x' }, digest: digest('c'), since: 6 },
        },
        holds: false,
      },
    ];
    it.each(cases)('apply() and tryApply() evaluate $require to $holds', async ({ require, holds }) => {
      const changes = [link('l', 1), ...putManifest('m', { references: [digest('l')] }, 'v1'), record('rule', '1')];
      await store().apply(
        [
          ...changes,
          { type: 'session.put', session: session('1', at) },
          { type: 'candidate.put', candidate: { kind: 'bytes', digest: digest('c'), since: 5 } },
          { type: 'candidate.put', candidate: { kind: 'link', at, digest: digest('c'), since: 6 } },
          { type: 'bytes.condemn', digest: digest('condemned') },
        ],
        { durable: false },
      );
      const write = store().apply([link('new', 3)], { durable: false, require: [require] });
      if (holds) await write;
      else await expect(write).rejects.toThrow(ConflictError);
      expect(await store().link(at, digest('new'))).toEqual(holds ? { size: 10, linkedAt: 3 } : undefined);
      const isWritten = await store().tryApply([link('other', 4)], { durable: false, require: [require] });
      expect(isWritten).toBe(holds);
      expect(await store().link(at, digest('other'))).toEqual(holds ? { size: 10, linkedAt: 4 } : undefined);
    });

    const conflicts: { name: string; change: Change }[] = [
      { name: 'a missing repository', change: { ...link('l', 1), at: { repository: 'x', image: 'i' } } as Change },
      { name: 'condemned bytes', change: link('condemned', 1) },
      { name: 'a manifest that the image lacks', change: tag('v1', 'absent') },
    ];
    it.each(conflicts)(
      'tryApply() returns false for a change that names $name, and writes nothing',
      async ({ change }) => {
        await store().apply([{ type: 'bytes.condemn', digest: digest('condemned') }], { durable: false });
        expect(await store().tryApply([link('beside', 1), change], { durable: false })).toBe(false);
        expect(await store().link(at, digest('beside'))).toBeUndefined();
      },
    );

    it('tryApply() succeeds for exactly one of many concurrent calls that require the same absence', async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          store().tryApply([link('l', i)], {
            durable: i % 2 === 0,
            require: [{ type: 'link', at, digest: digest('l'), is: 'absent' }],
          }),
        ),
      );
      expect(outcomes.filter(Boolean)).toHaveLength(1);
      expect(await store().link(at, digest('l'))).toEqual({ size: 10, linkedAt: outcomes.indexOf(true) });
    });

    it('apply() evaluates preconditions before its changes', async () => {
      const require: Precondition[] = [{ type: 'link', at, digest: digest('l'), is: 'absent' }];
      await store().apply([link('l', 1)], { durable: true, require });
      await expect(store().apply([link('l', 1)], { durable: true, require })).rejects.toThrow(ConflictError);
    });
  });
}

function paging(store: () => MetadataStore): void {
  describe('paging', () => {
    const names = ['1', '10', '2', 'A', 'Z', '_x', 'a', 'a-b', 'a.b', 'a0', 'a_b', 'b'];

    it.each([1, 2, 5, 11, 12, 13, 100])(
      'pages of %i tags concatenate to the whole list in byte order',
      async (limit) => {
        const shuffled = ['b', '10', 'a.b', 'Z', 'a', '1', '_x', 'a0', 'A', 'a_b', '2', 'a-b'];
        await store().apply([...putManifest('m'), ...shuffled.map((name) => tag(name, 'm'))], { durable: false });
        expect(
          await readAll(
            (after) => store().tags(at, { limit, ...after }),
            ({ name }) => name,
          ),
        ).toEqual(names);
      },
    );

    it('a page can start after a name that does not exist', async () => {
      await store().apply(putManifest('m', {}, 'a', 'c'), { durable: false });
      const read = async (after: string) => (await store().tags(at, { limit: 9, after })).items.map(({ name }) => name);
      expect([await read('a'), await read('b'), await read('c'), await read('~'), await read('é\u{10000}')]).toEqual([
        ['c'],
        ['c'],
        [],
        [],
        [],
      ]);
      expect(await store().tags(at, { limit: 0 })).toEqual({ items: [], more: true });
    });

    it('lists include earlier writes', async () => {
      await store().apply(putManifest('m', {}, 'a', 'c'), { durable: false });
      const read = async () =>
        (await store().tags(at, { limit: 9 })).items.map((item) => `${item.name}@${item.updatedAt}`);
      expect(await read()).toEqual(['a@1', 'c@1']);
      await store().apply([tag('b', 'm', 2), tag('c', 'm', 3), { type: 'tag.delete', at, tag: tagName('a') }], {
        durable: false,
      });
      expect(await read()).toEqual(['b@2', 'c@3']);
      await store().apply([{ type: 'manifest.delete', at, digest: digest('m'), when: 4 }], { durable: false });
      expect(await read()).toEqual([]);
    });

    it.each([1, 2, 100])(
      'pages of %i images, linking images and referrers concatenate to the whole lists',
      async (limit) => {
        const images = ['a', 'a-b', 'a/b', 'ab', 'b'];
        for (const image of images) {
          for (const repository of ['s', 'r']) {
            const here = { repository, image };
            const changes: Change[] = [link('l', 1, here), { type: 'manifest.put', at: here, manifest: manifest('m') }];
            await store().apply(changes, { durable: false });
          }
        }
        const subjects = ['3', '1', '2'].flatMap((name) => putManifest(name, { subject: digest('m') }));
        await store().apply([link('l', 1, { repository: 'r', image: 'only-links' }), ...subjects], { durable: false });
        const listed = await readAll(
          (after) => store().images('s', { limit, ...after }),
          ({ image }) => image,
        );
        expect(listed).toEqual(images);
        const listWithPrefix = (prefix: string, from: object = {}) =>
          readAll(
            (after) => store().images('s', { limit, prefix, ...from, ...after }),
            ({ image }) => image,
          );
        expect(await listWithPrefix('a')).toEqual(['a', 'a-b', 'a/b', 'ab']);
        expect(await listWithPrefix('a/')).toEqual(['a/b']);
        expect(await listWithPrefix('a', { after: 'a-b' })).toEqual(['a/b', 'ab']);
        expect(await listWithPrefix('a', { after: 'b' })).toEqual([]);
        expect(await listWithPrefix('c')).toEqual([]);
        const linking = await readAll(
          (after) => store().imagesLinking(digest('l'), { limit, ...after }),
          ({ repository, image }) => `${repository}/${image}`,
        );
        expect(linking).toEqual([
          ...images.map((image) => `r/${image}`),
          'r/only-links',
          ...images.map((image) => `s/${image}`),
        ]);
        const referrers = await readAll(
          (after) => store().referrers(at, digest('m'), { limit, ...after }),
          (found) => found.digest,
        );
        expect(referrers).toEqual(['1', '2', '3'].map((name) => digest(name)).sort());
      },
    );

    it('candidates are returned oldest first, and sessions by id', async () => {
      const times = [5, 3, 9, 1, 7, 1000, 20];
      const candidates = times.map((since): Candidate => ({ kind: 'bytes', digest: digest(`c${since}`), since }));
      await store().apply(
        candidates.map((candidate) => ({ type: 'candidate.put', candidate })),
        { durable: false },
      );
      const read = async (before: number, limit: number) =>
        (await store().candidates(before, limit)).map(({ since }) => since);
      expect(await read(9, 2)).toEqual([1, 3]);
      expect(await read(9, 10)).toEqual([1, 3, 5, 7]);
      expect(await read(Infinity, 100)).toEqual([1, 3, 5, 7, 9, 20, 1000]);
      const rest = async (after: Candidate, before = Infinity) =>
        (await store().candidates(before, 3, { after })).map(({ since }) => since);
      const [five] = candidates as [Candidate];
      expect(await rest(five)).toEqual([7, 9, 20]);
      expect(await rest(five, 9)).toEqual([7]);
      expect(await rest({ ...five, since: 1000 })).toEqual([]);
      // One that is gone, of a repository that is gone too.
      expect(
        await rest({ kind: 'link', at: { repository: 'gone', image: 'x' }, digest: five.digest, since: 8 }),
      ).toEqual([9, 20, 1000]);
      await store().apply([{ type: 'candidate.delete', candidate: five }], { durable: false });
      expect(await rest(five)).toEqual([7, 9, 20]);
      const sessions = [session('1', at), session('2', at), session('3', { repository: 's', image: 'x' })];
      await store().apply(
        sessions.map((item) => ({ type: 'session.put', session: item })),
        { durable: false },
      );
      expect(await collect(store().sessions())).toEqual(sessions);
    });
  });
}

function concurrency(store: () => MetadataStore): void {
  describe('concurrent writes', () => {
    it('succeed for exactly one of 100 that require the absence of a tag', async () => {
      await store().apply(putManifest('m'), { durable: true });
      const require: Precondition[] = [{ type: 'tag', at, tag: tagName('v1'), is: 'absent' }];
      const writes = Array.from({ length: 100 }, (_, i) =>
        store().apply([tag('v1', 'm', i), tag(`t${i}`, 'm')], { durable: i % 3 === 0, require }),
      );
      const results = await Promise.allSettled(writes);
      const won = results.flatMap(({ status }, i) => (status === 'fulfilled' ? [i] : []));
      expect(won).toHaveLength(1);
      expect((await store().tags(at, { limit: 200 })).items.map(({ name }) => name)).toEqual([`t${won[0]}`, 'v1']);
      expect(await store().image(at)).toMatchObject({ tags: 2 });
    });

    it('keep correct counts when 200 of them change the same image', async () => {
      const writes = Array.from({ length: 200 }, (_, i) =>
        store().apply([link(`l${i % 50}`, i), ...putManifest(`m${i}`, {}, `t${i}`)], { durable: false }),
      );
      await Promise.all(writes);
      expect(await store().image(at)).toEqual({
        image: at.image,
        manifests: 200,
        tags: 200,
        bytes: 200 * 100 + 50 * 10,
        updatedAt: 49,
        pushedAt: 1,
      });
    });

    it('are applied in the order of the calls', async () => {
      await store().apply([link('l', 0)], { durable: false });
      const writes = Array.from({ length: 100 }, (_, i) =>
        store().apply([link('l', i + 1)], {
          durable: false,
          require: [{ type: 'link', at, digest: digest('l'), is: { linkedAt: i } }],
        }),
      );
      await Promise.all(writes);
      expect(await store().link(at, digest('l'))).toEqual({ size: 10, linkedAt: 100 });
    });
  });
}

/** Reads all items in pages, each of which starts after the last item of the previous one. */
async function readAll<T>(
  read: (after: { readonly after?: string }) => Promise<{ readonly items: readonly T[]; readonly more: boolean }>,
  nameOf: (item: T) => string,
): Promise<string[]> {
  const names: string[] = [];
  for (let page = await read({}); ; page = await read({ after: names.at(-1) as string })) {
    names.push(...page.items.map(nameOf));
    if (!page.more) return names;
    expect(page.items.length).toBeGreaterThan(0);
  }
}
