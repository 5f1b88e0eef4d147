import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as fc from 'fast-check';
import { Level } from 'level';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readBatch, readLog, readLogNumber, type LogEntry } from '../../../../src/storage/level/database/level-log.js';
import { makeScratchFolder } from '../../../support/storage/scratch.js';

const firstKey = '!\0batch';
const batchCount = 24;

/** Sizes around the block size, so that records are whole, split in two and split into many parts. */
const sizeOf = (i: number): number => [10, 300, 5000, 32_700, 32_720, 70_000, 1][i % 7] ?? 0;

function numbersOf(entries: readonly LogEntry[], wholeOnly = true): number[] {
  return entries.flatMap((entry) => {
    if (entry.type === 'gap' || (wholeOnly && !entry.whole)) return [];
    const batch = readBatch(entry.payload);
    return batch?.key === firstKey ? [Number(batch.value)] : [];
  });
}

describe('readLog', () => {
  let folder: string;
  let log: Buffer;

  const readFirst = async (where: string, pattern: RegExp): Promise<Buffer> => {
    const [name = ''] = (await readdir(where)).filter((each) => pattern.test(each));
    return readFile(path.join(where, name));
  };
  /** Returns the batches that LevelDB itself recovers from these bytes. */
  const recover = async (content: Buffer): Promise<number[]> => {
    const copy = await makeScratchFolder();
    try {
      const level = new Level(copy);
      await level.open();
      await level.close();
      const [name = ''] = (await readdir(copy)).filter((each) => each.endsWith('.log'));
      await writeFile(path.join(copy, name), content);
      await level.open();
      const numbers = (await level.keys({ gt: 'n', lt: 'o' }).all()).map((key) => Number(key.slice(1)));
      await level.close();
      return numbers.sort((a, b) => a - b);
    } finally {
      await rm(copy, { recursive: true });
    }
  };

  beforeAll(async () => {
    folder = await makeScratchFolder();
    const level = new Level(folder);
    await level.open();
    for (let i = 1; i <= batchCount; i++) {
      const batch = level
        .batch()
        .put(firstKey, `${i}`)
        .put(`n${i}`, 'x'.repeat(sizeOf(i)));
      await batch.write();
    }
    log = await readFirst(folder, /\.log$/);
    await level.close();
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('returns every record up to the end of the log', () => {
    const entries = readLog(log, firstKey);
    expect(entries.filter(({ type }) => type === 'gap')).toEqual([]);
    expect(numbersOf(entries)).toEqual(Array.from({ length: batchCount }, (_, i) => i + 1));
  });

  const damage = fc.record({
    kind: fc.constantFrom('flip', 'zero', 'cut', 'garbage'),
    where: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.integer({ min: 1, max: 40_000 }),
    bit: fc.integer({ min: 0, max: 7 }),
  });
  const apply = ({ kind, where, length, bit }: typeof damage extends fc.Arbitrary<infer T> ? T : never): Buffer => {
    const content = Buffer.from(log);
    const offset = Math.min(Math.floor(where * content.length), content.length - 1);
    if (kind === 'cut') return content.subarray(0, offset);
    if (kind === 'zero') return content.fill(0, offset, Math.min(offset + length, content.length));
    if (kind === 'garbage') return content.fill('!\0batch', offset, Math.min(offset + length, content.length));
    content[offset] = (content[offset] ?? 0) ^ (1 << bit);
    return content;
  };

  it('returns the same batches as LevelDB after any damage', async () => {
    await fc.assert(
      fc.asyncProperty(damage, async (what) => {
        const content = apply(what);
        expect(numbersOf(readLog(content, firstKey))).toEqual(await recover(content));
      }),
      { numRuns: 30 },
    );
  });

  it('reveals a lost batch for any flipped bit, by a gap in the numbers or by an early end', () => {
    fc.assert(
      fc.property(fc.nat(log.length - 1), fc.nat(7), (offset, bit) => {
        const content = Buffer.from(log);
        content[offset] = (content[offset] ?? 0) ^ (1 << bit);
        const entries = readLog(content, firstKey);
        const numbers = numbersOf(entries);
        const isWhole = numbers.length === batchCount;
        // Only a flipped bit in the padding at the end of a block may go unnoticed.
        if (isWhole) expect(content[offset] === 1 << bit || entries.some(({ type }) => type === 'gap')).toBe(true);
        expect(numbersOf(entries, false).length).toBeGreaterThanOrEqual(numbers.length);
      }),
      { numRuns: 150 },
    );
  });

  it('returns batches that follow damage in a block, which LevelDB skips', () => {
    const content = Buffer.from(log);
    // In the first record, so that LevelDB loses the rest of its block.
    content[40] = (content[40] ?? 0) ^ 1;
    const entries = readLog(content, firstKey);
    expect(numbersOf(entries)[0]).toBeGreaterThan(3);
    expect(numbersOf(entries, false).slice(0, 3)).toEqual([2, 3, 4]);
  });

  it('finds the number of the log that the MANIFEST needs', async () => {
    const level = new Level(folder);
    await level.open();
    const manifest = await readFirst(folder, /^MANIFEST-/);
    const logs = (await readdir(folder)).filter((name) => name.endsWith('.log'));
    expect(logs.map((name) => Number.parseInt(name, 10))).toEqual([readLogNumber(manifest)]);
    await level.close();
  });
});
