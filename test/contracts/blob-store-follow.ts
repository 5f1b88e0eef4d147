import { PassThrough, Writable } from 'node:stream';
import { expect, it } from 'vitest';
import type { BlobContent, BlobStore } from '../../src/ports/bytes.js';
import { digestOf } from '../../src/protocol/digest.js';
import { readBytes } from '../../src/util/streams/streams.js';
import { CollectingSink, KiB, MiB, patternBytes, sourceOf, StuckSink } from '../support/content/bytes.js';

/** A reader that collects the bytes received so far, and how it ended. */
class Reader {
  readonly ended: Promise<'complete' | Error>;
  readonly #sink: Writable;
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(content: BlobContent) {
    this.#sink = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.#chunks.push(Buffer.from(chunk));
        this.#size += chunk.length;
        done();
      },
    });
    this.ended = content.writeTo(this.#sink).then(
      () => 'complete' as const,
      (error: Error) => error,
    );
  }

  get size(): number {
    return this.#size;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  leave(): void {
    this.#sink.destroy();
  }
}

/** Waits until the reader has this many bytes, and checks that it has no more. */
async function expectBytes(reader: Reader, size: number): Promise<void> {
  await expect.poll(() => reader.size, { interval: 2 }).toBeGreaterThanOrEqual(size);
  expect(reader.size).toBe(size);
}

const transient = { transient: true };

/** Tests `StagedBlob.follow`, which reads bytes as they arrive. */
export function following(store: () => BlobStore): void {
  for (const size of [100, 3 * MiB + 5]) {
    const half = Math.floor(size / 2);
    const bytes = patternBytes(size);

    it(`follow() delivers ${size} bytes as they arrive`, async () => {
      const staged = await store().stage('landing', transient);
      const fresh = new Reader(staged.follow(size));
      await staged.append(sourceOf(bytes.subarray(0, half)));
      await expectBytes(fresh, half);
      const partial = new Reader(staged.follow(size));
      await expectBytes(partial, half);
      await staged.append(sourceOf(bytes.subarray(half)));
      // The last byte is withheld.
      await expectBytes(fresh, size - 1);
      const complete = new Reader(staged.follow(size));
      await expectBytes(complete, size - 1);
      await staged.commit(digestOf(bytes));
      const late = new Reader(staged.follow(size));
      for (const reader of [fresh, partial, complete, late]) {
        expect(await reader.ended).toBe('complete');
        expect(reader.bytes.equals(bytes)).toBe(true);
      }
      expect(staged.follow(size).size).toBe(size);
    });

    it(`follow() delivers ranges of ${size} bytes, and only the last byte waits for the commit`, async () => {
      const staged = await store().stage('ranges', transient);
      const ranges = [
        [0, 0],
        [0, half],
        [half, half],
        [half - 1, size - 2],
        [size - 2, size - 2],
        [size - 1, size - 1],
        [0, size - 1],
      ].map(([start = 0, end = 0]) => ({ start, end }));
      const follow = (): Reader[] => ranges.map((range) => new Reader(staged.follow(size, range)));
      const before = follow();
      await staged.append(sourceOf(bytes.subarray(0, half)));
      const between = follow();
      expect(await before[0]?.ended).toBe('complete');
      await staged.append(sourceOf(bytes.subarray(half)));
      for (const reader of [...before.slice(0, 5), ...between.slice(0, 5)]) expect(await reader.ended).toBe('complete');
      await expectBytes(before[6] as Reader, size - 1);
      await expectBytes(before[5] as Reader, 0);
      await staged.commit(digestOf(bytes));
      const after = follow();
      for (const readers of [before, between, after]) {
        for (const [index, { start, end }] of ranges.entries()) {
          expect(await readers[index]?.ended).toBe('complete');
          expect(readers[index]?.bytes.equals(bytes.subarray(start, end + 1))).toBe(true);
        }
      }
    });

    it(`follow() rejects readers of ${size} bytes when they are discarded or have the wrong digest`, async () => {
      for (const isCommitted of [false, true]) {
        const staged = await store().stage('wrong', transient);
        const readers = [new Reader(staged.follow(size)), new Reader(staged.follow(size, { start: 9, end: size - 1 }))];
        await staged.append(sourceOf(bytes));
        await expectBytes(readers[0] as Reader, size - 1);
        if (isCommitted) await expect(staged.commit(digestOf(bytes.subarray(1)))).rejects.toThrow('given digest');
        else await staged.discard();
        for (const reader of readers) expect(await reader.ended).toBeInstanceOf(Error);
        expect(readers[0]?.size).toBe(size - 1);
        await staged.discard();
        expect(await new Reader(staged.follow(size)).ended).toBeInstanceOf(Error);
      }
    });

    it(`follow() rejects when ${size} bytes arrive instead of the expected number`, async () => {
      const staged = await store().stage('length', transient);
      const totals = [size - 1, size + 1, size + 1000];
      const readers = totals.map((total) => new Reader(staged.follow(total)));
      await staged.append(sourceOf(bytes));
      await staged.commit(digestOf(bytes));
      for (const reader of readers)
        expect(await reader.ended).toMatchObject({
          message: expect.stringMatching(/has \d+ bytes instead of/) as string,
        });
      for (const [index, total] of totals.entries()) expect(readers[index]?.size).toBeLessThan(total);
      expect(await new Reader(staged.follow(size + 1)).ended).toBeInstanceOf(Error);
    });

    it(`follow() rejects only readers that have read truncated bytes, of ${size} bytes`, async () => {
      const staged = await store().stage('cut', transient);
      await staged.append(sourceOf(bytes.subarray(0, half)));
      const far = new Reader(staged.follow(size));
      const near = new Reader(staged.follow(size, { start: 0, end: 9 }));
      const waiting = new Reader(staged.follow(size, { start: half, end: size - 1 }));
      await expectBytes(far, half);
      expect(await near.ended).toBe('complete');
      await staged.truncate(10);
      expect(await far.ended).toMatchObject({
        message: expect.stringMatching(/truncated while it was read/) as string,
      });
      await staged.append(sourceOf(bytes.subarray(10)));
      await staged.commit(digestOf(bytes));
      expect(await waiting.ended).toBe('complete');
      expect(waiting.bytes.equals(bytes.subarray(half))).toBe(true);
    });
  }

  it('follow() ends empty content with the commit', async () => {
    const staged = await store().stage('empty', transient);
    const reader = new Reader(staged.follow(0));
    const other = await store().stage('empty-not', transient);
    const wrong = new Reader(other.follow(0));
    await other.append(sourceOf(Buffer.from('x')));
    await other.commit(digestOf(Buffer.from('x')));
    expect(await wrong.ended).toBeInstanceOf(Error);
    await staged.append(sourceOf(Buffer.alloc(0)));
    await staged.commit(digestOf(Buffer.alloc(0)));
    expect(await reader.ended).toBe('complete');
    expect(await new Reader(staged.follow(0)).ended).toBe('complete');
  });

  it('follow() delivers the bytes of a slow source without waiting for a full batch', async () => {
    const bytes = patternBytes(300);
    const staged = await store().stage('trickle', transient);
    const source = new PassThrough();
    const appending = staged.append(source);
    source.write(bytes.subarray(0, 100));
    // Joins when these bytes have already arrived and no more follow.
    await new Promise((resolve) => setTimeout(resolve, 5));
    const reader = new Reader(staged.follow(300));
    await expectBytes(reader, 100);
    source.write(bytes.subarray(100, 150));
    source.write(bytes.subarray(150, 200));
    await expectBytes(reader, 200);
    source.end(bytes.subarray(200));
    await appending;
    await staged.commit(digestOf(bytes));
    expect(await reader.ended).toBe('complete');
    expect(reader.bytes.equals(bytes)).toBe(true);
  });

  it('follow() serves 50 readers that join at different times, read at different speeds, or leave', async () => {
    const size = 2 * MiB + 77;
    const bytes = patternBytes(size);
    const staged = await store().stage('crowd', transient);
    const stuck = new StuckSink();
    const stuckReading = staged.follow(size).writeTo(stuck);
    const leaving = new Reader(staged.follow(size));
    const reading: Promise<void>[] = [];
    const sinks: CollectingSink[] = [];
    const join = (delayMs: number): void => {
      const sink = new CollectingSink(delayMs);
      sinks.push(sink);
      reading.push(staged.follow(size).writeTo(sink));
    };
    for (let at = 0, step = 41 * KiB; at < size; at += step) {
      if (sinks.length < 50) join(sinks.length % 4);
      await staged.append(sourceOf(bytes.subarray(at, at + step)));
      if (at > MiB) leaving.leave();
    }
    while (sinks.length < 50) join(1);
    await staged.commit(digestOf(bytes));
    await Promise.all(reading);
    expect(sinks).toHaveLength(50);
    for (const sink of sinks) expect(sink.bytes.equals(bytes)).toBe(true);
    expect(await leaving.ended).toMatchObject({ message: 'sink closed early' });
    stuck.destroy();
    await expect(stuckReading).rejects.toThrow('sink closed early');
  });

  it('follow() notices immediately that a waiting reader has left', async () => {
    const staged = await store().stage('gone', transient);
    await staged.append(sourceOf(Buffer.from('abc')));
    const content = staged.follow(10);
    const reader = new Reader(content);
    await expectBytes(reader, 3);
    reader.leave();
    expect(await reader.ended).toMatchObject({ message: 'sink closed early' });
    await expect(content.writeTo(new CollectingSink().destroy())).rejects.toThrow('sink closed early');
    const failing = new Writable({ write: (_chunk, _encoding, done) => done(new Error('no more')) });
    await expect(content.writeTo(failing.on('error', () => undefined))).rejects.toThrow('sink failed');
  });

  it('follow() never delivers bytes that were staged later under the same id', async () => {
    const bytes = patternBytes(2 * MiB);
    const staged = await store().stage('again', transient);
    await staged.append(sourceOf(bytes));
    const reader = new CollectingSink(1);
    const reading = staged.follow(bytes.length).writeTo(reader);
    await staged.commit(digestOf(bytes));
    await (await store().stage('again', transient)).append(sourceOf(patternBytes(2 * MiB, 9)));
    expect((await readBytes(staged.follow(bytes.length))).equals(bytes)).toBe(true);
    await store().delete(digestOf(bytes));
    await reading;
    expect(reader.bytes.equals(bytes)).toBe(true);
    await (await store().stage('again', transient)).discard();
  });

  it('follow() rejects when the store closes', async () => {
    const staged = await store().stage('closing', transient);
    await staged.append(sourceOf(Buffer.from('abc')));
    const reader = new Reader(staged.follow(10));
    await expectBytes(reader, 3);
    await store().close();
    expect(await reader.ended).toMatchObject({ message: expect.stringMatching(/closed/) as string });
  });
}
