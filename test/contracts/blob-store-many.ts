import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BlobStore } from '../../src/ports/bytes.js';
import type { ObjectLedger } from '../../src/ports/metadata/object-ledger.js';
import { digestOf } from '../../src/protocol/digest.js';
import { MiB, patternBytes, sourceOf } from '../support/content/bytes.js';
import { bytesOf, put } from './blob-store-published.js';

/** How a process opens the store. */
export interface ManyOptions {
  /** How long another process may hold an upload without progress. */
  readonly staleMs?: number;
  readonly now?: () => number;
  /** Replaces the ledger, for example by one that fails. */
  readonly wrap?: (ledger: ObjectLedger) => ObjectLedger;
}

/** A store without blobs, which several processes share. */
export interface ManyBlobStores {
  /** Opens the store in another process. */
  open(options?: ManyOptions): Promise<BlobStore & { emptyTrash(): Promise<void> }>;
  /** Returns the keys of all objects and of unfinished uploads. */
  objects(): Promise<readonly string[]>;
  /** Closes all processes and removes everything. */
  dispose(): Promise<void>;
}

const never = 3_600_000;
const dead = new Error('the process is dead');

/** Returns a ledger whose calls from a number on never take effect, like those of a process that was killed. */
function killedAfter(calls: number): { readonly wrap: (ledger: ObjectLedger) => ObjectLedger; isDead: () => boolean } {
  let done = 0;
  const wrap = (ledger: ObjectLedger): ObjectLedger =>
    new Proxy(ledger, {
      get(target, name) {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== 'function') return method;
        return (...values: unknown[]): unknown => {
          if (name === 'storeId' || name === 'places' || name === 'emptyTrash') return method.apply(target, values);
          return done++ < calls ? method.apply(target, values) : Promise.reject(dead);
        };
      },
    });
  return { wrap, isDead: () => done > calls };
}

/** Tests what a blob store promises in addition when several processes share it. */
export function blobStoreManyContract(name: string, create: () => Promise<ManyBlobStores>): void {
  describe(`${name}, shared by several processes,`, () => {
    let shared: ManyBlobStores;
    beforeEach(async () => {
      shared = await create();
    });
    afterEach(() => shared.dispose());

    it.each([
      ['chunks of 3 parts each', [25 * MiB, 24 * MiB + 1, 26 * MiB], 'sha256'],
      ['small chunks', [1, MiB, 3 * MiB, 2 * MiB, 7], 'sha256'],
      ['chunks around the size of a part', [5 * MiB - 1, 5 * MiB, 8 * MiB, 13 * MiB + 1], 'sha512'],
    ] as const)('an upload in %s goes on in the next process after each one', async (_name, sizes, algorithm) => {
      const bytes = patternBytes(sizes.reduce((sum, size) => sum + size, 0));
      const stores = [await shared.open(), await shared.open(), await shared.open()] as const;
      const storeOf = (number: number) => stores[number % 3] ?? stores[0];
      for (const isResumable of [true, false]) {
        const id = `upload-${isResumable}`;
        let at = 0;
        for (const [i, size] of sizes.entries()) {
          const staged = await storeOf(i).stage(id, { algorithm });
          expect(staged.size).toBe(at);
          await staged.append(sourceOf(bytes.subarray(at, at + size)), { isResumable });
          at += size;
          expect(await storeOf(i + 1).stagedSize(id)).toBe(at);
        }
        await (await storeOf(sizes.length).stage(id, { algorithm })).commit(digestOf(bytes, algorithm));
        expect((await bytesOf(storeOf(0), digestOf(bytes, algorithm)))?.equals(bytes)).toBe(true);
        expect(await storeOf(1).stagedSize(id)).toBe(0);
      }
    });

    it('append() waits for one that makes progress in another process, and then reports the new size', async () => {
      const [first, second] = [await shared.open({ staleMs: never }), await shared.open({ staleMs: never })];
      const bytes = patternBytes(20 * MiB);
      const source = new PassThrough();
      const running = (await first.stage('live')).append(source);
      source.write(bytes.subarray(0, 12 * MiB));
      await expect.poll(() => second.stage('live').then(({ size }) => size)).toBe(0);
      await expect.poll(async () => (await collectIds(second)).includes('live')).toBe(true);
      const waiting = (await second.stage('live')).append(sourceOf(bytes.subarray(12 * MiB)));
      waiting.catch(() => undefined);
      source.end(bytes.subarray(12 * MiB));
      expect(await running).toBe(bytes.length);
      await expect(waiting).rejects.toMatchObject({ code: 'RANGE_INVALID', detail: { expectedStart: bytes.length } });
      await (await second.stage('live')).commit(digestOf(bytes));
      expect((await bytesOf(first, digestOf(bytes)))?.equals(bytes)).toBe(true);
    });

    it('another process takes over an append that stalls, from the last save, and no late part of it counts', async () => {
      // The first process never notices by a beat that it lost the upload.
      const [first, second] = [await shared.open({ staleMs: never }), await shared.open({ staleMs: 0 })];
      const bytes = patternBytes(150 * MiB + 3);
      const zombie = new PassThrough({ highWaterMark: 200 * MiB });
      await (await first.stage('taken')).append(sourceOf(bytes.subarray(0, 6 * MiB)));
      const running = (await first.stage('taken')).append(zombie);
      running.catch(() => undefined);
      zombie.write(bytes.subarray(6 * MiB, 100 * MiB));
      await expect.poll(() => second.stagedSize('taken')).toBeGreaterThanOrEqual(64 * MiB);
      const saved = await second.stagedSize('taken');
      expect(saved).toBeLessThanOrEqual(100 * MiB);
      const staged = await second.stage('taken');
      expect(staged.size).toBe(saved);
      const source = new PassThrough();
      const appending = staged.append(source);
      source.write(bytes.subarray(saved, 120 * MiB));
      // Other bytes, of the same part numbers if none were skipped.
      zombie.end(patternBytes(90 * MiB, 7));
      await expect(running).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      source.end(bytes.subarray(120 * MiB));
      expect(await appending).toBe(bytes.length);
      await staged.commit(digestOf(bytes));
      expect((await bytesOf(first, digestOf(bytes)))?.equals(bytes)).toBe(true);
    });

    it('discard() ends an append of another process', async () => {
      const [first, second] = [await shared.open(), await shared.open()];
      const source = new PassThrough();
      const running = (await first.stage('cancelled')).append(source);
      running.catch(() => undefined);
      source.write(patternBytes(20 * MiB));
      await expect.poll(async () => (await collectIds(second)).includes('cancelled')).toBe(true);
      await (await second.stage('cancelled')).discard();
      source.end();
      await expect(running).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      expect(await second.stagedSize('cancelled')).toBe(0);
    });

    it.each([
      ['a small upload', MiB, false],
      ['a large upload in chunks', 40 * MiB, true],
      ['a large upload in one request', 80 * MiB, false],
    ])(
      'another process finishes %s wherever the first one was killed, and nothing is left behind',
      async (_name, size, isChunked) => {
        const bytes = patternBytes(size);
        for (let calls = 0, isOver = false; !isOver; calls++) {
          const killed = killedAfter(calls);
          const first = await shared.open({ wrap: killed.wrap });
          const id = `killed-${calls}`;
          const step = isChunked ? Math.ceil(size / 3) : size;
          await upload(first, id, bytes, step).catch((error: unknown) => {
            if (!killed.isDead()) throw error;
          });
          isOver = !killed.isDead();
          const second = await shared.open({ staleMs: 0 });
          if (!(await isThere(second, bytes, id))) await upload(second, id, bytes, step);
          expect((await bytesOf(second, digestOf(bytes)))?.equals(bytes)).toBe(true);
        }
        const later = await shared.open({ now: () => Date.now() + 48 * 3_600_000 });
        await later.emptyTrash();
        const { version } = (await later.stat(digestOf(bytes))) ?? {};
        expect(await shared.objects()).toEqual([version]);
        expect((await bytesOf(later, digestOf(bytes)))?.equals(bytes)).toBe(true);
      },
    );

    it('delete() of a version never hits bytes that another process pushed again', async () => {
      const [first, second] = [await shared.open(), await shared.open()];
      const bytes = patternBytes(1000);
      for (let round = 0; round < 10; round++) {
        const { version } = await put(first, `push-${round}`, bytes);
        const [, isDeleted] = await Promise.all([
          put(second, `again-${round}`, bytes),
          first.delete(digestOf(bytes), version),
        ]);
        expect(typeof isDeleted).toBe('boolean');
        expect(await first.delete(digestOf(bytes), version)).toBe(false);
        expect(await bytesOf(first, digestOf(bytes))).toEqual(bytes);
      }
      const later = await shared.open({ now: () => Date.now() + 48 * 3_600_000 });
      await later.emptyTrash();
      expect(await bytesOf(second, digestOf(bytes))).toEqual(bytes);
      expect(await shared.objects()).toHaveLength(1);
    });
  });
}

async function collectIds(store: BlobStore): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const { id } of store.listStaged()) ids.push(id);
  return ids;
}

/** Returns whether the first process committed before it was killed: then nothing is staged. */
async function isThere(store: BlobStore, bytes: Buffer, id: string): Promise<boolean> {
  return (await store.stat(digestOf(bytes))) !== undefined && !(await collectIds(store)).includes(id);
}

/** Sends the bytes that are missing, in chunks, and commits. */
async function upload(store: BlobStore, id: string, bytes: Buffer, step: number): Promise<void> {
  for (let at = (await store.stage(id)).size; at < bytes.length; at = (await store.stage(id)).size) {
    const chunk = bytes.subarray(at, at + step);
    await (await store.stage(id)).append(sourceOf(chunk, MiB), { isResumable: step < bytes.length });
  }
  await (await store.stage(id)).commit(digestOf(bytes));
}
