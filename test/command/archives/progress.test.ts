import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { formatBytes, formatProgress, ProgressStream } from '../../../src/command/archives/progress.js';

describe('formatBytes', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.00 KiB'],
    [1536 * 1024, '1.50 MiB'],
    [20 * 1024 ** 2, '20.0 MiB'],
    [250 * 1024 ** 3, '250 GiB'],
    [5000 * 1024 ** 4, '5000 TiB'],
  ])('formats %i bytes as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});

describe('formatProgress', () => {
  it.each<[string, number, number | undefined, number, string]>([
    ['a half with a bar', 512, 1024, 60, '[############           ]  50 %  512 B of 1.00 KiB  256 B/s'],
    ['at most 100 %', 2048, 1024, 30, '100 %  2.00 KiB of 1.00 KiB  1.00 KiB/s'],
    ['an unknown total without a bar', 2048, undefined, 80, '2.00 KiB  1.00 KiB/s'],
    ['an empty file', 0, 0, 80, '0 B  0 B/s'],
  ])('shows %s', (_name, bytes, total, columns, text) => {
    expect(formatProgress(bytes, total, 2, columns)).toBe(text);
  });
});

describe('ProgressStream', () => {
  async function drawn(isTTY: boolean): Promise<string> {
    const written: string[] = [];
    const sink = { isTTY, columns: 80, write: (text: string) => written.push(text) };
    let now = 0;
    const stream = new ProgressStream(sink, 4, () => (now += 60));
    const bytes = await buffer(Readable.from([Buffer.from('ab'), Buffer.from('c'), Buffer.from('d')]).pipe(stream));
    expect(bytes.toString()).toBe('abcd');
    return written.join('');
  }

  it('draws in place on a terminal, including the final state', async () => {
    const text = await drawn(true);
    expect(text.startsWith('\r[')).toBe(true);
    expect(text.split('\r').at(-1)).toMatch(/100 % {2}4 B of 4 B {2}/);
    expect(text.endsWith('\u001b[K\n')).toBe(true);
  });

  it('writes nothing if the sink is not a terminal', async () => {
    expect(await drawn(false)).toBe('');
  });
});
