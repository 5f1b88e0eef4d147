import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as fc from 'fast-check';
import { Level } from 'level';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Change, Precondition } from '../../src/ports/metadata/metadata.js';
import { IndexDamageError } from '../../src/storage/level/database/repair/level-damage.js';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import { repairIndex } from '../../src/storage/level/database/repair/level-repair.js';
import { admin } from '../support/access/callers.js';
import { at, digest, link, putManifest, repository, tagName, unlink } from '../contracts/metadata-samples.js';
import { openings, plan, type World } from '../contracts/metadata-plans.js';
import { makeScratchFolder } from '../support/storage/scratch.js';

const durable = { durable: true };

/** Writes changes without those that only a collector makes, which could leave content without a candidate or a size. */
function tryConsistent(
  store: LevelMetadataStore,
  changes: readonly Change[],
  require: readonly Precondition[],
): Promise<boolean> {
  const consistent = changes.filter(({ type }) => type !== 'candidate.delete' && type !== 'bytes.forget');
  return store.tryApply(consistent, { durable: false, require });
}

describe('repairIndex', () => {
  let parent: string;
  let folder: string;
  const open: LevelMetadataStore[] = [];
  const openStore = async (): Promise<LevelMetadataStore> => {
    const store = await LevelMetadataStore.open(folder, { holdsContent: async () => true });
    open.push(store);
    return store;
  };
  const closeAll = async () => void (await Promise.all(open.splice(0).map((store) => store.close())));
  /** Changes the raw entries of the closed index. */
  const edit = async (change: (level: Level) => Promise<unknown>): Promise<void> => {
    const level = new Level(folder);
    await change(level);
    await level.close();
  };

  beforeEach(async () => {
    parent = await makeScratchFolder();
    folder = path.join(parent, 'index');
    const store = await LevelMetadataStore.open(folder);
    open.push(store);
    await store.apply([repository('r'), link('a', 1), link('b', 1)], durable);
    await store.apply(putManifest('m', { references: [digest('a')] }, 't'), durable);
  });
  afterEach(async () => {
    await closeAll();
    await rm(parent, { recursive: true });
  });

  it('refuses a folder that this process has open', async () => {
    await expect(repairIndex(folder)).rejects.toThrow(`this process already has ${folder} open`);
  });

  it('refuses a missing folder', async () => {
    await expect(repairIndex(path.join(parent, 'other'))).rejects.toThrow('cannot read the index');
  });

  it('restores an index without CURRENT, and keeps a copy of the original', async () => {
    await closeAll();
    await rm(path.join(folder, 'CURRENT'));
    const before = await readdir(folder);
    const report = await repairIndex(folder);
    expect(report).toMatchObject({ repositories: ['r'], images: 1, manifests: 1, tags: 1, unreadable: 0, unowned: 0 });
    const copied = await readdir(report.copiedTo);
    expect(copied).toEqual(expect.arrayContaining(before.filter((name) => !/^(?:LOCK|LOG)/.test(name))));
    expect(copied).not.toContain('LOCK');
    const store = await openStore();
    expect(await store.tag(at, tagName('t'))).toMatchObject({ digest: digest('m') });
    expect(await store.image(at)).toMatchObject({ manifests: 1, tags: 1 });
  });

  it('repairs an index with a flipped bit in its log, losing only the damaged entry', async () => {
    await closeAll();
    const [log = ''] = (await readdir(folder)).filter((name) => name.endsWith('.log'));
    const content = await readFile(path.join(folder, log));
    const where = content.indexOf('"linkedAt"');
    content[where] = (content[where] ?? 0) ^ 1;
    await writeFile(path.join(folder, log), content);
    await expect(openStore()).rejects.toThrow(IndexDamageError);
    const report = await repairIndex(folder);
    expect(report).toMatchObject({ repositories: ['r'], images: 1, manifests: 1, tags: 1, unreadable: 1 });
    const store = await openStore();
    expect(await store.tag(at, tagName('t'))).toMatchObject({ digest: digest('m') });
    const links = [await store.link(at, digest('a')), await store.link(at, digest('b'))];
    expect(links.filter((found) => found !== undefined)).toHaveLength(1);
  });

  it('recounts images, and reuses no id of a repository', async () => {
    await closeAll();
    await edit(async (level) => {
      await level.del('!\0next-id');
      const [key = ''] = await level.keys({ gt: '1\0image\0', lt: '1\0image\x01' }).all();
      const image = JSON.parse((await level.get(key)) ?? '') as { record: { tags: number; bytes: number } };
      image.record.tags = 0;
      image.record.bytes = -5;
      await level.put(key, JSON.stringify(image));
      await level.put('1\0image\0empty', JSON.stringify({ record: { manifests: 3 }, links: 0 }));
    });
    await repairIndex(folder);
    const store = await openStore();
    expect((await store.tags(at, { limit: 9 })).items).toHaveLength(1);
    expect(await store.image(at)).toMatchObject({
      tags: 1,
      manifests: 1,
      bytes: 20 + ((await store.manifest(at, digest('m')))?.size ?? 0),
    });
    expect((await store.images('r', { limit: 9 })).items).toHaveLength(1);
    await store.apply([repository('s')], durable);
    expect((await store.images('s', { limit: 9 })).items).toEqual([]);
  });

  it('gives a local repository whose record is lost a new one, so that its images can be pulled', async () => {
    await closeAll();
    await edit((level) => level.del('!\0repository\0r'));
    const report = await repairIndex(folder);
    expect(report).toMatchObject({ repositories: ['recovered-1'], recovered: ['recovered-1'], unowned: 0 });
    const store = await openStore();
    expect(await store.isReferenced(digest('a'))).toBe(true);
    expect((await store.tags({ ...at, repository: 'recovered-1' }, { limit: 9 })).items).toHaveLength(1);
    await store.apply([repository('r')], durable);
    expect((await store.images('r', { limit: 9 })).items).toEqual([]);
  });

  it.each<[what: string, expected: readonly string[], lost: readonly string[], taken: readonly string[]]>([
    ['by its name in the journal', ['r'], ['r'], []],
    ['by its id, when another repository has the name now', ['recovered-1'], ['r'], ['r']],
    ['by its id, when another lost one has the same images', ['recovered-1', 'recovered-2'], ['r', 's'], []],
    ['by another name, when that is taken too', ['recovered-1-2'], ['r'], ['r', 'recovered-1']],
  ])('names a recovered repository %s', async (_what, expected, lost, taken) => {
    const [store] = open;
    const by = { actor: admin, at: 1 };
    for (const name of ['r', 's']) {
      const pushed = putManifest('n', {}, 'n').map((change) =>
        'at' in change ? { ...change, at: { ...at, repository: name } } : change,
      );
      await store?.apply([repository(name), ...(pushed as Change[])], { durable: true, by });
    }
    await closeAll();
    await edit((level) => level.batch(lost.map((name) => ({ type: 'del', key: `!\0repository\0${name}` }))));
    if (taken.length > 0)
      await (
        await openStore()
      ).apply(
        taken.map((name) => repository(name)),
        durable,
      );
    await closeAll();
    expect((await repairIndex(folder)).recovered).toEqual(expected);
    const found = await (await openStore()).manifest({ ...at, repository: expected[0] ?? '' }, digest('n'));
    expect(found).toBeDefined();
  });

  it('keeps the entries of a cache without a record, so its blobs stay referenced', async () => {
    await closeAll();
    await edit(async (level) => {
      await level.del('!\0repository\0r');
      await level.put(`1\0touched\0${at.image}\0${digest('a')}`, '1');
    });
    const report = await repairIndex(folder);
    expect(report).toMatchObject({ repositories: [], recovered: [] });
    expect(report.unowned).toBeGreaterThan(5);
    expect(await (await openStore()).isReferenced(digest('a'))).toBe(true);
  });

  it.each<[what: string, damaged: readonly number[], trimmed: 'kept' | 'lost' | 'broken', expected: number]>([
    ['nothing', [], 'kept', 2],
    ['an entry of the journal', [4], 'kept', 4],
    ['several entries of the journal', [3, 4], 'kept', 4],
    ['the number of the last trimmed entry', [], 'lost', 2],
    ['an unreadable number of the last trimmed entry', [], 'broken', 2],
  ])('reports entries of the journal as trimmed after the loss of %s', async (_what, damaged, trimmed, expected) => {
    const [store] = open;
    for (let i = 1; i <= 5; i++) {
      const rule = { type: 'document.put', kind: 'rule', id: `r${i}`, value: {} } as const;
      await store?.apply([rule], { durable: true, by: { actor: admin, at: i } });
    }
    await store?.journal.trim({ before: 3, maxEntries: 100 });
    await closeAll();
    await edit(async (level) => {
      for (const seq of damaged) await level.put(`!\0journal\0${String(seq).padStart(16, '0')}`, '{');
      if (trimmed === 'lost') await level.del('!\0trimmed');
      if (trimmed === 'broken') await level.put('!\0trimmed', '{');
    });
    await repairIndex(folder);
    expect(await (await openStore()).journal.trimmedTo()).toBe(expected);
  });

  it('reports nothing as trimmed in the journal of an index that never had one', async () => {
    await closeAll();
    await repairIndex(folder);
    expect(await (await openStore()).journal.trimmedTo()).toBe(0);
  });

  it('accepts an index that does not match the marker', async () => {
    await closeAll();
    await writeFile(`${folder}.json`, '{"id":"other","sequence":99}');
    await expect(openStore()).rejects.toThrow(IndexDamageError);
    await repairIndex(folder);
    expect(await (await openStore()).repositories()).toHaveLength(1);
    expect(JSON.parse(await readFile(`${folder}.json`, 'utf8'))).not.toMatchObject({ id: 'other' });
  });

  it('deletes derived entries whose primary entry is gone, so that their bytes and candidates can be collected', async () => {
    await closeAll();
    const [a = '', b = '', m = '', gone = ''] = ['a', 'b', 'm', 'gone'].map((name): string => digest(name));
    const time = '0000000000000009';
    const stale = [
      `!\0holder\0${gone}\0link\x001\0team/app`,
      `!\0holder\0${gone}\0manifest\x001\0team/app`,
      `!\0holder\0${a}\0trash\x001\0team/app`,
      `!\0holder\0${a}\0unlinked\x001\0team/app`,
      `!\0due\0${time}\0bytes\0${b}`,
      `!\0due\0${time}\0link\x001\0team/app\0${b}`,
      `1\0named\0team/app\0${b}\0${m}`,
      `1\0named\0team/app\0${b}\0${gone}`,
      `1\0kept\0team/app\0${a}\0${m}`,
      `1\0tagged\0team/app\0${m}\0other`,
      `1\0referrer\0team/app\0${m}\0${m}`,
      `1\0expiring\0${time}\0team/app\0${m}`,
      `1\0oldest\0${time}\0team/app\0${a}`,
      `1\0touched\0team/app\0${gone}`,
      `1\0session\0gone`,
      `1\0unlinked\0team/app\0${a}`,
    ];
    const values: Readonly<Record<string, string>> = { touched: '9', unlinked: '{"size":10,"linkedAt":1}' };
    let before: string[] = [];
    await edit(async (level) => {
      before = await level.keys().all();
      // The other candidate of the link stays; that of the bytes is completed.
      await level.put(`!\0since\0${b}`, '10');
      await level.put(`!\0due\x000000000000000010\0bytes\0${b}`, '');
      for (const key of stale) await level.put(key, values[key.split('\0')[1] ?? ''] ?? '');
    });
    expect(await repairIndex(folder)).toMatchObject({ rebuilt: 0, stale: stale.length });
    await edit(async (level) => {
      const after = await level.keys().all();
      expect(after.filter((key) => stale.includes(key))).toEqual([]);
      expect(after).toHaveLength(before.length + 2);
    });
    const store = await openStore();
    expect(await store.isReferenced(digest('gone'))).toBe(false);
    expect(await store.isNamed(at, digest('b'))).toBe(false);
    const candidates = await store.candidates(Infinity, 9);
    expect(candidates.map(({ kind, digest: found, since }) => `${kind} ${found} ${since}`)).toEqual([
      `link ${b} 1`,
      `bytes ${b} 10`,
    ]);
    await closeAll();
    expect(await repairIndex(folder)).toMatchObject({ rebuilt: 0, stale: 0 });
  });

  it('changes nothing in an index that is consistent, after any writes', async () => {
    await closeAll();
    const repositories = ['a', 'b'];
    const world: World = {
      repositories,
      images: repositories.flatMap((name) => ['x', 'x/y'].map((image) => ({ repository: name, image }))),
      digests: ['0', '1', '2', '3', '4'].map((name) => digest(name)),
      sessions: ['10', '20'],
      documents: ['x', 'y'],
    };
    await fc.assert(
      fc.asyncProperty(fc.array(plan(), { minLength: 20, maxLength: 60 }), async (plans) => {
        const store = await openStore();
        for (const make of [...openings, ...plans]) {
          const step = make(world);
          if (step.kind === 'purge') while (await store.purge(step.when));
          else for (const { changes, require } of step.writes) await tryConsistent(store, changes, require);
        }
        await closeAll();
        expect(await repairIndex(folder)).toMatchObject({ rebuilt: 0, stale: 0 });
      }),
      { numRuns: 10, seed: 14, endOnFailure: true },
    );
  });

  it('completes candidates and sizes that lost a part', async () => {
    const store = open[0] as LevelMetadataStore;
    const stored = await store.inventory.storedBytes();
    await store.apply(
      [{ type: 'candidate.put', candidate: { kind: 'bytes', digest: digest('x'), since: 7 } }],
      durable,
    );
    await closeAll();
    await edit(async (level) => {
      await level.del(`!\0since\0${digest('x')}`);
      await level.del(`!\0due\x000000000000000001\0link\x001\0team/app\0${digest('b')}`);
      await level.del(`!\0stored\0${digest('a')}`);
      await level.put('!\0stored-bytes', '{"bytes":7}');
    });
    expect(await repairIndex(folder)).toMatchObject({ rebuilt: 4, stale: 0 });
    const repaired = await openStore();
    expect(await repaired.candidates(Infinity, 9)).toEqual([
      { kind: 'link', at, digest: digest('b'), since: 1 },
      { kind: 'bytes', digest: digest('x'), since: 7 },
    ]);
    expect((await repaired.inventory.storedBytes()).bytes).toBe(stored.bytes);
  });

  it('derives unreadable sizes and candidates again', async () => {
    const store = open[0] as LevelMetadataStore;
    const stored = await store.inventory.storedBytes();
    await closeAll();
    await edit(async (level) => {
      await level.put(`!\0stored\0${digest('a')}`, '{');
      await level.put(`1\0since\0team/app\0${digest('b')}`, '{');
    });
    expect(await repairIndex(folder)).toMatchObject({ unreadable: 2, rebuilt: 2 });
    const repaired = await openStore();
    expect(await repaired.candidates(Infinity, 9)).toContainEqual({ kind: 'link', at, digest: digest('b'), since: 1 });
    expect((await repaired.inventory.storedBytes()).bytes).toBe(stored.bytes);
  });

  it('derives deleted entries again, so that all reads answer as before', async () => {
    const store = open[0] as LevelMetadataStore;
    await store.apply(
      [
        ...putManifest('index', { references: [digest('m')] }, 'multi'),
        ...putManifest('signature', { subject: digest('m') }),
        ...putManifest('old', { references: [digest('b')] }, 'old'),
        { type: 'manifest.delete', at, digest: digest('old'), when: 2, trashUntil: 50 },
        unlink('b', 3),
      ],
      durable,
    );
    const readAll = async (one: LevelMetadataStore): Promise<unknown> => ({
      references: await one.contents.references({ limit: 100 }),
      uses: await Promise.all(['a', 'b', 'm', 'index'].map((name) => one.contents.usesOf(digest(name)))),
      named: await Promise.all(['a', 'b', 'm'].map((name) => one.isNamed(at, digest(name)))),
      holders: await one.inventory.holders(at, digest('m')),
      referrers: await one.referrers(at, digest('m'), { limit: 9 }),
      trash: await one.trash.list('r', { limit: 9 }),
      image: await one.image(at),
    });
    const before = await readAll(store);
    await closeAll();
    const derived = /^(?:!\0holder|\w+\0(?:named|tagged|referrer|kept|expiring))\0/;
    let deleted = 0;
    await edit(async (level) => {
      for (const key of await level.keys().all()) {
        if (!derived.test(key)) continue;
        deleted += 1;
        await level.del(key);
      }
      await level.put('1\0unknown-family\0x', '7');
    });
    expect(deleted).toBeGreaterThan(10);
    const report = await repairIndex(folder);
    expect(report.rebuilt).toBe(deleted);
    expect(report.lost).toContainEqual({ digest: digest('m'), problem: 'missing', uses: expect.any(Array) as unknown });
    expect(await readAll(await openStore())).toEqual(before);
    await closeAll();
    await edit(async (level) => expect(await level.get('1\0unknown-family\0x')).toBe('7'));
    expect((await repairIndex(folder)).rebuilt).toBe(0);
  });
});
