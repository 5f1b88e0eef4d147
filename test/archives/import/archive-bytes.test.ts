import type { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { unpack } from '../../../src/archives/import/archive-bytes.js';
import { zstdBlockHeader, zstdFrameHeader, zstdStored } from '../../support/content/archives.js';
import { TurnGate } from '../../../src/util/scheduling/turns.js';
import { brokenSource, KiB, MiB, patternBytes, sourceOf } from '../../support/content/bytes.js';

async function bytesOf(source: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of unpack(source, new TurnGate())) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Reads and drops the bytes, which are too large to keep. */
async function sizeOf(source: Readable): Promise<number> {
  let size = 0;
  for await (const chunk of unpack(source, new TurnGate())) size += chunk.length;
  return size;
}

const bytes = patternBytes(3 * MiB + 7);
/** Compressed by zstd -19: a single segment with a table and repeats. */
const packedText = Buffer.from('KLUv/QBotQAAYGhlbGxvIHpzdGQgCgIAMU+pwnjxAg==', 'base64');
const text = 'hello zstd hello zstd hello zstd hello zstd\n'.repeat(8);
const skippable = Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0]), Buffer.from('abc')]);

describe('unpack', () => {
  it.each<[string, Buffer, Buffer]>([
    ['plain', bytes, bytes],
    ['gzip', gzipSync(bytes), bytes],
    ['gzip in two members', Buffer.concat([gzipSync(bytes.subarray(0, 1000)), gzipSync(bytes.subarray(1000))]), bytes],
    ['zstd', packedText, Buffer.from(text)],
    ['stored zstd', zstdStored(bytes), bytes],
    [
      'zstd in two frames with a skippable frame in between',
      Buffer.concat([packedText, skippable, packedText]),
      Buffer.from(text + text),
    ],
    ['zstd after a skippable frame', Buffer.concat([skippable, packedText]), Buffer.from(text)],
    ['an empty source', Buffer.alloc(0), Buffer.alloc(0)],
    ['less than a magic number', Buffer.from('ab'), Buffer.from('ab')],
  ])('returns the bytes of %s, in chunks of any size', async (_name, packed, expected) => {
    for (const piece of [1, 1000, 64 * KiB, 4 * MiB]) {
      if (piece === 1 && packed.length > 10_000) continue;
      expect((await bytesOf(sourceOf(packed, piece))).equals(expected)).toBe(true);
    }
  });

  it.each<[string, Buffer, string]>([
    ['truncated gzip', gzipSync(bytes).subarray(0, 1000), 'the gzip data of the archive is corrupt'],
    [
      'damaged gzip',
      Buffer.concat([gzipSync(bytes).subarray(0, 20), bytes]),
      'the gzip data of the archive is corrupt',
    ],
    ['truncated zstd', zstdStored(bytes).subarray(0, 150_000), 'the zstd data of the archive ends early'],
    [
      'damaged zstd',
      Buffer.concat([packedText.subarray(0, 12), bytes.subarray(0, 100)]),
      'the zstd data of the archive is corrupt',
    ],
    [
      'zstd with trailing bytes',
      Buffer.concat([packedText, bytes.subarray(0, 100)]),
      'the zstd data of the archive is corrupt',
    ],
  ])('rejects %s', async (_name, packed, message) => {
    await expect(bytesOf(sourceOf(packed))).rejects.toMatchObject({ code: 'ARCHIVE_INVALID', message });
  });

  it.each<[string, boolean, number]>([
    ['1 KiB', true, 0x00],
    ['32 MiB', true, 0x78],
    ['36 MiB', false, 0x79],
    ['2 GiB', false, 0xa8],
  ])('with a zstd window of %s in any frame is accepted: %s', async (_size, accepted, window) => {
    const small = Buffer.from('small');
    const reading = bytesOf(sourceOf(Buffer.concat([zstdStored(small), zstdStored(small, window)])));
    if (accepted) expect(await reading).toEqual(Buffer.from('smallsmall'));
    else await expect(reading).rejects.toMatchObject({ code: 'SIZE_INVALID', status: 413 });
  });

  it('rejects a huge single segment before it allocates the memory', async () => {
    const huge = Buffer.concat([
      Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0]),
      Buffer.from([0, 0, 0, 0x7f]),
      Buffer.alloc(64),
    ]);
    await expect(bytesOf(sourceOf(huge))).rejects.toMatchObject({ code: 'SIZE_INVALID' });
  });

  const repeated = Buffer.concat([zstdBlockHeader(128 * KiB, 1, false), Buffer.from('x')]);
  const lastBlock = zstdBlockHeader(0, 0, true);
  const zeros = gzipSync(Buffer.alloc(MiB));
  it.each<[string, Buffer]>([
    ['zstd', Buffer.concat([zstdFrameHeader(0x38), ...Array.from({ length: 4000 }, () => repeated), lastBlock])],
    ['gzip', Buffer.concat(Array.from({ length: 500 }, () => zeros))],
  ])('rejects a %s bomb with 413', async (_name, packed) => {
    await expect(sizeOf(sourceOf(packed))).rejects.toMatchObject({ code: 'SIZE_INVALID', status: 413 });
  });

  it('leaves the source open if the consumer stops early', async () => {
    const source = sourceOf(bytes);
    for await (const chunk of unpack(source, new TurnGate())) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect([source.destroyed, source.isPaused()]).toEqual([false, true]);
  });

  it.each([
    ['plain', bytes],
    ['gzip', gzipSync(bytes).subarray(0, 5000)],
    ['zstd', zstdStored(bytes)],
  ])('rejects with the error of a failed source: %s', async (_name, packed) => {
    await expect(bytesOf(brokenSource(packed, new Error('the wire broke')))).rejects.toMatchObject({
      name: 'SourceClosedError',
      cause: new Error('the wire broke'),
    });
  });
});
