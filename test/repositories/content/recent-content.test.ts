import { Writable } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import type { BlobContent, ByteRange } from '../../../src/ports/bytes.js';
import type { DamageRecords } from '../../../src/ports/operations/backup.js';
import { digestOf, type Digest } from '../../../src/protocol/digest.js';
import { RecentContent } from '../../../src/repositories/content/recent-content.js';
import { createMemoryDisk, MemoryBlobStore } from '../../support/storage/memory-blob-store.js';
import { KeyedMutex } from '../../../src/util/scheduling/concurrency.js';
import { readBytes } from '../../../src/util/streams/streams.js';

const limit = 64 * 1024;
const bytes = Buffer.from('the configuration of an image');
const digest = digestOf(bytes);

describe('RecentContent', () => {
  let disk: ReturnType<typeof createMemoryDisk>;
  let reads: (ByteRange | undefined)[];
  let recent: RecentContent;
  let marked: unknown[];
  const damage: DamageRecords = {
    list: () => Promise.resolve([]),
    isHidden: () => Promise.resolve(false),
    mark: (damaged, problem) => {
      marked.push([damaged, problem]);
      return Promise.resolve({ digest: damaged, problem, uses: [], foundAt: 1 });
    },
    clear: () => Promise.resolve(false),
  };
  const open = (of: Digest, range?: ByteRange): Promise<BlobContent | undefined> => {
    const store = new MemoryBlobStore(disk);
    const read = async (asked: Digest, part?: ByteRange): Promise<BlobContent | undefined> => {
      const content = await store.read(asked, part);
      const writeTo = (sink: Writable): Promise<void> => {
        reads.push(part);
        return content?.writeTo(sink) ?? Promise.resolve();
      };
      return content && { size: content.size, path: '/a/file', writeTo };
    };
    return recent.open({ blobs: { read }, damage, digestLocks: new KeyedMutex() }, of, range);
  };
  const sent = async (of: Digest, range?: ByteRange): Promise<string | undefined> => {
    const content = await open(of, range);
    return content && (await readBytes(content)).toString('latin1');
  };
  const store = (content: Buffer): Digest => {
    const name = digestOf(content);
    disk.blobs.set(name, { bytes: content, modifiedAt: 1 });
    return name;
  };
  beforeEach(() => {
    disk = createMemoryDisk();
    reads = [];
    marked = [];
    recent = new RecentContent(1024 * 1024);
    store(bytes);
  });

  it('reads a small blob once, and describes it like the store', async () => {
    const content = await open(digest);
    expect(content).toMatchObject({ size: bytes.length, path: '/a/file' });
    expect(reads).toEqual([]);
    expect([await sent(digest), await sent(digest)]).toEqual([bytes.toString(), bytes.toString()]);
    expect(reads).toEqual([undefined]);
  });

  it('has the bytes of a blob once it was sent, and of a range of it', async () => {
    expect((await open(digest))?.bytes).toBeUndefined();
    await sent(digest, { start: 4, end: 16 });
    expect((await open(digest))?.bytes).toEqual(bytes);
    expect((await open(digest, { start: 24, end: 28 }))?.bytes).toEqual(Buffer.from('image'));
  });

  it('sends ranges of the whole blob that it read', async () => {
    expect(await sent(digest, { start: 4, end: 16 })).toBe('configuration');
    expect(await sent(digest, { start: 24, end: 28 })).toBe('image');
    expect(await sent(digest)).toBe(bytes.toString());
    expect(reads).toEqual([undefined]);
  });

  it.each([
    ['of the limit', limit, 1],
    ['larger than the limit', limit + 1, 2],
    ['without bytes', 0, 1],
  ])('reads a blob %s as often as expected', async (_name, size, count) => {
    const large = store(Buffer.alloc(size, 'x'));
    expect((await sent(large))?.length).toBe(size);
    expect((await sent(large))?.length).toBe(size);
    expect(reads).toHaveLength(count);
  });

  it('keeps nothing without memory', async () => {
    recent = new RecentContent(0);
    expect([await sent(digest), await sent(digest)]).toEqual([bytes.toString(), bytes.toString()]);
    expect(reads).toHaveLength(2);
  });

  it.each([undefined, { start: 4, end: 16 }])(
    'refuses to send damaged bytes, and records them (range %j)',
    async (range) => {
      disk.blobs.set(digest, { bytes: Buffer.from('the CONFIGURATION of an image'), modifiedAt: 1 });
      await expect(sent(digest, range)).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 503 });
      expect(marked).toEqual([[digest, 'digest']]);
      expect(recent.has(digest)).toBe(false);
      store(bytes);
      expect(await sent(digest)).toBe(bytes.toString());
    },
  );

  it('sends nothing that the store no longer has', async () => {
    await sent(digest);
    disk.blobs.delete(digest);
    expect(await open(digest)).toBeUndefined();
  });

  it('keeps no more bytes than allowed, nor the buffers that they are part of', async () => {
    recent = new RecentContent(2000);
    const large = Buffer.alloc(100_000, 'x');
    for (let i = 0; i < 10; i++) recent.set(digestOf(Buffer.from([i])), large.subarray(i, i + 300));
    const kept = Array.from({ length: 10 }, (_, i) => recent.get(digestOf(Buffer.from([i])))).filter((one) => one);
    expect(kept).toHaveLength(4);
    expect(kept.map((one) => one?.buffer.byteLength)).toEqual([300, 300, 300, 300]);
  });

  it('rejects when the client has left', async () => {
    await sent(digest);
    const gone = new Writable();
    gone.destroy();
    await expect((await open(digest))?.writeTo(gone)).rejects.toThrow('closed early');
  });
});
