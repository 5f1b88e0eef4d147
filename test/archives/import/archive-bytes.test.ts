import type { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { unpack } from '../../../src/archives/import/archive-bytes.js';
import { zstdBlockHeader, zstdFrameHeader, zstdStored } from '../../support/archives.js';
import { TurnGate } from '../../../src/util/turns.js';
import { brokenSource, KiB, MiB, patternBytes, sourceOf } from '../../support/bytes.js';

async function bytesOf(source: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of unpack(source, new TurnGate())) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Reads and drops: what comes is too large to keep. */
async function sizeOf(source: Readable): Promise<number> {
  let size = 0;
  for await (const chunk of unpack(source, new TurnGate())) size += chunk.length;
  return size;
}

const bytes = patternBytes(3 * MiB + 7);
/** Made by zstd -19: with a table and repeats, a single segment. */
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
      'zstd in two frames with something between',
      Buffer.concat([packedText, skippable, packedText]),
      Buffer.from(text + text),
    ],
    ['zstd behind something to skip', Buffer.concat([skippable, packedText]), Buffer.from(text)],
    ['nothing', Buffer.alloc(0), Buffer.alloc(0)],
    ['less than a magic number', Buffer.from('ab'), Buffer.from('ab')],
  ])('gives the bytes of %s, however they come', async (_name, packed, expected) => {
    for (const piece of [1, 1000, 64 * KiB, 4 * MiB]) {
      if (piece === 1 && packed.length > 10_000) continue;
      expect((await bytesOf(sourceOf(packed, piece))).equals(expected)).toBe(true);
    }
  });

  it.each<[string, Buffer, string]>([
    ['a gzip that is cut', gzipSync(bytes).subarray(0, 1000), 'the gzip around the archive is broken'],
    [
      'a gzip that is damaged',
      Buffer.concat([gzipSync(bytes).subarray(0, 20), bytes]),
      'the gzip around the archive is broken',
    ],
    ['a zstd that is cut', zstdStored(bytes).subarray(0, 150_000), 'the zstd around the archive ends early'],
    [
      'a zstd that is damaged',
      Buffer.concat([packedText.subarray(0, 12), bytes.subarray(0, 100)]),
      'the zstd around the archive is broken',
    ],
    [
      'a zstd with something behind it',
      Buffer.concat([packedText, bytes.subarray(0, 100)]),
      'the zstd around the archive is broken',
    ],
  ])('refuses %s', async (_name, packed, message) => {
    await expect(bytesOf(sourceOf(packed))).rejects.toMatchObject({ code: 'ARCHIVE_INVALID', message });
  });

  it.each<[string, number, boolean]>([
    ['1 KiB', 0x00, true],
    ['32 MiB', 0x78, true],
    ['36 MiB', 0x79, false],
    ['2 GiB', 0xa8, false],
  ])('%s as the window of a zstd, in any frame: accepted is %s', async (_name, window, accepted) => {
    const small = Buffer.from('small');
    const reading = bytesOf(sourceOf(Buffer.concat([zstdStored(small), zstdStored(small, window)])));
    if (accepted) expect(await reading).toEqual(Buffer.from('smallsmall'));
    else await expect(reading).rejects.toMatchObject({ code: 'SIZE_INVALID', status: 413 });
  });

  it('refuses a single segment that claims to be huge, before it takes the memory', async () => {
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
  ])('refuses a bomb of %s', async (_name, packed) => {
    await expect(sizeOf(sourceOf(packed))).rejects.toMatchObject({ code: 'SIZE_INVALID', status: 413 });
  });

  it('leaves the source open when it is left early', async () => {
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
  ])('fails with a source that fails, %s', async (_name, packed) => {
    await expect(bytesOf(brokenSource(packed, new Error('the wire broke')))).rejects.toMatchObject({
      name: 'SourceClosedError',
      cause: new Error('the wire broke'),
    });
  });
});
