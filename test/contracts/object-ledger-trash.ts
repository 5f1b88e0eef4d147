import { expect, it } from 'vitest';
import type { ObjectLedger, StoredObject } from '../../src/ports/metadata/object-ledger.js';
import { digest } from './metadata-samples.js';
import { claim, due, removing } from './object-ledger-samples.js';

/** Tests the trash. @param emptied returns the objects that are deleted by a time, and deletes them. */
export function trashing(ledger: () => ObjectLedger, emptied: (now: number) => Promise<readonly StoredObject[]>): void {
  it('reserve() deletes an object unless it is named by then', async () => {
    for (const key of ['1', '2', '3']) await ledger().reserve({ key }, 100);
    await ledger().reserve({ key: 'k', uploadId: 'up' }, 100);
    await ledger().putPlace(digest('a'), { key: '1', size: 10, etag: 'e', storedAt: 5 }, { until: 50 });
    const held = await claim(ledger(), 'u', 'key', { when: 7 });
    await ledger().saveStaged(
      held,
      { key: 'key', parts: [], modifiedAt: 7, tail: { key: '2', size: 3, etag: 'e' } },
      { until: 50 },
    );
    expect(await emptied(99)).toEqual([]);
    expect(await emptied(100)).toEqual([{ key: '3' }, { key: 'k', uploadId: 'up' }]);
  });

  it('emptyTrash() keeps objects that could not be removed', async () => {
    await ledger().reserve({ key: '1' }, 100);
    const failing = ledger().emptyTrash(due(100, 9), async () => Promise.reject(new Error('away')));
    await expect(failing).rejects.toThrow('away');
    expect(await ledger().emptyTrash(due(99, 9), removing())).toBe(0);
    expect(await emptied(100)).toEqual([{ key: '1' }]);
  });

  it('emptyTrash() tries objects that could not be deleted again later', async () => {
    for (const key of ['1', '2', '3']) await ledger().reserve({ key }, 100);
    await ledger().reserve({ key: 'k', uploadId: 'up' }, 100);
    expect(await ledger().emptyTrash(due(100, 9), async () => new Set(['2', 'k']))).toBe(4);
    expect(await emptied(149)).toEqual([]);
    expect(await emptied(150)).toEqual([{ key: '2' }, { key: 'k', uploadId: 'up' }]);
  });

  it('emptyTrash() removes the oldest first, up to a given number', async () => {
    for (const [index, key] of ['e', 'd', 'c', 'b', 'a'].entries()) await ledger().reserve({ key }, 10 + index);
    const removed: string[][] = [];
    const remove = async (objects: readonly StoredObject[]) => {
      removed.push(objects.map(({ key }) => key));
      return new Set<string>();
    };
    while ((await ledger().emptyTrash(due(13, 3), remove)) > 0);
    expect(removed.map((keys) => keys.toSorted())).toEqual([['c', 'd', 'e'], ['b']]);
  });
}
