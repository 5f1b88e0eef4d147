import { expect, it } from 'vitest';
import type { BlobInfo, BlobStore } from '../../src/ports/bytes.js';
import { digestOf, type Digest } from '../../src/protocol/digest.js';
import { MiB, patternBytes, sourceOf } from '../support/content/bytes.js';
import { bytesOf, collect, put } from './blob-store-published.js';

const bytes = patternBytes(5000);
const digest = digestOf(bytes);
const unknown = digestOf(Buffer.from('unknown content'));

/** Stages bytes, and commits them without waiting for the disk. */
export async function putUnsynced(store: BlobStore, id: string, content: Buffer): Promise<BlobInfo> {
  const staged = await store.stage(id);
  await staged.append(sourceOf(content));
  return staged.commit(digestOf(content), { durable: false });
}

/** Makes blobs durable. Returns those that the store has. */
export function settled(store: BlobStore, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, BlobInfo>> {
  return store.settle(digests, async (found) => found);
}

/** Tests blobs that are committed without waiting for the disk. */
export function settling(store: () => BlobStore, reopen: () => Promise<void>): void {
  it.each([0, 5000, 2 * MiB])('commit() without durability publishes %i bytes at once', async (size) => {
    const content = patternBytes(size);
    const info = await putUnsynced(store(), 'soon', content);
    expect(await store().stat(info.digest)).toEqual(info);
    expect((await bytesOf(store(), info.digest))?.equals(content)).toBe(true);
    expect(await collect(store().listStaged())).toEqual([]);
  });

  it('list() includes blobs that were committed without durability', async () => {
    await putUnsynced(store(), 'soon', bytes);
    const listed = await collect(store().list());
    expect(listed.map((info) => info.digest)).toEqual([digest]);
  });

  it('settle() returns the blobs that the store has, whether or not they were durable', async () => {
    const durable = await put(store(), 'durable', patternBytes(10));
    await putUnsynced(store(), 'soon', bytes);
    for (let time = 0; time < 2; time++) {
      const found = await settled(store(), [digest, unknown, durable.digest]);
      expect([...found].map(([key, { size }]) => [key, size])).toEqual([
        [digest, 5000],
        [durable.digest, 10],
      ]);
    }
    expect(await bytesOf(store(), digest)).toEqual(bytes);
  });

  it('settle() returns what the write returns, and throws what it throws', async () => {
    await putUnsynced(store(), 'soon', bytes);
    expect(await store().settle([digest], async (found) => found.get(digest)?.size)).toBe(5000);
    const failure = new Error('the index failed');
    await expect(store().settle([digest], () => Promise.reject(failure))).rejects.toBe(failure);
    expect((await settled(store(), [digest])).size).toBe(1);
  });

  it('settle() keeps what is committed during the write', async () => {
    await putUnsynced(store(), 'soon', bytes);
    await store().settle([digest, digest], async () => {
      await store().delete(digest, (await store().stat(digest))?.version);
      await putUnsynced(store(), 'again', bytes);
      await store().settle([digest], () => putUnsynced(store(), 'once-more', bytes));
    });
    expect(await bytesOf(store(), digest)).toEqual(bytes);
  });

  it('close() keeps blobs that were committed without durability', async () => {
    await putUnsynced(store(), 'soon', bytes);
    await reopen();
    expect(await bytesOf(store(), digest)).toEqual(bytes);
    expect((await settled(store(), [digest])).get(digest)).toMatchObject({ size: 5000 });
  });

  it('commit() with and without durability accepts one digest several times concurrently', async () => {
    const ids = ['a', 'b', 'c', 'd'];
    await Promise.all(ids.map((id, i) => (i % 2 === 0 ? put(store(), id, bytes) : putUnsynced(store(), id, bytes))));
    await Promise.all([settled(store(), [digest]), settled(store(), [digest]), putUnsynced(store(), 'e', bytes)]);
    expect(await bytesOf(store(), digest)).toEqual(bytes);
    expect(await collect(store().list())).toHaveLength(1);
  });

  it('delete() removes a blob that was committed without durability', async () => {
    const info = await putUnsynced(store(), 'soon', bytes);
    expect(await store().delete(digest, info.version)).toBe(true);
    expect(await store().stat(digest)).toBeUndefined();
    expect((await settled(store(), [digest])).size).toBe(0);
    await reopen();
    expect(await store().stat(digest)).toBeUndefined();
  });

  it('commit() without durability rejects a wrong digest, and keeps the bytes staged', async () => {
    const staged = await store().stage('mismatch');
    await staged.append(sourceOf(bytes));
    await expect(staged.commit(unknown, { durable: false })).rejects.toMatchObject({ code: 'DIGEST_INVALID' });
    expect(staged.size).toBe(5000);
    await expect(staged.commit(digest, { durable: false })).resolves.toMatchObject({ size: 5000 });
  });
}
