import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import type { BlobInfo, BlobStore } from '../../src/ports/bytes.js';
import { digestOf, type Digest } from '../../src/protocol/digest.js';
import { readBytes } from '../../src/util/streams/streams.js';
import { CollectingSink, KiB, MiB, patternBytes, sourceOf, StuckSink } from '../support/content/bytes.js';

const unknownDigest = digestOf(Buffer.from('unknown content'));

/** Stages and commits bytes. */
export async function put(store: BlobStore, id: string, bytes: Buffer, digest = digestOf(bytes)): Promise<BlobInfo> {
  const staged = await store.stage(id);
  await staged.append(sourceOf(bytes));
  return staged.commit(digest);
}

/** Reads a blob; `undefined` when the store does not have it. */
export async function bytesOf(store: BlobStore, digest: Digest): Promise<Buffer | undefined> {
  const content = await store.read(digest);
  return content === undefined ? undefined : readBytes(content);
}

/** Collects all items. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Tests committing, listing and deleting blobs. */
export function publishing(store: () => BlobStore): void {
  const sizes = [0, 1, 64 * KiB, MiB - 1, MiB, MiB + 1, 10 * MiB + 7];
  it.each(sizes)('commit() stores %i bytes', async (size) => {
    const bytes = patternBytes(size);
    const digest = digestOf(bytes);
    const before = Date.now();
    const info = await put(store(), 'sized', bytes);
    expect(info).toMatchObject({ digest, size, modifiedAt: expect.any(Number) as number });
    expect(Math.abs(info.modifiedAt - before)).toBeLessThan(10_000);
    expect(await store().stat(digest)).toEqual(info);
    expect((await bytesOf(store(), digest))?.equals(bytes)).toBe(true);
    expect(await collect(store().listStaged())).toEqual([]);
  });

  it.each([10, 2 * MiB])('commit() accepts the sha512 digest of %i bytes', async (size) => {
    const bytes = patternBytes(size);
    const digest = digestOf(bytes, 'sha512');
    await put(store(), 'other', bytes, digest);
    expect(await store().stat(digest)).toMatchObject({ digest, size });
    expect((await bytesOf(store(), digest))?.equals(bytes)).toBe(true);
    expect(await store().stat(digestOf(bytes))).toBeUndefined();
  });

  it('stage() accepts the algorithm of the expected digest', async () => {
    const bytes = patternBytes(2 * MiB);
    const staged = await store().stage('announced', { algorithm: 'sha512' });
    await staged.append(sourceOf(bytes));
    await expect(staged.commit(digestOf(bytes, 'sha512'))).resolves.toMatchObject({ size: 2 * MiB });
  });

  it.each([10, 2 * MiB])('commit() rejects a wrong digest of %i bytes, and keeps them staged', async (size) => {
    const bytes = patternBytes(size);
    const staged = await store().stage('mismatch');
    await staged.append(sourceOf(bytes));
    await expect(staged.commit(unknownDigest)).rejects.toMatchObject({
      code: 'DIGEST_INVALID',
      detail: { expected: unknownDigest, found: digestOf(bytes) },
    });
    expect(await store().stat(unknownDigest)).toBeUndefined();
    expect(staged.size).toBe(size);
    await expect(staged.commit(digestOf(bytes))).resolves.toMatchObject({ size });
  });

  it('commit() accepts the same digest several times concurrently', async () => {
    const bytes = patternBytes(2 * MiB);
    const ids = ['a', 'b', 'c', 'd'];
    await Promise.all(ids.map((id) => put(store(), id, bytes)));
    expect((await bytesOf(store(), digestOf(bytes)))?.equals(bytes)).toBe(true);
    expect(await collect(store().list())).toHaveLength(1);
  });

  it('commit() accepts different blobs concurrently', async () => {
    const blobs = [1, 2, 3, 4, 5].map((seed) => patternBytes(seed * 700 * KiB, seed));
    await Promise.all(blobs.map((bytes, index) => put(store(), `blob-${index}`, bytes)));
    for (const bytes of blobs) expect((await bytesOf(store(), digestOf(bytes)))?.equals(bytes)).toBe(true);
  });

  it('list() and listStaged() return blobs and staged bytes', async () => {
    const infos = await Promise.all([1, 2, 3].map((seed) => put(store(), `l${seed}`, patternBytes(seed * 10, seed))));
    await (await store().stage('listed')).append(sourceOf(patternBytes(77)));
    const found = await collect(store().list());
    expect(found.toSorted((a, b) => a.size - b.size)).toEqual(infos);
    expect(await collect(store().listStaged())).toEqual([
      { id: 'listed', size: 77, modifiedAt: expect.any(Number) as number },
    ]);
  });

  it('delete() removes a blob, and returns whether it existed', async () => {
    const digest = digestOf(patternBytes(10));
    await put(store(), 'deleted', patternBytes(10));
    expect(await store().delete(digest)).toBe(true);
    expect(await store().delete(digest)).toBe(false);
    expect(await store().stat(digest)).toBeUndefined();
    expect(await store().read(digest)).toBeUndefined();
  });

  it('delete() with the version that stat() returned removes the blob', async () => {
    const digest = digestOf(patternBytes(10));
    await put(store(), 'deleted', patternBytes(10));
    const version = (await store().stat(digest))?.version;
    expect(await store().delete(digest, version)).toBe(true);
    expect(await store().stat(digest)).toBeUndefined();
  });

  it('delete() with the version of bytes that were published again keeps the new ones', async () => {
    const digest = digestOf(patternBytes(10));
    await put(store(), 'first', patternBytes(10));
    const version = (await store().stat(digest))?.version;
    await put(store(), 'second', patternBytes(10));
    // A store without versions replaces bytes in place.
    if (version === undefined) return;
    expect((await store().stat(digest))?.version).not.toBe(version);
    expect(await store().delete(digest, version)).toBe(false);
    expect(await bytesOf(store(), digest)).toEqual(patternBytes(10));
  });
}

/** Tests reading blobs. */
export function reading(store: () => BlobStore): void {
  it('stat() and read() return undefined for an unknown digest', async () => {
    expect(await store().stat(unknownDigest)).toBeUndefined();
    expect(await store().read(unknownDigest)).toBeUndefined();
  });

  const size = 3 * MiB + 11;
  const ranges = [
    { start: 0, end: 0 },
    { start: size - 1, end: size - 1 },
    { start: 0, end: size - 1 },
    { start: MiB - 1, end: MiB },
    { start: 5, end: 2 * MiB + 6 },
  ];
  it('read() returns a range with the size of the whole blob', async () => {
    const bytes = patternBytes(size);
    await put(store(), 'ranged', bytes);
    for (const range of ranges) {
      const content = await store().read(digestOf(bytes), range);
      expect(content?.size).toBe(size);
      const found = content === undefined ? undefined : await readBytes(content);
      expect(found?.equals(bytes.subarray(range.start, range.end + 1))).toBe(true);
    }
  });

  it('writeTo() respects the backpressure of a slow sink, and does not end it', async () => {
    const bytes = patternBytes(2 * MiB + 1);
    await put(store(), 'slow', bytes);
    const sink = new CollectingSink(2);
    await (await store().read(digestOf(bytes)))?.writeTo(sink);
    expect(sink.writableEnded).toBe(false);
    expect(sink.bytes.equals(bytes)).toBe(true);
  });

  it('writeTo() writes the same content to several sinks', async () => {
    const bytes = patternBytes(2 * MiB + 1);
    await put(store(), 'many', bytes);
    const content = await store().read(digestOf(bytes));
    const sinks = Array.from({ length: 5 }, (_, index) => new CollectingSink(index));
    await Promise.all(sinks.map(async (sink) => content?.writeTo(sink)));
    for (const sink of sinks) expect(sink.bytes.equals(bytes)).toBe(true);
  });

  it('writeTo() rejects when the sink closes or was already closed', async () => {
    const bytes = patternBytes(3 * MiB);
    await put(store(), 'leaving', bytes);
    const content = await store().read(digestOf(bytes));
    const sink = new StuckSink();
    const writing = expect(content?.writeTo(sink)).rejects.toThrow('sink closed early');
    await sink.reached;
    sink.destroy();
    await writing;
    await expect(content?.writeTo(sink)).rejects.toThrow('sink closed early');
  });

  it('writeTo() rejects when the sink fails', async () => {
    await put(store(), 'failing', patternBytes(3 * MiB));
    const content = await store().read(digestOf(patternBytes(3 * MiB)));
    const sink = new Writable({ write: (_chunk, _encoding, done) => done(new Error('no more')) });
    sink.on('error', () => undefined);
    await expect(content?.writeTo(sink)).rejects.toMatchObject({
      message: 'sink failed',
      cause: { message: 'no more' },
    });
  });

  it('writeTo() completes when the blob is deleted meanwhile', async () => {
    const bytes = patternBytes(4 * MiB);
    await put(store(), 'gone', bytes);
    const content = await store().read(digestOf(bytes));
    const sink = new CollectingSink(0, () => store().delete(digestOf(bytes)));
    await content?.writeTo(sink);
    expect(sink.bytes.equals(bytes)).toBe(true);
  });
}
