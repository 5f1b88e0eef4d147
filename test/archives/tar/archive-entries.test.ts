import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { expect, it } from 'vitest';
import { readEntries } from '../../../src/archives/tar/archive-entries.js';
import { writeInBatches } from '../../../src/util/streams/streams.js';
import { KiB, patternBytes } from '../../support/content/bytes.js';

const content = patternBytes(300 * KiB);
const canFree = 'transfer' in ArrayBuffer.prototype;

/** Returns the chunks of a tar with one file, each with memory of its own, as Node receives them from a connection. */
async function makeTar(): Promise<Buffer[]> {
  const packer = pack();
  packer.entry({ name: 'layer.tar', size: content.length }, content);
  packer.finalize();
  const tar = await buffer(packer);
  const count = Math.ceil(tar.length / (64 * KiB));
  const parts = Array.from({ length: count }, (_, at) => tar.subarray(at * 64 * KiB, (at + 1) * 64 * KiB));
  return parts.map((part) => Buffer.concat([part]));
}

async function* yieldAll(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks;
}

/** Writes the files of a tar in batches. */
async function receive(chunks: readonly Buffer[], isOwned: boolean): Promise<Buffer> {
  const written: Buffer[] = [];
  const write = async (batch: readonly Buffer[]): Promise<void> => {
    written.push(...batch.map((chunk) => Buffer.from(chunk)));
    await Promise.resolve();
  };
  for await (const { bytes } of readEntries(yieldAll(chunks), isOwned))
    await writeInBatches(bytes, write, { batchBytes: 128 * KiB, freesChunks: true });
  return Buffer.concat(written);
}

it('frees the chunks of a tar that only its reader has, but not those that contain a header', async () => {
  const chunks = await makeTar();
  expect((await receive(chunks, true)).equals(content)).toBe(true);
  const kept = chunks.map(({ length }) => length > 0);
  expect(kept).toEqual([true, !canFree, !canFree, !canFree, true]);
});

it('keeps the chunks of a tar that someone else has', async () => {
  const chunks = await makeTar();
  expect((await receive(chunks, false)).equals(content)).toBe(true);
  expect(chunks.every(({ length }) => length > 0)).toBe(true);
});

it('fails the file that is being read when the tar breaks off', async () => {
  const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = await makeTar();
  await expect(receive([first, second], true)).rejects.toThrow(/unexpected end of the archive|source closed early/);
});
