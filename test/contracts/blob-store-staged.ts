import { expect, it } from 'vitest';
import type { BlobStore, StagedBlob } from '../../src/ports/bytes.js';
import { digestOf } from '../../src/protocol/digest.js';
import { brokenSource, KiB, MiB, patternBytes, sourceOf } from '../support/content/bytes.js';
import { bytesOf, collect } from './blob-store-published.js';

/** Tests staging, appending to and truncating bytes. */
export function staging(store: () => BlobStore): void {
  it('stage() returns the same object while it is open, which is empty at first', async () => {
    const staged = await store().stage('same');
    expect(staged.size).toBe(0);
    expect(await store().stage('same')).toBe(staged);
    await staged.discard();
    const next = await store().stage('same');
    expect(next).not.toBe(staged);
    expect(next.size).toBe(0);
  });

  it.each(['', '../up', 'a/b', 'a.b', '.', 'x\0', 'ä', 'a'.repeat(129)])('stage() rejects the id %j', async (id) => {
    await expect(store().stage(id)).rejects.toThrow(TypeError);
  });

  it.each([
    [1, 3000],
    [1000, 500 * KiB],
    [64 * KiB, 5 * MiB + 3],
    [3 * MiB, 7 * MiB],
  ])('append() accepts chunks of %i bytes in several calls, %i bytes in total', async (piece, size) => {
    const bytes = patternBytes(size);
    const staged = await store().stage('pieces');
    const cuts = [0, 1, 1, Math.floor(size / 3), size - 1, size];
    for (let index = 1; index < cuts.length; index++) {
      const part = bytes.subarray(cuts[index - 1], cuts[index]);
      expect(await staged.append(sourceOf(part, piece))).toBe(cuts[index]);
      expect(staged.size).toBe(cuts[index]);
    }
    await staged.commit(digestOf(bytes));
    expect((await bytesOf(store(), digestOf(bytes)))?.equals(bytes)).toBe(true);
  });

  it.each([
    ['to the offset before the last append, small', 100, 200, 100],
    ['to the offset before the last append, large', 2 * MiB, 4 * MiB, 2 * MiB],
    ['from large to small', 100, 4 * MiB, 100],
    ['to another offset, small', 100, 200, 50],
    ['to another offset, large', 2 * MiB, 4 * MiB, 3 * MiB],
    ['to nothing, small', 100, 200, 0],
    ['to nothing, large', 2 * MiB, 4 * MiB, 0],
    ['to the current size', 2 * MiB, 4 * MiB, 4 * MiB],
    ['to the end of an append, larger', 6 * MiB, 11 * MiB, 6 * MiB],
  ])('truncate() returns %s', async (_name, first, second, back) => {
    const wrong = patternBytes(second, 7);
    const right = Buffer.concat([wrong.subarray(0, back), patternBytes(3 * MiB, 8)]);
    const staged = await store().stage('truncated');
    await staged.append(sourceOf(wrong.subarray(0, first)));
    await staged.append(sourceOf(wrong.subarray(first)));
    await staged.truncate(back);
    expect(staged.size).toBe(back);
    await staged.append(sourceOf(right.subarray(back)));
    // Truncates to the same point again: the kept hash must have survived its first use.
    await staged.truncate(back);
    await staged.append(sourceOf(right.subarray(back)));
    await staged.commit(digestOf(right));
    expect((await bytesOf(store(), digestOf(right)))?.equals(right)).toBe(true);
  });

  it('truncate() rejects a larger size, and commit() accepts the remaining bytes', async () => {
    const bytes = patternBytes(200);
    const staged = await store().stage('cut');
    await staged.append(sourceOf(bytes));
    await expect(staged.truncate(201)).rejects.toThrow(RangeError);
    await staged.truncate(30);
    await expect(staged.commit(digestOf(bytes.subarray(0, 30)))).resolves.toMatchObject({ size: 30 });
  });

  it.each([0, 10, 3 * MiB])('digest() returns the digest of the %i bytes so far, with any algorithm', async (size) => {
    const bytes = patternBytes(size);
    const staged = await store().stage('hashed');
    await staged.append(sourceOf(bytes));
    for (const algorithm of ['sha256', 'sha512', 'sha256'] as const) {
      expect(await staged.digest(algorithm)).toBe(digestOf(bytes, algorithm));
    }
    await staged.append(sourceOf(Buffer.from('more')));
    const more = digestOf(Buffer.concat([bytes, Buffer.from('more')]));
    expect(await staged.digest('sha256')).toBe(more);
    await expect(staged.commit(more)).resolves.toMatchObject({ size: size + 4 });
  });

  it('stagedSize() returns the number of staged bytes, and stages nothing itself', async () => {
    expect(await store().stagedSize('measured')).toBe(0);
    const staged = await store().stage('measured');
    expect(await store().stagedSize('measured')).toBe(0);
    await staged.append(sourceOf(patternBytes(3 * MiB)));
    expect(await store().stagedSize('measured')).toBe(3 * MiB);
    await staged.truncate(0);
    expect(await store().stagedSize('measured')).toBe(0);
    await staged.discard();
    expect(await store().stagedSize('measured')).toBe(0);
    expect(await collect(store().listStaged())).toEqual([]);
  });

  it('discard() works at any time and twice', async () => {
    for (const size of [0, 10, 3 * MiB]) {
      const staged: StagedBlob = await store().stage(`discarded-${size}`);
      await staged.append(sourceOf(patternBytes(size)));
      await staged.discard();
      await staged.discard();
      await expect(staged.append(sourceOf(patternBytes(1)))).rejects.toThrow('gone');
    }
    expect(await collect(store().listStaged())).toEqual([]);
    await (await store().stage('committed')).commit(digestOf(Buffer.alloc(0)));
    await expect(store().stage('committed')).resolves.toMatchObject({ size: 0 });
  });
}

/** Tests failing sources and limits. */
export function breaking(store: () => BlobStore): void {
  it.each([10, 700 * KiB, 3 * MiB])(
    'append() keeps the %i bytes that arrived before the source failed',
    async (size) => {
      const bytes = patternBytes(size + 10);
      const staged = await store().stage('broken');
      const cause = new Error('connection reset');
      const appending = staged.append(brokenSource(bytes.subarray(0, size), cause));
      await expect(appending).rejects.toMatchObject({ message: 'source closed early', cause });
      expect(staged.size).toBe(size);
      expect(await staged.append(sourceOf(bytes.subarray(size)))).toBe(size + 10);
      await expect(staged.commit(digestOf(bytes))).resolves.toMatchObject({ size: size + 10 });
    },
  );

  it('append() rejects when the source closes without an error or was already destroyed', async () => {
    const staged = await store().stage('closed');
    const source = brokenSource(patternBytes(100), undefined);
    await expect(staged.append(source)).rejects.toThrow('source closed early');
    expect(staged.size).toBe(100);
    await expect(staged.append(source)).rejects.toThrow('source closed early');
    expect(staged.size).toBe(100);
  });

  it('append() treats a source that has already ended as empty', async () => {
    const source = sourceOf(patternBytes(10));
    const staged = await store().stage('ended');
    await staged.append(source);
    expect(await staged.append(source)).toBe(10);
  });

  it.each([
    [100, 100, 'resolved'],
    [101, 100, 'SIZE_INVALID'],
    [1, 0, 'SIZE_INVALID'],
    [0, 0, 'resolved'],
    [3 * MiB, 3 * MiB, 'resolved'],
    [3 * MiB, 2 * MiB + 1, 'SIZE_INVALID'],
  ])('append() of %i bytes with maxBytes %i: %s', async (size, maxBytes, outcome) => {
    const bytes = patternBytes(size);
    const staged = await store().stage('bounded');
    await staged.append(sourceOf(Buffer.from('abc')));
    const source = sourceOf(bytes);
    const appending = staged.append(source, { maxBytes });
    if (outcome === 'resolved') await expect(appending).resolves.toBe(3 + size);
    else await expect(appending).rejects.toMatchObject({ code: outcome });
    expect(staged.size).toBe(3 + Math.min(size, maxBytes));
    if (size > MiB) expect(source.destroyed).toBe(outcome === 'resolved');
    await staged.truncate(3);
    await expect(staged.commit(digestOf(Buffer.from('abc')))).resolves.toMatchObject({ size: 3 });
  });
}
