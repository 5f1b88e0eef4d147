import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { chunksOf } from '../../../src/util/streams/chunks-of.js';
import { brokenSource, KiB, MiB, patternBytes, sourceOf } from '../../support/content/bytes.js';

const bytes = patternBytes(3 * MiB + 5);

async function take(source: Readable, maxBytes = Infinity): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunksOf(source, 256 * KiB)) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= maxBytes) break;
  }
  return Buffer.concat(chunks);
}

describe('chunksOf', () => {
  it.each([1000, 64 * KiB, 4 * MiB])('yields all bytes in order, from pieces of %i bytes', async (piece) => {
    expect((await take(sourceOf(bytes, piece))).equals(bytes)).toBe(true);
  });

  it('yields nothing for an empty source', async () => {
    expect(await take(Readable.from([]))).toEqual(Buffer.alloc(0));
  });

  it('yields the bytes that arrived before the source failed, and then rejects', async () => {
    const cause = new Error('connection lost');
    const received: Buffer[] = [];
    const reading = async (): Promise<void> => {
      for await (const chunk of chunksOf(brokenSource(bytes, cause), 256 * KiB)) received.push(chunk);
    };
    await expect(reading()).rejects.toMatchObject({ message: 'source closed early', cause });
    expect(Buffer.concat(received).equals(bytes)).toBe(true);
  });

  it('leaves the source paused when the loop ends early, having read little ahead', async () => {
    const source = sourceOf(bytes);
    await take(source, 1);
    expect([source.destroyed, source.isPaused(), source.listenerCount('data')]).toEqual([false, true, 0]);
    let left = 0;
    for await (const chunk of source as AsyncIterable<Buffer>) left += chunk.length;
    expect(left).toBeGreaterThan(MiB);
  });
});
