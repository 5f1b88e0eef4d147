import { describe, expect, it } from 'vitest';
import { ChunkList } from '../../../src/util/streams/chunk-list.js';
import { KiB, patternBytes } from '../../support/content/bytes.js';

describe('ChunkList', () => {
  it.each([
    ['single bytes', 1],
    ['chunks of 100 bytes', 100],
    ['chunks of 20 KiB', 20 * KiB],
  ])('returns %s in order, in few buffers', (_name, size) => {
    const bytes = patternBytes(200 * KiB);
    const list = new ChunkList();
    for (let at = 0; at < bytes.length; at += size) list.add(bytes.subarray(at, at + size));
    expect(list.bytes).toBe(bytes.length);
    const chunks = list.take();
    expect(Buffer.concat(chunks)).toEqual(bytes);
    expect(chunks.length).toBeLessThanOrEqual(12);
    expect([list.bytes, list.length]).toEqual([0, 0]);
  });

  it('does not keep the large buffer behind a small chunk', () => {
    const list = new ChunkList();
    list.add(Buffer.alloc(64 * KiB).subarray(0, 500));
    expect(list.take().map((chunk) => chunk.buffer.byteLength)).toEqual([500]);
  });

  it('never changes a buffer after returning it', () => {
    const list = new ChunkList();
    for (let count = 0; count < 10; count++) list.add(Buffer.from('abc'));
    const taken = list.take();
    const before = Buffer.concat(taken).toString();
    for (let count = 0; count < 10; count++) list.add(Buffer.from('xyz'));
    expect(Buffer.concat(taken).toString()).toBe(before);
    expect(Buffer.concat(list.take()).toString()).toBe('xyz'.repeat(10));
  });
});
