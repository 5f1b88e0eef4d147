import { truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BufferPool, FileContent } from '../../../src/storage/files/file-content.js';
import { readBytes } from '../../../src/util/streams/streams.js';
import { CollectingSink, MiB, patternBytes, StuckSink } from '../../support/content/bytes.js';
import { checkNoLeak } from '../../support/storage/open-files.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

describe('FileContent and its buffers', () => {
  const size = 9 * MiB + 100_000;
  let root: string;
  let path: string;
  beforeEach(async () => {
    root = await makeScratchFolder();
    path = join(root, 'file');
    await writeFile(path, patternBytes(size));
  });
  afterEach(async () => {
    await checkNoLeak(root);
    await removeScratchFolder(root);
  });

  it('uses two buffers and returns them to the pool', async () => {
    const pool = new BufferPool(32);
    const content = new FileContent(path, size, undefined, pool);
    expect((await readBytes(content)).equals(patternBytes(size))).toBe(true);
    expect(pool.kept).toBe(2);
    await readBytes(content);
    expect(pool.kept).toBe(2);
  });

  it('uses no pooled buffer for small content', async () => {
    const pool = new BufferPool(1);
    await readBytes(new FileContent(path, size, { start: 5, end: 60_000 }, pool));
    expect(pool.kept).toBe(0);
  });

  it('does not return a buffer to the pool that a closed sink may still hold', async () => {
    const pool = new BufferPool(32);
    const sink = new StuckSink();
    const writing = expect(new FileContent(path, size, undefined, pool).writeTo(sink)).rejects.toThrow('closed early');
    await sink.reached;
    sink.destroy();
    await writing;
    // Only the buffer that was read ahead.
    expect(pool.kept).toBe(1);
  });

  it('lends two large buffers to a reader that is alone, and smaller ones to others, and keeps at most maxKept of these', async () => {
    const pool = new BufferPool(2);
    const taken = [pool.take(), pool.take(), pool.take(), pool.take(), pool.take()].map((buffer) => buffer!);
    expect(taken.map(({ length }) => length)).toEqual([4 * MiB, 4 * MiB, MiB / 2, MiB / 2, MiB / 2]);
    for (const buffer of taken) pool.give(buffer);
    expect(pool.kept).toBe(4);
    const again = [pool.take(), pool.take(), pool.take(), pool.take()];
    expect(again.every((buffer) => taken.includes(buffer!))).toBe(true);
  });

  it('returns the same bytes to readers with large and with small buffers', async () => {
    const pool = new BufferPool(32);
    const contents = await Promise.all(
      [1, 2, 3].map(() => readBytes(new FileContent(path, size, { start: 3, end: size - 2 }, pool))),
    );
    const expected = patternBytes(size).subarray(3, size - 1);
    expect(contents.map((bytes) => bytes.equals(expected))).toEqual([true, true, true]);
    expect(pool.lent).toBe(0);
    expect(pool.kept).toBeGreaterThan(2);
  });

  it('writes at most 1 MiB at a time', async () => {
    const lengths: number[] = [];
    const sink = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        lengths.push(chunk.length);
        done();
      },
    });
    await new FileContent(path, size, undefined, new BufferPool(2)).writeTo(sink);
    expect(Math.max(...lengths)).toBe(MiB);
    expect(lengths.reduce((sum, length) => sum + length)).toBe(size);
  });

  it('reads 64 KiB at a time when the pool is exhausted, and counts lent buffers', async () => {
    const pool = new BufferPool(32, 3);
    const sinks = [new StuckSink(), new StuckSink(), new StuckSink()];
    const writing = sinks.map((sink) =>
      new FileContent(path, size, undefined, pool).writeTo(sink).catch(() => 'closed'),
    );
    await Promise.all(sinks.map(({ reached }) => reached));
    expect(pool.lent).toBe(3);
    expect((await readBytes(new FileContent(path, size, undefined, pool))).equals(patternBytes(size))).toBe(true);
    for (const sink of sinks) sink.destroy();
    expect(await Promise.all(writing)).toEqual(['closed', 'closed', 'closed']);
    expect(pool.lent).toBe(0);
  });

  it('returns all buffers when the file is too short', async () => {
    const pool = new BufferPool(32);
    await truncate(path, 5 * MiB + 7);
    await expect(readBytes(new FileContent(path, size, undefined, pool))).rejects.toThrow('the file ends');
    expect(pool.kept).toBe(2);
  });

  it('opens no file for a closed sink, and rejects when the file is missing', async () => {
    const content = new FileContent(path, size, undefined, new BufferPool(1));
    await unlink(path);
    await expect(content.writeTo(new CollectingSink().destroy())).rejects.toThrow('closed early');
    await expect(content.writeTo(new CollectingSink())).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
