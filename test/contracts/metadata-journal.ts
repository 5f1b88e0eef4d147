import { expect, it } from 'vitest';
import type { JournalEntry } from '../../src/ports/metadata/journal.js';
import type { Change, MetadataStore, Precondition } from '../../src/ports/metadata/metadata.js';
import { admin } from '../support/access/callers.js';
import {
  at,
  deleteManifest,
  digest,
  link,
  putManifest,
  record,
  repository,
  tag,
  tagName,
  touched,
  unlink,
} from './metadata-samples.js';

const limit = 1000;
const elsewhere = { repository: 's', image: 'team/app' };

/** Tests the journal and the history of tags. */
export function journal(store: () => MetadataStore): void {
  const write = (now: number, changes: readonly Change[], require: readonly Precondition[] = []): Promise<boolean> =>
    store().tryApply(changes, { durable: true, require, by: { actor: admin, at: now } });
  const entries = (): Promise<readonly JournalEntry[]> => store().journal.read({ after: 0, limit });
  const described = async (): Promise<string[]> => (await entries()).map(describeEntry);
  const moves = async (name: string, image = at): Promise<string[]> =>
    (await store().journal.moves(image, tagName(name), { limit })).map(
      (move) => `${move.move}@${move.at} ${nameOf(move.was)} to ${nameOf(move.digest)}`,
    );

  it('moves of the past become the history of a tag that has none, and leave no entries', async () => {
    const past: Change = {
      type: 'tag.history',
      at,
      tag: tagName('t'),
      moves: Array.from({ length: 120 }, (_, i) => ({ digest: digest(i % 2 === 0 ? 'm' : 'n'), at: i })),
    };
    await write(500, [...putManifest('m'), past, tag('t', 'm')]);
    const found = await moves('t');
    expect(found).toHaveLength(100);
    expect(found.slice(0, 3)).toEqual(['101@500 - to m', '100@119 m to n', '99@118 n to m']);
    expect(await described()).toEqual(['manifest.pushed r/team/app m', 'tag.moved r/team/app t m']);
    await write(600, [past]);
    expect(await moves('t')).toEqual(found);
  });

  it('moves of the past are ignored in a write without an attribution', async () => {
    const past: Change = { type: 'tag.history', at, tag: tagName('t'), moves: [{ digest: digest('m'), at: 1 }] };
    await store().apply([past], { durable: true });
    expect(await moves('t')).toEqual([]);
  });

  it.each<{ change: string; before?: Change[]; changes: Change[]; expected: string[] }>([
    {
      change: 'a new manifest with a tag',
      changes: putManifest('m', {}, 't'),
      expected: ['manifest.pushed r/team/app m', 'tag.moved r/team/app t m'],
    },
    {
      change: 'the same manifest and tag again',
      before: putManifest('m', {}, 't'),
      changes: putManifest('m', {}, 't'),
      expected: [],
    },
    {
      change: 'a tag that moves',
      before: [...putManifest('m', {}, 't'), ...putManifest('n')],
      changes: [tag('t', 'n')],
      expected: ['tag.moved r/team/app t n was m'],
    },
    {
      change: 'the deletion of a tag',
      before: putManifest('m', {}, 't'),
      changes: [{ type: 'tag.delete', at, tag: tagName('t') }],
      expected: ['tag.deleted r/team/app t was m'],
    },
    {
      change: 'the deletion of a manifest with two tags',
      before: putManifest('m', {}, 't', 'u'),
      changes: [deleteManifest('m', 5)],
      expected: ['tag.deleted r/team/app t was m', 'tag.deleted r/team/app u was m', 'manifest.deleted r/team/app m'],
    },
    {
      change: 'the deletion of what does not exist',
      changes: [
        deleteManifest('m', 5),
        { type: 'tag.delete', at, tag: tagName('t') },
        { type: 'document.delete', kind: 'rule', id: 'x' },
      ],
      expected: [],
    },
    { change: 'a new repository', changes: [repository('new')], expected: ['repository.created new'] },
    { change: 'a replaced repository', changes: [repository('r', 5, 'other')], expected: ['repository.replaced r'] },
    {
      change: 'a deleted repository',
      changes: [{ type: 'repository.delete', name: 's', when: 5 }],
      expected: ['repository.deleted s'],
    },
    { change: 'a new document', changes: [record('account', 'a')], expected: ['account.created a'] },
    {
      change: 'a replaced document',
      before: [record('rule', 'a')],
      changes: [record('rule', 'a', { x: 1 })],
      expected: ['rule.replaced a'],
    },
    {
      change: 'a deleted document',
      before: [record('account-token', 'a')],
      changes: [{ type: 'document.delete', kind: 'account-token', id: 'a' }],
      expected: ['account-token.deleted a'],
    },
    { change: 'a new person', changes: [record('person', 'a@b.example')], expected: ['person.created a@b.example'] },
    {
      change: 'what the registry itself notes',
      before: [record('last-login', 'x')],
      changes: [
        record('last-login', 'x', { at: 1 }),
        record('session', 's'),
        record('sync-status', 's'),
        record('webhook-cursor', 'w'),
        record('webhook-delivery', 'd'),
      ],
      expected: [],
    },
    { change: 'blobs and access times', changes: [link('l', 1), touched(2, ['l']), unlink('l', 3)], expected: [] },
  ])('records exactly what $change changes', async ({ before = [], changes, expected }) => {
    await store().apply(before, { durable: false });
    await write(7, changes);
    expect((await described()).sort()).toEqual([...expected].sort());
    for (const entry of await entries()) expect(entry).toMatchObject({ at: 7, by: admin });
  });

  it('records nothing for a write without an attribution or with a failed precondition', async () => {
    await store().apply([...putManifest('m', {}, 't'), record('rule', 'x')], { durable: true });
    expect(await write(1, putManifest('n'), [{ type: 'repository', name: 'none', is: 'present' }])).toBe(false);
    expect(await write(1, [...putManifest('n'), tag('t', 'unknown')])).toBe(false);
    expect(await entries()).toEqual([]);
    expect(await moves('t')).toEqual([]);
  });

  it('numbers entries in the order of the writes, and pages in both directions', async () => {
    await Promise.all(Array.from({ length: 40 }, (_, i) => write(i, putManifest(`m${i}`, {}, `t${i}`))));
    const all = await entries();
    expect(all).toHaveLength(80);
    expect(all.map(({ seq }) => seq)).toEqual(all.map(({ seq }) => seq).sort((a, b) => a - b));
    expect(new Set(all.map(({ seq }) => seq)).size).toBe(80);
    const forward: JournalEntry[] = [];
    for (let after = 0; ; after = forward.at(-1)?.seq ?? 0) {
      const page = await store().journal.read({ after, limit: 7 });
      if (page.length === 0) break;
      forward.push(...page);
    }
    expect(forward).toEqual(all);
    const newest = await store().journal.read({ before: Number.MAX_SAFE_INTEGER, limit: 30 });
    expect(newest).toEqual(all.slice(-30).toReversed());
    const older = await store().journal.read({ before: newest.at(-1)?.seq ?? 0, limit });
    expect([...newest, ...older]).toEqual(all.toReversed());
  });

  it('keeps the last 100 moves of each tag, newest first', async () => {
    await write(0, [...putManifest('m'), ...putManifest('n')]);
    for (let i = 1; i <= 103; i++) await write(i, [tag('t', i % 2 === 0 ? 'm' : 'n')]);
    const kept = await moves('t');
    expect(kept).toHaveLength(100);
    expect([kept[0], kept.at(-1)]).toEqual(['103@103 m to n', '4@4 n to m']);
    const page = await store().journal.moves(at, tagName('t'), { limit: 2, before: 103 });
    expect(page.map(({ move }) => move)).toEqual([102, 101]);
    expect(await moves('other')).toEqual([]);
    expect(await moves('t', elsewhere)).toEqual([]);
  });

  it('continues the history of a tag that was deleted and created again', async () => {
    await write(1, putManifest('m', {}, 't'));
    await write(2, [{ type: 'tag.delete', at, tag: tagName('t') }]);
    await write(3, [tag('t', 'm')]);
    expect(await moves('t')).toEqual(['3@3 - to m', '2@2 m to -', '1@1 - to m']);
  });

  it('finds when manifests last lost a tag, also one that was deleted', async () => {
    await write(1, [...putManifest('m', {}, 't', 'u'), ...putManifest('n', {}, 'v'), ...putManifest('l', {}, 'w')]);
    await write(2, [tag('t', 'n')]);
    await write(3, [{ type: 'tag.delete', at, tag: tagName('u') }, deleteManifest('l', 3)]);
    await write(4, [tag('t', 'm')]);
    const losses = await store().journal.losses(at);
    expect(new Map([...losses].map(([lost, when]) => [nameOf(lost), when]))).toEqual(
      new Map([
        ['m', 3],
        ['n', 4],
        ['l', 3],
      ]),
    );
    expect(await store().journal.losses(elsewhere)).toEqual(new Map());
    expect(await store().journal.losses({ repository: 'unknown', image: 'app' })).toEqual(new Map());
  });

  it('loses the history of a repository with the repository', async () => {
    await write(1, putManifest('m', {}, 't'));
    await write(2, [{ type: 'repository.delete', name: 'r', when: 2 }]);
    await write(3, [repository('r')]);
    expect(await moves('t')).toEqual([]);
    while (await store().purge(9));
    expect(await moves('t')).toEqual([]);
  });

  it('is trimmed by age and by number, but keeps the newest entry', async () => {
    for (let i = 1; i <= 10; i++) await write(i, [record('rule', `r${i}`)]);
    const times = async (): Promise<number[]> => (await entries()).map((entry) => entry.at);
    while (await store().journal.trim({ before: 4, maxEntries: 100 }));
    expect(await times()).toEqual([4, 5, 6, 7, 8, 9, 10]);
    while (await store().journal.trim({ before: 0, maxEntries: 3 }));
    expect(await times()).toEqual([8, 9, 10]);
    while (await store().journal.trim({ before: 1000, maxEntries: 3 }));
    expect(await times()).toEqual([10]);
    await write(11, [record('rule', 'last')]);
    const [before, last] = await entries();
    expect(last?.seq).toBeGreaterThan(before?.seq ?? Infinity);
  });

  it('reports the highest number that was trimmed, and nothing while only drafts are missing', async () => {
    const seqs = async (): Promise<number[]> => (await entries()).map(({ seq }) => seq);
    expect(await store().journal.trimmedTo()).toBe(0);
    for (let i = 1; i <= 6; i++) await write(i, [record('rule', `r${i}`)]);
    // Refused writes may use up numbers.
    expect(await write(7, [...putManifest('n'), tag('t', 'unknown')])).toBe(false);
    await write(8, [record('rule', 'r8')]);
    expect(await store().journal.trimmedTo()).toBe(0);
    const all = await seqs();
    for (const limits of [
      { before: 3, maxEntries: 100 },
      { before: 2, maxEntries: 100 },
      { before: 6, maxEntries: 100 },
      { before: 1000, maxEntries: 100 },
    ]) {
      while (await store().journal.trim(limits));
      const left = await seqs();
      expect(await store().journal.trimmedTo()).toBe(all.filter((seq) => !left.includes(seq)).at(-1));
    }
    expect(await seqs()).toEqual(all.slice(-1));
  });

  it('forgets the history of a deleted tag with the entry of its deletion, unless the tag came back', async () => {
    await write(1, putManifest('m', {}, 'gone', 'back'));
    await write(2, [
      { type: 'tag.delete', at, tag: tagName('gone') },
      { type: 'tag.delete', at, tag: tagName('back') },
    ]);
    await write(3, [tag('back', 'm')]);
    while (await store().journal.trim({ before: 3, maxEntries: 100 }));
    expect(await moves('gone')).toEqual([]);
    expect(await moves('back')).toHaveLength(3);
  });
}

const names = new Map(['m', 'n', 'l'].map((name) => [digest(name) as string, name]));

function nameOf(value: string | undefined): string {
  return value === undefined ? '-' : (names.get(value) ?? value);
}

function describeEntry(entry: JournalEntry): string {
  const { type, repository: name, image, tag: tagged, digest: named, was, id } = entry;
  const place = image === undefined ? name : `${name}/${image}`;
  const now = named === undefined ? undefined : nameOf(named);
  const previous = was === undefined ? undefined : `was ${nameOf(was)}`;
  return [type, place, tagged, now, previous, id].filter((part) => part !== undefined).join(' ');
}
