import { describe, expect, it } from 'vitest';
import { ZstdFrames } from '../../../src/archives/tar/zstd-frames.js';
import { nativeUnzstd, unzstdInTurns } from '../../../src/archives/tar/zstd-unpack.js';
import type { Unpacker } from '../../../src/archives/tar/unpack-stream.js';
import { TurnGate } from '../../../src/util/scheduling/turns.js';
import { zstdBlockHeader, zstdFrameHeader, zstdStored } from '../../support/content/archives.js';
import { KiB, MiB, patternBytes } from '../../support/content/bytes.js';

/** Compressed by zstd -19: a single segment with a table and repeats. */
const packedText = Buffer.from('KLUv/QBotQAAYGhlbGxvIHpzdGQgCgIAMU+pwnjxAg==', 'base64');
const text = Buffer.from('hello zstd hello zstd hello zstd hello zstd\n'.repeat(8));
const skippable = Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0]), Buffer.from('abc')]);
const bytes = patternBytes(3 * MiB + 7);
const repeated = Buffer.concat([zstdBlockHeader(128 * KiB, 1, false), Buffer.from('x')]);
const windows = { ofMiB: 0x50, of32MiB: 0x78 };

const unpackers: [string, Unpacker][] = [['fzstd', (packed) => unzstdInTurns(packed, new TurnGate())]];
if (nativeUnzstd !== undefined) unpackers.push(['node', nativeUnzstd]);

async function* inPieces(packed: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < packed.length; at += size) yield packed.subarray(at, at + size);
}

async function collect(unzstd: Unpacker, packed: Buffer, piece = 64 * KiB): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of unzstd(inPieces(packed, piece))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe.each(unpackers)('decompression of zstd with %s', (_name, unzstd) => {
  it.each<[string, Buffer, Buffer]>([
    ['one frame', packedText, text],
    ['stored blocks', zstdStored(bytes), bytes],
    [
      'two frames with a skippable frame in between',
      Buffer.concat([packedText, skippable, packedText]),
      Buffer.concat([text, text]),
    ],
    ['a frame between two skippable frames', Buffer.concat([skippable, packedText, skippable]), text],
    [
      'an empty frame between two',
      Buffer.concat([packedText, zstdStored(Buffer.alloc(0)), packedText]),
      Buffer.concat([text, text]),
    ],
    ['only a skippable frame', skippable, Buffer.alloc(0)],
  ])('returns the bytes of %s, in chunks of any size', async (_what, packed, expected) => {
    for (const piece of [1, 7, 1000, 64 * KiB, 4 * MiB]) {
      if (piece < 1000 && packed.length > 10_000) continue;
      expect((await collect(unzstd, packed, piece)).equals(expected)).toBe(true);
    }
  });

  it.each<[string, Buffer, string]>([
    ['truncated in a block', zstdStored(bytes).subarray(0, 150_000), 'ends early'],
    ['truncated after a block', Buffer.concat([zstdFrameHeader(windows.ofMiB), repeated]), 'ends early'],
    ['truncated in a header', packedText.subarray(0, 5), 'ends early'],
    ['truncated in a skippable frame', Buffer.concat([packedText, skippable.subarray(0, 9)]), 'ends early'],
    ['with a few trailing bytes', Buffer.concat([packedText, Buffer.from('ab')]), 'ends early'],
    ['with trailing garbage', Buffer.concat([packedText, bytes.subarray(0, 100)]), 'is corrupt'],
    ['with damage inside', Buffer.concat([packedText.subarray(0, 12), bytes.subarray(0, 100)]), 'is corrupt'],
    ['with a block larger than its window', Buffer.concat([zstdFrameHeader(0), repeated]), 'is corrupt'],
  ])('rejects bytes %s', async (_what, packed, message) => {
    for (const piece of [7, 64 * KiB]) {
      await expect(collect(unzstd, packed, piece)).rejects.toMatchObject({
        code: 'ARCHIVE_INVALID',
        message: `the zstd data of the archive ${message}`,
      });
    }
  });

  it.each<[string, Buffer]>([
    ['empty blocks', Buffer.concat([zstdFrameHeader(windows.ofMiB), Buffer.alloc(6 * MiB)])],
    [
      'blocks of one byte',
      Buffer.concat([
        zstdFrameHeader(windows.ofMiB),
        ...Array.from({ length: 50_000 }, () => Buffer.concat([zstdBlockHeader(1, 1, false), Buffer.from('x')])),
      ]),
    ],
    [
      'frames with large windows',
      Buffer.concat(Array.from({ length: 1000 }, () => zstdStored(Buffer.from('x'), windows.of32MiB))),
    ],
    ['skippable frames', Buffer.concat(Array.from({ length: 5000 }, () => skippable))],
  ])('rejects too many %s for their size', async (_what, packed) => {
    await expect(collect(unzstd, packed)).rejects.toMatchObject({ code: 'SIZE_INVALID', status: 413 });
  });

  it('rejects with the error of its source', async () => {
    const failing = async function* (): AsyncGenerator<Buffer> {
      yield zstdStored(bytes).subarray(0, 150_000);
      throw new Error('the wire broke');
    };
    const reading = async (): Promise<void> => {
      for await (const _ of unzstd(failing()));
    };
    await expect(reading()).rejects.toThrow('the wire broke');
  });

  it('returns 128 MiB from a few bytes in small chunks, and lets other work run in between', async () => {
    const blocks = Array.from({ length: 1024 }, () => repeated);
    const packed = Buffer.concat([zstdFrameHeader(windows.ofMiB), ...blocks, zstdBlockHeader(0, 0, true)]);
    let turns = 0;
    let largest = 0;
    let given = 0;
    let reading = true;
    const turn = (): void => {
      turns++;
      if (reading) setImmediate(turn);
    };
    setImmediate(turn);
    for await (const chunk of unzstd(inPieces(packed, 64 * KiB))) {
      given += chunk.length;
      largest = Math.max(largest, chunk.length);
    }
    reading = false;
    expect(given).toBe(128 * MiB);
    expect(largest).toBeLessThanOrEqual(256 * KiB);
    expect(turns).toBeGreaterThan(60);
  });
});

describe('zstd streams that share a gate', () => {
  it('unpack one full block per turn of the event loop, however many they are', async () => {
    const blocks = Array.from({ length: 16 }, () => repeated);
    const packed = Buffer.concat([zstdFrameHeader(windows.ofMiB), ...blocks, zstdBlockHeader(0, 0, true)]);
    const gate = new TurnGate();
    const perTurn = [0];
    let reading = true;
    const turn = (): void => {
      perTurn.push(0);
      if (reading) setImmediate(turn);
    };
    setImmediate(turn);
    const read = async (): Promise<void> => {
      for await (const chunk of unzstdInTurns(inPieces(packed, 64 * KiB), gate)) {
        perTurn.push((perTurn.pop() ?? 0) + chunk.length);
      }
    };
    await Promise.all(Array.from({ length: 8 }, read));
    reading = false;
    expect(perTurn.reduce((sum, bytes) => sum + bytes)).toBe(8 * 16 * 128 * KiB);
    // In the first turn each stream starts with a block of its own.
    expect(Math.max(...perTurn.slice(1))).toBeLessThanOrEqual(256 * KiB);
  });
});

describe('ZstdFrames', () => {
  it('stops at the end of each block, so that no slice is much work', () => {
    const packed = Buffer.concat([
      zstdFrameHeader(windows.of32MiB),
      repeated,
      repeated,
      zstdStored(Buffer.from('abc')),
    ]);
    const frames = new ZstdFrames();
    const work: number[] = [];
    expect(() => {
      for (let at = 0; at < packed.length;) {
        const before = frames.workBytes;
        at = frames.follow(packed, at);
        work.push(frames.workBytes - before);
      }
    }).toThrow('is corrupt');
    expect(Math.max(...work.slice(1))).toBe(32 * MiB);
  });
});
