import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BlobStore } from '../../src/ports/bytes.js';
import { digestOf, type Digest } from '../../src/protocol/digest.js';
import { MiB, patternBytes, sourceOf } from '../support/content/bytes.js';
import { adopting } from './blob-store-adopted.js';
import { following } from './blob-store-follow.js';
import { bytesOf, collect, publishing, put, reading } from './blob-store-published.js';
import { quarantining } from './blob-store-quarantine.js';
import { breaking, staging } from './blob-store-staged.js';
import { putUnsynced, settling } from './blob-store-unsynced.js';

/** An empty store of the driver under test. */
export interface BlobStoreFixture {
  readonly store: BlobStore;
  /** Closes the current store and opens another on the same bytes, like a restart. */
  reopen(): Promise<BlobStore>;
  /** Changes a byte of a published blob without the store's knowledge. */
  damage(digest: Digest): Promise<void>;
  /** Closes the current store and removes everything. */
  dispose(): Promise<void>;
}

/** What a driver is like. */
export interface BlobStoreTraits {
  /** The bytes are at another machine: no file can be linked, and a ledger knows all bytes. @default false */
  readonly isRemote?: boolean;
}

/** Tests the contract of `BlobStore`, which every driver must fulfill. */
export function blobStoreContract(
  name: string,
  create: () => Promise<BlobStoreFixture>,
  { isRemote = false }: BlobStoreTraits = {},
): void {
  describe(`${name} fulfills the contract of BlobStore`, () => {
    let fixture: BlobStoreFixture;
    let store: BlobStore;
    beforeEach(async () => {
      fixture = await create();
      store = fixture.store;
    });
    afterEach(() => fixture.dispose());

    publishing(() => store);
    reading(() => store);
    staging(() => store);
    breaking(() => store);
    following(() => store);
    settling(
      () => store,
      async () => void (store = await fixture.reopen()),
    );
    if (isRemote) remote(() => store);
    else {
      adopting(() => store);
      quarantining(
        () => store,
        async () => (store = await fixture.reopen()),
      );
    }

    it('check() resolves while the store is open, even concurrently, and leaves nothing behind', async () => {
      await Promise.all([store.check(), store.check()]);
      expect(await collect(store.listStaged())).toEqual([]);
      expect(await collect(store.list())).toEqual([]);
      await store.close();
      await expect(store.check()).rejects.toThrow('closed');
      store = await fixture.reopen();
    });

    it('stage() continues with the bytes of an earlier process', async () => {
      const bytes = patternBytes(3 * MiB + 5);
      await (await store.stage('restart-1')).append(sourceOf(bytes.subarray(0, 2 * MiB)));
      await (await store.stage('restart-2')).append(sourceOf(bytes.subarray(0, 100)));
      store = await fixture.reopen();
      expect(await collect(store.listStaged())).toHaveLength(2);
      expect(await store.stagedSize('restart-1')).toBe(2 * MiB);
      const staged = await store.stage('restart-1');
      expect(staged.size).toBe(2 * MiB);
      expect(await staged.append(sourceOf(bytes.subarray(2 * MiB)))).toBe(bytes.length);
      await staged.commit(digestOf(bytes));
      expect((await bytesOf(store, digestOf(bytes)))?.equals(bytes)).toBe(true);
      const small = await store.stage('restart-2');
      await expect(small.commit(digestOf(bytes.subarray(0, 100)))).resolves.toMatchObject({ size: 100 });
    });

    it('read() returns blobs after a restart', async () => {
      const bytes = patternBytes(100);
      await put(store, 'kept', bytes);
      store = await fixture.reopen();
      expect(await bytesOf(store, digestOf(bytes))).toEqual(bytes);
    });

    it.each(['with', 'without'] as const)('commit() %s durability repairs a damaged blob', async (kind) => {
      const bytes = patternBytes(5000);
      await put(store, 'first', bytes);
      await fixture.damage(digestOf(bytes));
      // A store may notice the damage.
      const read = await bytesOf(store, digestOf(bytes)).catch((error: unknown) => error);
      expect(read).not.toEqual(bytes);
      await (kind === 'with' ? put : putUnsynced)(store, 'second', bytes);
      expect(await bytesOf(store, digestOf(bytes))).toEqual(bytes);
    });

    it('close() aborts a running append, and later calls reject', async () => {
      const staged = await store.stage('late');
      const source = new PassThrough();
      const appending = expect(staged.append(source)).rejects.toThrow('closed');
      await store.close();
      await appending;
      await expect(store.stage('later')).rejects.toThrow('closed');
      await expect(staged.append(sourceOf(patternBytes(10)))).rejects.toThrow('closed');
      source.destroy();
    });
  });
}

/** Tests what a remote store answers instead of linking files and quarantining orphans. */
function remote(store: () => BlobStore): void {
  it('adopts no file and quarantines nothing, since it knows all bytes', async () => {
    const bytes = patternBytes(10);
    const { digest } = await put(store(), 'kept', bytes);
    expect(await store().adopt('once-1', { path: '/file', digest, size: 10 })).toBeUndefined();
    expect(await store().quarantine(digest, 1)).toBe(false);
    expect(await store().listQuarantined({ limit: 10 })).toEqual({ items: [], more: false });
    expect([await store().restoreQuarantined(digest), await store().deleteQuarantined(digest)]).toEqual([false, false]);
    expect(await bytesOf(store(), digest)).toEqual(bytes);
  });
}
