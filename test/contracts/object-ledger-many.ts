import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Candidate, MetadataStore } from '../../src/ports/metadata/metadata.js';
import type { ObjectLedger, ObjectPlace, StoredObject } from '../../src/ports/metadata/object-ledger.js';
import { ConflictError } from '../../src/util/conflict-error.js';
import { digest, link, repository } from './metadata-samples.js';
import { claim, due, removing } from './object-ledger-samples.js';

/** A process that shares an empty index with others. */
export interface LedgerProcess {
  readonly metadata: MetadataStore;
  readonly ledger: ObjectLedger;
}

/** Two processes of the driver under test. */
export interface LedgerPair {
  readonly processes: readonly [LedgerProcess, LedgerProcess];
  /** Closes both and removes everything. */
  dispose(): Promise<void>;
}

const place = (key: string, storedAt: number): ObjectPlace => ({ key, size: 10, etag: `"${key}"`, storedAt });

/** Tests what a ledger promises in addition when several processes share it. */
export function objectLedgerManyContract(name: string, create: () => Promise<LedgerPair>): void {
  describe(`${name}, shared by two processes,`, () => {
    let pair: LedgerPair;
    beforeEach(async () => {
      pair = await create();
      await pair.processes[0].metadata.apply([repository('r')], { durable: false });
    });
    afterEach(() => pair.dispose());
    const processOf = (number: number): LedgerProcess => pair.processes[number % 2 === 0 ? 0 : 1];
    const ledgerOf = (number: number): ObjectLedger => processOf(number).ledger;

    it('an upload continues in the other process, and the former one can no longer save or end it', async () => {
      const first = await claim(ledgerOf(0), 'u', 'k');
      await ledgerOf(0).saveStaged(first, { key: 'k', uploadId: 'up', parts: [], modifiedAt: 8 }, { until: 50 });
      const other = { owner: 'other', key: 'other', when: 9 };
      expect(await ledgerOf(1).claimStaged('u', { ...other, staleMs: 3_600_000 })).toBeUndefined();
      const second = await claim(ledgerOf(1), 'u', 'other', { owner: 'other', staleMs: 0 });
      expect(second).toMatchObject({ key: 'k', uploadId: 'up', modifiedAt: 8 });
      const late = { key: 'k', parts: [], modifiedAt: 10 };
      await expect(ledgerOf(0).saveStaged(first, late, { until: 50 })).rejects.toThrow(ConflictError);
      await expect(ledgerOf(0).dropStaged(first, 50)).rejects.toThrow(ConflictError);
      await ledgerOf(1).putPlace(digest('a'), place('k', 11), { until: 60, staged: second });
      expect(await ledgerOf(0).place(digest('a'))).toEqual(place('k', 11));
      expect(await ledgerOf(0).staged('u')).toBeUndefined();
    });

    it('exactly the latest of many claims at the same time can save', async () => {
      const claims = await Promise.all(
        Array.from({ length: 20 }, (_, i) => claim(ledgerOf(i), 'u', 'k', { staleMs: 0 })),
      );
      const epochs = claims.map(({ epoch }) => epoch).toSorted((a, b) => a - b);
      expect(epochs).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
      const saves = claims.map((held, i) =>
        ledgerOf(i).saveStaged(held, { key: 'k', parts: [], modifiedAt: 1 }, { until: 9 }),
      );
      const outcomes = await Promise.allSettled(saves);
      const saved = claims.filter((_, i) => outcomes[i]?.status === 'fulfilled');
      expect(saved.map(({ epoch }) => epoch)).toEqual([20]);
    });

    it('all objects but that of the place are in the trash after 20 processes named bytes of one digest', async () => {
      const keys = Array.from({ length: 20 }, (_, i) => `key-${String(i).padStart(2, '0')}`);
      await Promise.all(keys.map((key, i) => ledgerOf(i).putPlace(digest('a'), place(key, i), { until: 1 })));
      const named = (await ledgerOf(0).place(digest('a')))?.key;
      const removed: StoredObject[] = [];
      await ledgerOf(1).emptyTrash(due(1, 100), removing(removed));
      expect(removed.map(({ key }) => key).toSorted()).toEqual(keys.filter((key) => key !== named));
    });

    it('two that empty the trash at the same time remove different objects', async () => {
      for (let i = 0; i < 10; i += 1) await ledgerOf(i).reserve({ key: `key-${i}` }, 1);
      const removed: string[] = [];
      let bothRun = (): void => {};
      const both = new Promise<void>((resolve) => (bothRun = resolve));
      let running = 0;
      const empty = (number: number): Promise<number> =>
        ledgerOf(number).emptyTrash(due(1, 5), async (objects) => {
          removed.push(...objects.map(({ key }) => key));
          running += 1;
          if (running === 2) bothRun();
          await both;
          return new Set();
        });
      expect(await Promise.all([empty(0), empty(1)])).toEqual([5, 5]);
      expect(removed.toSorted()).toEqual(Array.from({ length: 10 }, (_, i) => `key-${i}`));
      expect(await ledgerOf(0).emptyTrash(due(1, 5), removing())).toBe(0);
    });

    it('bytes that are named while they are condemned can be linked, and the collector does not take them', async () => {
      const names = Array.from({ length: 30 }, (_, i) => `blob ${i}`);
      const put = (name: string, i: number, version: number): Promise<void> =>
        ledgerOf(i).putPlace(digest(name), place(`${name} ${version}`, version), { until: 9 });
      await Promise.all(names.map((name, i) => put(name, i, 1)));
      const collect = async (name: string, i: number): Promise<void> => {
        const { metadata, ledger } = processOf(i);
        const version = (await ledger.place(digest(name)))?.key ?? '';
        const candidate: Candidate = { kind: 'bytes', digest: digest(name), since: 1 };
        const require = [
          { type: 'unreferenced', digest: digest(name) },
          { type: 'candidate', candidate },
        ] as const;
        const condemn = { type: 'bytes.condemn', digest: digest(name) } as const;
        if (!(await metadata.tryApply([condemn], { durable: true, require }))) return;
        const isTaken = await ledger.takePlace(digest(name), version, 9);
        const forget = { type: 'bytes.forget', digest: digest(name), ...(isTaken ? { deleted: true as const } : {}) };
        await metadata.apply([forget as { type: 'bytes.forget'; digest: typeof candidate.digest }], { durable: false });
      };
      const push = async (name: string, i: number): Promise<boolean> => {
        await put(name, i, 2);
        const require = [{ type: 'bytes', digest: digest(name), size: 10 }] as const;
        return processOf(i).metadata.tryApply([link(name, 3)], { durable: true, require });
      };
      const linked = await Promise.all(names.map((name, i) => Promise.all([push(name, i), collect(name, i + 1)])));
      for (const [i, name] of names.entries()) {
        expect(linked[i]?.[0]).toBe(true);
        expect((await ledgerOf(i).place(digest(name)))?.key).toBe(`${name} 2`);
      }
      expect(await processOf(0).metadata.condemned()).toEqual([]);
    });
  });
}
