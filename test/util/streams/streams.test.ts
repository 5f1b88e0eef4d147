import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { PassThrough, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { drain, readBounded, readBytes, TooManyBytesError, writeInBatches } from '../../../src/util/streams/streams.js';
import { destroyOnTinyChunks, SourceClosedError, TinyChunksError } from '../../../src/util/streams/source-listener.js';
import { brokenSource, KiB, MiB, patternBytes, sourceOf } from '../../support/content/bytes.js';

/** Passes a real request to `use`. Its client sends `sent` of the announced bytes and then disconnects. */
async function withTornRequest<T>(
  sent: Buffer,
  announced: number,
  use: (request: IncomingMessage) => Promise<T>,
): Promise<T> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  try {
    socket.write(`PATCH / HTTP/1.1\r\nHost: x\r\nContent-Length: ${announced}\r\n\r\n`);
    const [request] = (await once(server, 'request')) as [IncomingMessage];
    const using = use(request);
    socket.end(sent);
    return await using;
  } finally {
    socket.destroy();
    server.close();
  }
}

describe('writeInBatches', () => {
  it('writes one batch at a time, and all but the last are full', async () => {
    const bytes = patternBytes(5 * MiB + 3);
    const batches: Buffer[] = [];
    let writing = 0;
    await writeInBatches(
      sourceOf(bytes, 50_000),
      async (chunks, size) => {
        expect(++writing).toBe(1);
        await new Promise((resolve) => setTimeout(resolve, 1));
        writing--;
        batches.push(Buffer.concat(chunks));
        expect(batches.at(-1)?.length).toBe(size);
      },
      { batchBytes: MiB },
    );
    expect(Buffer.concat(batches).equals(bytes)).toBe(true);
    for (const batch of batches.slice(0, -1)) expect(batch.length).toBeGreaterThanOrEqual(MiB);
    for (const batch of batches) expect(batch.length).toBeLessThan(MiB + 50_000 * 3);
  });

  it('reads at most one batch ahead of a stuck write, plus what flows after the pause', async () => {
    const source = sourceOf(patternBytes(20 * MiB));
    let resume = (): void => undefined;
    const pumping = writeInBatches(source, () => new Promise((resolve) => (resume = resolve)), { batchBytes: MiB });
    await expect.poll(() => source.isPaused()).toBe(true);
    resume();
    await new Promise((resolve) => setImmediate(resolve));
    source.destroy();
    await new Promise((resolve) => setTimeout(resolve, 5));
    resume();
    await new Promise((resolve) => setTimeout(resolve, 5));
    resume();
    await expect(pumping).rejects.toThrow(SourceClosedError);
  });

  it('copies adjacent tiny chunks into few buffers', async () => {
    const batches: Buffer[][] = [];
    const write = async (chunks: Buffer[]): Promise<void> => void batches.push(chunks);
    await writeInBatches(sourceOf(patternBytes(2500), 1), write, { batchBytes: MiB });
    expect(batches.flat().length).toBeLessThan(5);
    expect(Buffer.concat(batches.flat())).toEqual(patternBytes(2500));
  });

  it.each<[string, (source: Readable) => Promise<unknown>]>([
    ['writeInBatches', (source) => writeInBatches(source, async () => {}, { batchBytes: MiB })],
    ['readBounded', (source) => readBounded(source, MiB)],
    [
      'drain',
      async (source) =>
        (await drain(source, { maxBytes: MiB, maxMs: 60_000 })) || Promise.reject(new SourceClosedError()),
    ],
  ])('%s destroys a source that sends only tiny chunks', async (_name, read) => {
    let sent = 0;
    const source = new Readable({
      read: () => void source.push(sent++ < 100_000 ? Buffer.alloc(1) : null),
      highWaterMark: 1,
    });
    await expect(read(source)).rejects.toThrow(SourceClosedError);
    expect(source.errored).toBeInstanceOf(TinyChunksError);
    expect(sent).toBeLessThan(5000);
  });

  it('destroyOnTinyChunks ends a pipe from a source that sends only tiny chunks', async () => {
    const source = new Readable({ read: () => void source.push(Buffer.alloc(1)), highWaterMark: 1 });
    destroyOnTinyChunks(source);
    let chunks = 0;
    const sink = new Writable({
      write: (_chunk, _encoding, done) => {
        chunks++;
        done();
      },
    });
    await expect(pipeline(source, sink)).rejects.toThrow(TinyChunksError);
    expect(chunks).toBeLessThan(5000);
  });

  it('readBounded accepts many small chunks whose mean size is not tiny', async () => {
    const bytes = patternBytes(100 * 8192);
    expect(await readBounded(sourceOf(bytes, 100), MiB)).toEqual(bytes);
  });

  it('stops at the first failing write and leaves the source paused', async () => {
    let writes = 0;
    const source = sourceOf(patternBytes(5 * MiB));
    const write = async (): Promise<void> => {
      writes++;
      throw new Error('disk');
    };
    await expect(writeInBatches(source, write, { batchBytes: MiB })).rejects.toThrow('disk');
    expect(writes).toBe(1);
    expect(source.isPaused()).toBe(true);
    source.destroy(new Error('late error'));
    await new Promise((resolve) => source.once('close', resolve));
  });

  it('writes the allowed bytes when the source has too many', async () => {
    const written: Buffer[] = [];
    const write = async (chunks: Buffer[]): Promise<void> => void written.push(...chunks);
    const source = sourceOf(patternBytes(MiB));
    await expect(writeInBatches(source, write, { batchBytes: 100_000, maxBytes: 333_333 })).rejects.toThrow(
      TooManyBytesError,
    );
    expect(Buffer.concat(written).equals(patternBytes(MiB).subarray(0, 333_333))).toBe(true);
  });

  it('rejects when the signal aborts, even before the start', async () => {
    const abort = new AbortController();
    const source = new PassThrough();
    source.write('abc');
    const written: Buffer[] = [];
    const write = async (chunks: Buffer[]): Promise<void> => void written.push(...chunks);
    const pumping = writeInBatches(source, write, { batchBytes: 10, signal: abort.signal });
    setTimeout(() => abort.abort(new Error('closing')), 5);
    await expect(pumping).rejects.toThrow('closing');
    expect(Buffer.concat(written).toString()).toBe('abc');
    await expect(writeInBatches(source, write, { batchBytes: 10, signal: abort.signal })).rejects.toThrow('closing');
  });

  it('writes the bytes that a client sent before it disconnected', async () => {
    const written: Buffer[] = [];
    const write = async (chunks: Buffer[]): Promise<void> => void written.push(...chunks);
    const pumping = withTornRequest(patternBytes(200 * KiB), MiB, (request) =>
      writeInBatches(request, write, { batchBytes: MiB }),
    );
    await expect(pumping).rejects.toThrow(SourceClosedError);
    expect(Buffer.concat(written).equals(patternBytes(200 * KiB))).toBe(true);
  });

  it('rejects an incomplete message that ended, and an aborted one', async () => {
    const incomplete = Object.assign(sourceOf(Buffer.from('abc')), { complete: false });
    await expect(writeInBatches(incomplete, async () => undefined, { batchBytes: 1 })).rejects.toThrow(
      SourceClosedError,
    );
    const aborted = new Readable({ read: () => undefined });
    setTimeout(() => aborted.emit('aborted'), 1);
    await expect(writeInBatches(aborted, async () => undefined, { batchBytes: 1 })).rejects.toThrow(SourceClosedError);
  });

  it('accepts a source of strings', async () => {
    const written: Buffer[] = [];
    const write = async (chunks: Buffer[]): Promise<void> => void written.push(...chunks);
    await writeInBatches(Readable.from(['grün', '!']), write, { batchBytes: 100 });
    expect(Buffer.concat(written).toString()).toBe('grün!');
  });
});

describe('readBounded', () => {
  it.each([
    [0, 0, true],
    [1, 0, false],
    [100, 100, true],
    [101, 100, false],
    [MiB, MiB, true],
  ])('reads %i bytes when at most %i are allowed: %s', async (size, maxBytes, fits) => {
    const bytes = patternBytes(size);
    const found = await readBounded(sourceOf(bytes, 1000), maxBytes);
    if (fits) expect(found?.equals(bytes)).toBe(true);
    else expect(found).toBeUndefined();
  });

  it('rejects when the source fails', async () => {
    await expect(readBounded(brokenSource(patternBytes(10), new Error('cut')), 100)).rejects.toThrow(SourceClosedError);
  });
});

describe('drain', () => {
  it('discards the source to its end, and accepts one that has ended', async () => {
    const source = sourceOf(patternBytes(MiB));
    expect(await drain(source, { maxBytes: MiB, maxMs: 1000 })).toBe(true);
    expect(await drain(source, { maxBytes: 0, maxMs: 1000 })).toBe(true);
  });

  it('continues where readBounded stopped', async () => {
    const source = sourceOf(patternBytes(MiB));
    await readBounded(source, 10);
    expect(await drain(source, { maxBytes: MiB, maxMs: 1000 })).toBe(true);
  });

  it.each([
    ['too many bytes', () => sourceOf(patternBytes(MiB)), { maxBytes: 1000, maxMs: 1000 }],
    ['too much time', () => new PassThrough(), { maxBytes: 1000, maxMs: 5 }],
    ['a failure', () => brokenSource(patternBytes(10), new Error('cut')), { maxBytes: 1000, maxMs: 1000 }],
  ])('resolves to false after %s', async (_name, source, bounds) => {
    expect(await drain(source(), bounds)).toBe(false);
  });
});

describe('readBytes', () => {
  it('copies chunks, which the writer may reuse', async () => {
    const chunk = Buffer.alloc(3);
    const bytes = await readBytes({
      async writeTo(sink) {
        for (const letter of 'abc') {
          chunk.fill(letter);
          await new Promise<void>((resolve) => sink.write(chunk, () => resolve()));
        }
      },
    });
    expect(bytes.toString()).toBe('aaabbbccc');
  });
});
