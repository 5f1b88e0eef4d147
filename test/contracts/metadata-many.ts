import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DocumentKind } from '../../src/ports/metadata/documents.js';
import type { JournalEntry } from '../../src/ports/metadata/journal.js';
import type {
  Candidate,
  Change,
  MetadataStore,
  Precondition,
  WriteOptions,
} from '../../src/ports/metadata/metadata.js';
import type { SharedIndex } from '../../src/ports/metadata/shared-index.js';
import { admin } from '../support/access/callers.js';
import { metadataPropertiesContract } from './metadata-properties.js';
import {
  at,
  digest,
  link,
  putManifest,
  record,
  repository,
  session,
  tag,
  tagName,
  unlink,
} from './metadata-samples.js';

/** Two stores of the driver under test that share one empty index, as two processes do. */
export interface MetadataPair {
  readonly first: MetadataStore;
  readonly second: MetadataStore;
  /** Closes both and removes everything. */
  dispose(): Promise<void>;
}

/** Tests what a driver promises in addition when several processes share its index. */
export function metadataManyContract(name: string, create: () => Promise<MetadataPair>): void {
  describe(`${name}, shared by two processes,`, () => {
    let pair: MetadataPair;
    beforeEach(async () => {
      pair = await create();
      await pair.first.apply([repository('r'), repository('s')], { durable: false });
    });
    afterEach(() => pair.dispose());
    /** Calls alternate between the stores. */
    const stores = (): [MetadataStore, MetadataStore] => [pair.first, pair.second];
    const storeOf = (number: number): MetadataStore => (number % 2 === 0 ? pair.first : pair.second);
    reads(stores);
    races(storeOf);
    collectors(storeOf);
    follows(stores);
    shares(stores);
  });

  describe(`${name}, shared by two processes, compared with a simple model`, () => {
    let pair: MetadataPair | undefined;
    afterEach(async () => {
      await pair?.dispose();
      pair = undefined;
    });
    metadataPropertiesContract(async () => {
      pair = await create();
      return spread(pair);
    });
  });
}

function reads(stores: () => [MetadataStore, MetadataStore]): void {
  it('each reads at once what the other wrote', async () => {
    for (const [writer, reader] of [stores(), stores().toReversed() as [MetadataStore, MetadataStore]]) {
      const number = writer === stores()[0] ? '1' : '2';
      const changes = [link(`l${number}`, 1), ...putManifest(`m${number}`, {}, `t${number}`), repository(`x${number}`)];
      await writer.apply(changes, { durable: false });
      expect(await reader.link(at, digest(`l${number}`))).toEqual({ size: 10, linkedAt: 1 });
      expect(await reader.tag(at, tagName(`t${number}`))).toMatchObject({ digest: digest(`m${number}`) });
      expect(await reader.repository(`x${number}`)).toBeDefined();
      await writer.apply([{ type: 'session.put', session: session(number, at) }], { durable: false });
      expect(await reader.session(session(number, at).id)).toBeDefined();
    }
  });

  it('finds a document that the other just created, also of a kind that it has in memory', async () => {
    const [first, second] = stores();
    expect(await second.documents('account')).toEqual([]);
    await first.apply([record('account', 'ci')], { durable: true });
    expect(await second.document('account', 'ci')).toEqual({ id: 'ci' });
  });

  it('learns that the other replaced and deleted documents, and their revision changes', async () => {
    const [first, second] = stores();
    await first.apply([record('rule', 'a'), record('rule', 'b')], { durable: true });
    await expect.poll(() => second.documents('rule')).toHaveLength(2);
    const before = await second.documentRevision('rule');
    const deleted: Change = { type: 'document.delete', kind: 'rule', id: 'b' };
    await first.apply([record('rule', 'a', { two: 2 }), deleted], { durable: true });
    await expect.poll(() => second.documents('rule')).toEqual([{ id: 'a', value: { two: 2 } }]);
    expect(await second.documentRevision('rule')).not.toBe(before);
    expect(await second.document('rule', 'b')).toBeUndefined();
  });
}

function races(storeOf: (number: number) => MetadataStore): void {
  const absences: { what: string; before: Change[]; changes: (i: number) => Change[]; require: Precondition }[] = [
    {
      what: 'a tag',
      before: putManifest('m'),
      changes: (i) => [tag('v1', 'm', i)],
      require: { type: 'tag', at, tag: tagName('v1'), is: 'absent' },
    },
    {
      what: 'a link in an image that does not exist',
      before: [],
      changes: (i) => [link('l', i)],
      require: { type: 'link', at, digest: digest('l'), is: 'absent' },
    },
    {
      what: 'a document',
      before: [],
      changes: (i) => [record('account', 'a', { i })],
      require: { type: 'document', kind: 'account', id: 'a', is: 'absent' },
    },
    {
      what: 'a repository',
      before: [],
      changes: (i) => [repository('new', i)],
      require: { type: 'repository', name: 'new', is: 'absent' },
    },
  ];
  it.each(absences)('exactly one of 50 writes that require the absence of $what succeeds', async (one) => {
    await storeOf(0).apply(one.before, { durable: true });
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        storeOf(i).tryApply(one.changes(i), { durable: i % 3 === 0, require: [one.require] }),
      ),
    );
    expect(outcomes.filter(Boolean)).toHaveLength(1);
  });

  it('a link is either renewed by one or dropped by the other', async () => {
    for (let i = 1; i <= 40; i += 1) {
      await storeOf(i).apply([link('l', i)], { durable: false });
      const is = (state: 'present' | { linkedAt: number }): WriteOptions => ({
        durable: false,
        require: [{ type: 'link', at, digest: digest('l'), is: state }],
      });
      const [isRenewed, isDropped] = await Promise.all([
        storeOf(i).tryApply([link('l', 1000)], is('present')),
        storeOf(i + 1).tryApply([unlink('l', 1000)], is({ linkedAt: i })),
      ]);
      expect(isRenewed).toBe(!isDropped);
      expect((await storeOf(i).link(at, digest('l')))?.linkedAt).toBe(isDropped ? undefined : 1000);
    }
  });

  it('counts of an image are exact after 200 writes through both', async () => {
    const writes = Array.from({ length: 200 }, (_, i) =>
      storeOf(i).apply([link(`l${i % 50}`, i), ...putManifest(`m${i}`, {}, `t${i}`)], { durable: false }),
    );
    await Promise.all(writes);
    const expected = { manifests: 200, tags: 200, bytes: 200 * 100 + 50 * 10 };
    expect(await storeOf(1).image(at)).toMatchObject(expected);
    expect(await storeOf(0).contents.recount(at)).toEqual({ ...at, recorded: expected, counted: expected });
  });

  it('pulls that both count at the same time add up', async () => {
    await storeOf(0).apply(putManifest('m'), { durable: true });
    const pull: Change = { type: 'manifest.pulled', at, digest: digest('m'), count: 1, when: 5 };
    await Promise.all(Array.from({ length: 40 }, (_, i) => storeOf(i).apply([pull, pull], { durable: false })));
    expect(await storeOf(1).pulls.get(at, digest('m'))).toMatchObject({ total: 80 });
  });

  it('writes to several images in different orders all succeed', async () => {
    const images = ['a', 'b', 'c', 'd'].map((image) => ({ repository: 'r', image }));
    const writes = Array.from({ length: 60 }, (_, i) => {
      const order = i % 2 === 0 ? images : images.toReversed();
      return storeOf(i).apply(
        order.map((image) => link(`l${i}`, i, image)),
        { durable: false },
      );
    });
    await Promise.all(writes);
    for (const image of images) expect(await storeOf(0).image(image)).toMatchObject({ bytes: 600 });
  });

  it('a limit on sizes admits exactly as many writes of both as it has room for', async () => {
    for (let round = 1; round <= 10; round += 1) {
      const require: Precondition[] = [{ type: 'usage', names: ['**'], maxBytes: round * 20 }];
      const outcomes = await Promise.all(
        Array.from({ length: 10 }, (_, i) => {
          const place = { repository: i % 3 === 0 ? 'r' : 's', image: `image-${i}` };
          return storeOf(i).tryApply([link(`${round} ${i}`, round, place)], { durable: false, require });
        }),
      );
      expect(outcomes.filter(Boolean)).toHaveLength(2);
      expect(await storeOf(round).sizes.total(['**'])).toBe(round * 20);
    }
  });
}

function collectors(storeOf: (number: number) => MetadataStore): void {
  const byteCandidate = (name: string, since: number): Candidate => ({ kind: 'bytes', digest: digest(name), since });

  it('collectors that claim candidates at the same time get different ones, and all of them', async () => {
    const links = Array.from({ length: 20 }, (_, i) => link(`l${i}`, i));
    const bytes = Array.from({ length: 20 }, (_, i) => byteCandidate(`b${i}`, i));
    const puts = bytes.map((candidate): Change => ({ type: 'candidate.put', candidate }));
    await storeOf(0).apply([...links, ...puts], { durable: true });
    const claims = Array.from({ length: 20 }, (_, i) => storeOf(i).candidates(Infinity, 5, { claimMs: 600_000 }));
    const claimed = (await Promise.all(claims)).flat();
    const names = claimed.map(({ kind, digest: found }) => `${kind} ${found}`);
    expect(new Set(names).size).toBe(names.length);
    // A claim that ran between two others may have found candidates locked.
    for (let more = 1; more > 0;) {
      const rest = await storeOf(0).candidates(Infinity, 100, { claimMs: 600_000 });
      names.push(...rest.map(({ kind, digest: found }) => `${kind} ${found}`));
      more = rest.length;
    }
    expect(names).toHaveLength(40);
    expect(new Set(names).size).toBe(40);
    // Readers still see all.
    expect(await storeOf(1).candidates(Infinity, 100)).toHaveLength(40);
  });

  it('a claim lapses, and a candidate that was claimed can be settled by its owner', async () => {
    const put: Change = { type: 'candidate.put', candidate: byteCandidate('b', 5) };
    await storeOf(0).apply([put], { durable: true });
    expect(await storeOf(0).candidates(Infinity, 5, { claimMs: 1 })).toHaveLength(1);
    await expect.poll(() => storeOf(1).candidates(Infinity, 5, { claimMs: 600_000 })).toHaveLength(1);
    expect(await storeOf(0).candidates(Infinity, 5, { claimMs: 1 })).toEqual([]);
    const settle: Change = { type: 'candidate.delete', candidate: byteCandidate('b', 5) };
    await storeOf(1).apply([settle], { durable: true });
    expect(await storeOf(0).isCandidate(digest('b'))).toBe(false);
  });

  it('bytes are either linked or condemned, never both', async () => {
    const names = Array.from({ length: 40 }, (_, i) => `blob ${i}`);
    const puts = names.map((name): Change => ({ type: 'candidate.put', candidate: byteCandidate(name, 5) }));
    await storeOf(0).apply(puts, { durable: true });
    // Half of them were stored before.
    const old = names.filter((_, i) => i % 2 === 0);
    await storeOf(0).apply([...old.map((name) => link(name, 1)), ...old.map((name) => unlink(name, 5))], {
      durable: true,
    });
    const outcomes = await Promise.all(
      names.map(async (name, i) => {
        const condemn: Change = { type: 'bytes.condemn', digest: digest(name) };
        const require: Precondition[] = [
          { type: 'unreferenced', digest: digest(name) },
          { type: 'candidate', candidate: byteCandidate(name, 5) },
        ];
        const options: WriteOptions = { durable: true, require };
        const image = { repository: 'r', image: `image-${i}` };
        return Promise.all([
          storeOf(i).tryApply([condemn], options),
          storeOf(i + 1).tryApply([link(name, 6, image)], { durable: true }),
        ]);
      }),
    );
    for (const [condemned, linked] of outcomes) expect([condemned, linked].filter(Boolean)).toHaveLength(1);
    expect(await storeOf(0).condemned()).toHaveLength(outcomes.filter(([condemned]) => condemned).length);
  });

  it('condemned bytes are reported only when they are old enough', async () => {
    await storeOf(0).apply([{ type: 'bytes.condemn', digest: digest('b') }], { durable: true });
    expect(await storeOf(1).condemned(600_000)).toEqual([]);
    expect(await storeOf(1).condemned()).toEqual([digest('b')]);
  });

  it('a purge removes also what was written while the repository was being deleted', async () => {
    const names = Array.from({ length: 30 }, (_, i) => `late ${i}`);
    const writes = names.map((name, i) =>
      storeOf(i).tryApply([link(name, 1, { repository: 'r', image: `i${i}` })], { durable: false }),
    );
    const removed = storeOf(1).apply([{ type: 'repository.delete', name: 'r', when: 2 }], { durable: true });
    const purges = [storeOf(0).purge(3), storeOf(1).purge(3)];
    const [outcomes] = await Promise.all([Promise.all(writes), removed, ...purges]);
    while (await storeOf(0).purge(3));
    for (const [i, name] of names.entries()) {
      expect(await storeOf(1).isReferenced(digest(name))).toBe(false);
      expect(await storeOf(1).isCandidate(digest(name))).toBe(outcomes[i]);
    }
    expect(await storeOf(1).purge(4)).toBe(false);
  });
}

function follows(stores: () => [MetadataStore, MetadataStore]): void {
  it('a reader that follows the journal misses no entry and sees none twice while both write', async () => {
    const [first, second] = stores();
    await first.apply(putManifest('m'), { durable: true });
    const seen: JournalEntry[] = [];
    let isOver = false;
    const follow = async (): Promise<void> => {
      for (let last = false; ; last = isOver) {
        const entries = await second.journal.read({ after: seen.at(-1)?.seq ?? 0, limit: 7 });
        seen.push(...entries);
        if (last && entries.length === 0) return;
      }
    };
    const following = follow();
    const writes = Array.from({ length: 80 }, async (_, i) => {
      const place = { repository: 'r', image: `i${i % 10}` };
      const changes = [{ ...putManifest(`m${i}`)[0], at: place }, record('rule', `rule ${i}`)] as Change[];
      await (i % 2 === 0 ? first : second).apply(changes, { durable: false, by: { actor: admin, at: i } });
    });
    await Promise.all(writes);
    isOver = true;
    await following;
    expect(seen).toHaveLength(160);
    expect(new Set(seen.map(({ seq }) => seq)).size).toBe(160);
    expect(seen).toEqual(await first.journal.read({ after: 0, limit: 1000 }));
  });

  it('unlinks through both leave one candidate with the latest time', async () => {
    const [first, second] = stores();
    const other = { repository: 's', image: 'x' };
    await first.apply([link('l', 1), link('l', 1, other)], { durable: true });
    const options = { durable: true };
    await Promise.all([first.apply([unlink('l', 9)], options), second.apply([unlink('l', 7, other)], options)]);
    expect(await second.candidates(Infinity, 9)).toEqual([{ kind: 'bytes', digest: digest('l'), since: 9 }]);
  });
}

/** Tests `MetadataStore.shared`. */
function shares(stores: () => [MetadataStore, MetadataStore]): void {
  const sharedOf = (store: MetadataStore): SharedIndex => store.shared ?? expect.fail('the index is not shared');

  it('watchers of both learn which kinds of documents one of them changed, until they stop watching', async () => {
    const heard = stores().map(() => new Set<string>());
    const ends = stores().map((store, i) => {
      return sharedOf(store).watch((kinds) => kinds.forEach((kind) => heard[i]?.add(kind)));
    });
    const [first, second] = stores();
    await first.apply([repository('new'), record('rule', 'a')], { durable: true });
    for (const kinds of heard) await expect.poll(() => [...kinds].toSorted()).toEqual(['repository', 'rule']);
    ends[1]?.();
    await second.apply([record('account', 'a')], { durable: true });
    await expect.poll(() => heard[0]?.has('account')).toBe(true);
    expect(heard[1]?.has('account')).toBe(false);
  });

  it('a lease is held by one process, which may renew it, until it is released or expires', async () => {
    const [first, second] = stores().map(sharedOf) as [SharedIndex, SharedIndex];
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? first : second).lease('a', 60_000)),
    );
    expect(outcomes.filter((isTaken) => isTaken)).toHaveLength(10);
    const [holder, other] = outcomes[0] === true ? [first, second] : [second, first];
    expect(await holder.lease('a', 60_000)).toBe(true);
    await other.release('a');
    expect(await other.lease('a', 60_000)).toBe(false);
    expect(await other.lease('b', 60_000)).toBe(true);
    await holder.release('a');
    expect(await other.lease('a', 1)).toBe(true);
    await expect.poll(() => holder.lease('a', 60_000)).toBe(true);
  });
}

/**
 * Returns a store whose calls alternate between two. Its writes run one after the other, in the order of the calls, since
 * only those of one process keep an order.
 */
function spread({ first, second }: MetadataPair): MetadataStore {
  let calls = 0;
  let last: Promise<unknown> = Promise.resolve();
  const next = (): [MetadataStore, MetadataStore] => ((calls += 1) % 2 === 0 ? [first, second] : [second, first]);
  const tryApply = (changes: readonly Change[], options: WriteOptions): Promise<boolean> => {
    const write = last.then(async () => {
      const [writer, other] = next();
      const isWritten = await writer.tryApply(changes, options);
      for (const kind of kindsOf(changes)) await catchUp(writer, other, kind);
      return isWritten;
    });
    last = write.catch(() => {});
    return write;
  };
  return new Proxy(first, {
    get: (_, name: keyof MetadataStore) => {
      if (name === 'tryApply') return tryApply;
      const [store] = next();
      const value = store[name];
      return typeof value === 'function' ? value.bind(store) : value;
    },
  });
}

function kindsOf(changes: readonly Change[]): Set<DocumentKind> {
  return new Set(changes.flatMap((change) => ('kind' in change ? [change.kind] : [])));
}

/** Documents are kept in memory: waits until a store has noticed what another one wrote. */
async function catchUp(writer: MetadataStore, other: MetadataStore, kind: DocumentKind): Promise<void> {
  const revision = await writer.documentRevision(kind);
  await expect.poll(() => other.documentRevision(kind), { interval: 5 }).toBe(revision);
}
