import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Change, MetadataStore } from '../../src/ports/metadata/metadata.js';
import type { ObjectLedger, ObjectPlace, StagedBytes, StoredObject } from '../../src/ports/metadata/object-ledger.js';
import { ConflictError } from '../../src/util/conflict-error.js';
import { at, collect, digest, link, repository, unlink } from './metadata-samples.js';
import { auditing } from './object-ledger-audit.js';
import { claim, due, hour, removing } from './object-ledger-samples.js';
import { trashing } from './object-ledger-trash.js';

/** An empty index of the driver under test, which knows the places of all bytes. */
export interface ObjectLedgerFixture {
  readonly metadata: MetadataStore;
  readonly ledger: ObjectLedger;
  /** Closes the index and opens it again. */
  reopen(): Promise<ObjectLedger>;
  /** Closes the index and removes everything. */
  dispose(): Promise<void>;
}

const place = (key: string, storedAt = 5, size = 10): ObjectPlace => ({ key, size, etag: `"${key}"`, storedAt });
const bytesOf = (key: string, more: Partial<StagedBytes> = {}): StagedBytes => ({
  key,
  parts: [],
  modifiedAt: 7,
  ...more,
});

const tail = (key: string) => ({ key, size: 3, etag: 'e' });

/** Tests the contract of `ObjectLedger`, which every driver must fulfill. */
export function objectLedgerContract(name: string, create: () => Promise<ObjectLedgerFixture>): void {
  describe(`${name} fulfills the contract of ObjectLedger`, () => {
    let fixture: ObjectLedgerFixture;
    let ledger: ObjectLedger;
    beforeEach(async () => {
      fixture = await create();
      ledger = fixture.ledger;
      await fixture.metadata.apply([repository('r')], { durable: false });
    });
    afterEach(() => fixture.dispose());

    /** Returns the objects that are deleted by a time, and deletes them. */
    const emptied = async (now: number): Promise<readonly StoredObject[]> => {
      const found: StoredObject[] = [];
      while ((await ledger.emptyTrash(due(now, 2), removing(found))) > 0);
      return found.toSorted((a, b) => (a.key < b.key ? -1 : 1));
    };

    it('storeId() always returns the same id', async () => {
      const ids = await Promise.all([ledger.storeId(), ledger.storeId()]);
      expect(ids[0]).toMatch(/^[0-9a-f-]{36}$/);
      expect(ids[1]).toBe(ids[0]);
      ledger = await fixture.reopen();
      expect(await ledger.storeId()).toBe(ids[0]);
    });

    describe('places', () => {
      it('putPlace() names bytes, which survive a restart and leave a candidate', async () => {
        expect(await ledger.place(digest('a'))).toBeUndefined();
        await ledger.putPlace(digest('a'), place('1', 5), { until: 100 });
        expect(await fixture.metadata.candidates(Infinity, 9)).toEqual([
          { kind: 'bytes', digest: digest('a'), since: 5 },
        ]);
        ledger = await fixture.reopen();
        expect(await ledger.place(digest('a'))).toEqual(place('1', 5));
        expect(await emptied(Infinity)).toEqual([]);
      });

      it('putPlace() replaces the object of a digest, and the earlier one is deleted when it is due', async () => {
        await ledger.putPlace(digest('a'), place('1', 5), { until: 100 });
        await ledger.putPlace(digest('a'), place('2', 6), { until: 200 });
        expect(await ledger.place(digest('a'))).toEqual(place('2', 6));
        expect(await fixture.metadata.candidates(Infinity, 9)).toMatchObject([{ since: 6 }]);
        expect(await emptied(199)).toEqual([]);
        expect(await emptied(200)).toEqual([{ key: '1' }]);
        expect(await emptied(Infinity)).toEqual([]);
      });

      it('putPlace() repeated with the same key changes nothing', async () => {
        await ledger.putPlace(digest('a'), place('1'), { until: 100 });
        await ledger.putPlace(digest('a'), place('1'), { until: 100 });
        expect(await emptied(Infinity)).toEqual([]);
      });

      it('putPlace() revokes a condemnation', async () => {
        await fixture.metadata.apply([{ type: 'bytes.condemn', digest: digest('a') }], { durable: false });
        await ledger.putPlace(digest('a'), place('1'), { until: 100 });
        expect(await fixture.metadata.condemned()).toEqual([]);
        await fixture.metadata.apply([link('a', 1)], { durable: false });
      });

      it('takePlace() takes only the object with the key', async () => {
        expect(await ledger.takePlace(digest('a'), '1', 100)).toBe(false);
        await ledger.putPlace(digest('a'), place('1'), { until: 100 });
        expect(await ledger.takePlace(digest('a'), '2', 100)).toBe(false);
        expect(await ledger.place(digest('a'))).toEqual(place('1'));
        expect(await ledger.takePlace(digest('a'), '1', 100)).toBe(true);
        expect(await ledger.place(digest('a'))).toBeUndefined();
        expect(await ledger.takePlace(digest('a'), '1', 100)).toBe(false);
        expect(await emptied(100)).toEqual([{ key: '1' }]);
      });

      it('places() yields all places in byte order of the digest', async () => {
        const names = ['a', 'b', 'c', 'd', 'e'];
        await Promise.all(names.map((name) => ledger.putPlace(digest(name), place(name), { until: 1 })));
        expect(await collect(ledger.places())).toEqual(
          names
            .map((name) => ({ digest: digest(name), place: place(name) }))
            .toSorted((a, b) => (a.digest < b.digest ? -1 : 1)),
        );
      });

      it.each([
        ['an unknown digest', 'b', 10, false],
        ['another size', 'a', 11, false],
        ['the right size', 'a', 10, true],
      ])('the precondition bytes with %s: %s, %i bytes', async (_name, name, size, holds) => {
        await ledger.putPlace(digest('a'), place('1'), { until: 100 });
        const require = [{ type: 'bytes', digest: digest(name), size } as const];
        expect(await fixture.metadata.tryApply([link(name, 1)], { durable: false, require })).toBe(holds);
        expect((await fixture.metadata.link(at, digest(name))) !== undefined).toBe(holds);
      });

      it('bytes that are pushed again while they are deleted stay counted', async () => {
        const { metadata } = fixture;
        const write = (...changes: Change[]) => metadata.apply(changes, { durable: false });
        await ledger.putPlace(digest('a'), place('1'), { until: 100 });
        await write(link('a', 1));
        await write(unlink('a', 2), { type: 'bytes.condemn', digest: digest('a') });
        await ledger.putPlace(digest('a'), place('2'), { until: 100 });
        expect(await ledger.takePlace(digest('a'), '1', 100)).toBe(false);
        await write({ type: 'bytes.forget', digest: digest('a'), deleted: true }, link('a', 3));
        expect((await metadata.inventory.storedBytes()).bytes).toBe(10);
        await write(unlink('a', 4), { type: 'bytes.condemn', digest: digest('a') });
        await write({ type: 'bytes.forget', digest: digest('a'), deleted: true });
        expect((await metadata.inventory.storedBytes()).bytes).toBe(0);
      });

      it('the precondition bytes does not hold for condemned or taken bytes', async () => {
        await ledger.putPlace(digest('a'), place('1'), { until: 100 });
        const isHeld = () =>
          fixture.metadata.tryApply([], {
            durable: false,
            require: [{ type: 'bytes', digest: digest('a'), size: 10 }],
          });
        expect(await isHeld()).toBe(true);
        await fixture.metadata.apply([{ type: 'bytes.condemn', digest: digest('a') }], { durable: false });
        expect(await isHeld()).toBe(false);
        await fixture.metadata.apply([{ type: 'bytes.forget', digest: digest('a') }], { durable: false });
        expect(await isHeld()).toBe(true);
        await ledger.takePlace(digest('a'), '1', 100);
        expect(await isHeld()).toBe(false);
      });
    });

    describe('uploads', () => {
      it('claimStaged() creates an upload, and each claim ends the earlier one', async () => {
        expect(await ledger.staged('u')).toBeUndefined();
        const first = await claim(ledger, 'u', 'k', { when: 7 });
        expect(first).toMatchObject({ id: 'u', key: 'k', parts: [], modifiedAt: 7 });
        const parts = [{ number: 1, size: 5, etag: 'p1' }];
        const bytes = bytesOf('k', {
          uploadId: 'up',
          parts,
          tail: tail('t'),
          digest: digest('a'),
          hash: { algorithm: 'sha256', state: 'AAEC' },
        });
        await ledger.saveStaged(first, bytes, { until: 100 });
        ledger = await fixture.reopen();
        expect(await ledger.staged('u')).toEqual({ id: 'u', epoch: first.epoch, ...bytes });
        const second = await claim(ledger, 'u', 'other', { when: 9 });
        expect(second).toEqual({ id: 'u', epoch: second.epoch, ...bytes, nextPart: 18 });
        expect(second.epoch).toBeGreaterThan(first.epoch);
        await expect(ledger.saveStaged(first, bytes, { until: 100 })).rejects.toThrow(ConflictError);
        await expect(ledger.dropStaged(first, 100)).rejects.toThrow(ConflictError);
        await expect(ledger.putPlace(digest('a'), place('k'), { until: 1, staged: first })).rejects.toThrow(
          ConflictError,
        );
        expect(await ledger.place(digest('a'))).toBeUndefined();
        await ledger.saveStaged(second, bytes, { until: 100 });
      });

      it('claimStaged() refuses another owner while the holder beats, and skips part numbers when it takes over', async () => {
        const parts = [{ number: 3, size: 5, etag: 'p3' }];
        const bytes = bytesOf('k', { uploadId: 'up', parts, nextPart: 4 });
        const other = { owner: 'other', key: 'k', when: 9 };
        await ledger.saveStaged(await claim(ledger, 'u', 'k'), bytes, { until: 100 });
        expect(await ledger.claimStaged('u', { ...other, staleMs: hour })).toBeUndefined();
        const taken = await claim(ledger, 'u', 'k', { ...other, staleMs: 0 });
        expect(taken).toEqual({ ...bytes, id: 'u', epoch: taken.epoch, nextPart: 20 });
        await expect(claim(ledger, 'u', 'k')).rejects.toThrow('another process holds u');
        expect(await claim(ledger, 'u', 'k', { ...other, staleMs: hour })).toMatchObject({ nextPart: 36 });
      });

      it.each(['the last save', 'releaseStaged()'])('%s ends a claim, and the next one skips nothing', async (way) => {
        const held = await claim(ledger, 'u', 'k');
        const bytes = bytesOf('k', { uploadId: 'up', parts: [{ number: 1, size: 5, etag: 'p' }], nextPart: 2 });
        await ledger.saveStaged(held, bytes, { until: 100, isLast: way === 'the last save' });
        if (way !== 'the last save') await ledger.releaseStaged(held);
        await expect(ledger.beatStaged(held)).rejects.toThrow(ConflictError);
        const next = await claim(ledger, 'u', 'k', { owner: 'other' });
        expect(next).toEqual({ ...bytes, id: 'u', epoch: next.epoch });
        await ledger.releaseStaged(held);
        await expect(claim(ledger, 'u', 'k')).rejects.toThrow('another process holds u');
        await ledger.beatStaged(next);
        await ledger.dropStaged(next, 60);
        await expect(ledger.beatStaged(next)).rejects.toThrow(ConflictError);
        await ledger.releaseStaged(next);
        expect(await ledger.staged('u')).toBeUndefined();
      });

      it('saveStaged() keeps the tail to which a running append may return', async () => {
        const held = await claim(ledger, 'u', 'k');
        await ledger.saveStaged(held, bytesOf('k', { tail: tail('t1') }), { until: 50 });
        await ledger.saveStaged(held, bytesOf('k', { uploadId: 'up', formerTail: tail('t1') }), { until: 60 });
        expect(await emptied(Infinity)).toEqual([]);
        await ledger.saveStaged(held, bytesOf('k', { uploadId: 'up' }), { until: 70, isLast: true });
        expect(await emptied(Infinity)).toEqual([{ key: 't1' }]);
      });

      it('saveStaged() moves objects to the trash that only the earlier bytes name', async () => {
        const held = await claim(ledger, 'u', 'k', { when: 7 });
        await ledger.saveStaged(held, bytesOf('k', { tail: tail('t1') }), { until: 50 });
        await ledger.saveStaged(held, bytesOf('k', { tail: tail('t2') }), { until: 60 });
        await ledger.saveStaged(held, bytesOf('k', { uploadId: 'up', tail: tail('t2') }), { until: 70 });
        expect(await emptied(Infinity)).toEqual([{ key: 't1' }]);
        await ledger.saveStaged(held, bytesOf('k2'), { until: 80 });
        expect(await emptied(79)).toEqual([]);
        expect(await emptied(80)).toEqual([{ key: 'k', uploadId: 'up' }, { key: 't2' }]);
      });

      it('saveStaged() takes objects that it names again out of the trash', async () => {
        const held = await claim(ledger, 'u', 'k', { when: 7 });
        const before = bytesOf('k', { tail: tail('t1') });
        await ledger.saveStaged(held, before, { until: 50 });
        await ledger.saveStaged(held, bytesOf('k', { tail: tail('t2') }), { until: 60 });
        await ledger.saveStaged(held, before, { until: 70 });
        expect(await emptied(Infinity)).toEqual([{ key: 't2' }]);
      });

      it('dropStaged() ends an upload and moves its objects to the trash, once', async () => {
        const held = await claim(ledger, 'u', 'k', { when: 7 });
        await ledger.saveStaged(held, bytesOf('k', { uploadId: 'up', tail: tail('t') }), { until: 50 });
        await ledger.dropStaged(held, 60);
        await ledger.dropStaged(held, 90);
        expect(await ledger.staged('u')).toBeUndefined();
        await expect(ledger.saveStaged(held, bytesOf('k'), { until: 50 })).rejects.toThrow(ConflictError);
        expect(await emptied(60)).toEqual([{ key: 'k', uploadId: 'up' }, { key: 't' }]);
      });

      it.each(['k', 't'])('putPlace() ends the upload, of whose objects %s is the place', async (key) => {
        const held = await claim(ledger, 'u', 'k', { when: 7 });
        await ledger.saveStaged(held, bytesOf('k', { uploadId: 'up', tail: tail('t') }), { until: 50 });
        await ledger.putPlace(digest('a'), place(key), { until: 60, staged: held });
        expect(await ledger.staged('u')).toBeUndefined();
        expect(await ledger.place(digest('a'))).toEqual(place(key));
        const rest = key === 'k' ? [{ key: 't' }] : [{ key: 'k', uploadId: 'up' }];
        expect(await emptied(Infinity)).toEqual(rest);
      });

      it('allStaged() yields all uploads by id', async () => {
        for (const id of ['c', 'a', 'b']) await claim(ledger, id, `k-${id}`, { when: 7 });
        expect((await collect(ledger.allStaged())).map(({ id, key }) => [id, key])).toEqual([
          ['a', 'k-a'],
          ['b', 'k-b'],
          ['c', 'k-c'],
        ]);
      });
    });

    auditing(() => ledger);

    trashing(() => ledger, emptied);
  });
}
