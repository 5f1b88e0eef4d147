import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { ArchiveContents } from '../../../src/archives/import/archive-contents.js';
import type { ReceiveFile } from '../../../src/archives/import/small-file.js';
import { digestOf } from '../../../src/protocol/digest.js';
import { TurnGate } from '../../../src/util/scheduling/turns.js';
import { entriesOf, tarOf } from '../../support/content/archives.js';

/** Stages nothing, but counts what would be staged, published and discarded. */
class CountingWriter {
  staged = 0;
  published: string[] = [];
  discarded = 0;
  discarding = 0;
  maxDiscarding = 0;

  async receiveBlob(source: Readable): Promise<object> {
    this.staged++;
    const bytes = Buffer.concat(await source.toArray());
    return {
      digest: digestOf(bytes),
      size: bytes.length,
      read: async () => bytes,
      publish: async () => void this.published.push(bytes.toString()),
      discard: async () => {
        this.discarded++;
        this.maxDiscarding = Math.max(this.maxDiscarding, ++this.discarding);
        await setImmediate();
        this.discarding--;
      },
    };
  }
}

async function receive(files: Readonly<Record<string, Buffer | string>>) {
  const writer = new CountingWriter();
  const source = Readable.from([await tarOf(entriesOf(files))]);
  const contents = await ArchiveContents.receive(
    source,
    ((bytes: Readable) => writer.receiveBlob(bytes)) as ReceiveFile,
    new TurnGate(),
  );
  return { writer, contents };
}

const manyFiles = (count: number, bytes: Buffer | string): Record<string, Buffer | string> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`files/${i}`, bytes]));

it('Small files of an archive are not staged before they are published', async () => {
  const { writer, contents } = await receive(manyFiles(2000, 'x'));
  expect(writer.staged).toBe(0);
  const file = contents.find('files/7');
  expect([file?.size, (await file?.read())?.toString()]).toEqual([1, 'x']);
  await file?.publish(['app']);
  await contents.discard();
  expect([writer.staged, writer.published]).toEqual([1, ['x']]);
});

it('Small files of an archive take at most 16 MiB of memory; the others are staged', async () => {
  const { writer } = await receive(manyFiles(1200, Buffer.alloc(16 * 1024)));
  // 16 MiB / (16 KiB + 512 bytes) = 992
  expect(writer.staged).toBe(1200 - 992);
});

it('Reading 2000 small files lets other requests run at least once in 32 files', async () => {
  let turns = 0;
  const stop = new AbortController();
  const count = async (): Promise<void> => {
    for (; !stop.signal.aborted; turns++) await setImmediate();
  };
  const counting = count();
  await receive(manyFiles(2000, 'x'));
  stop.abort();
  await counting;
  expect(turns).toBeGreaterThanOrEqual(Math.floor(2000 / 32));
});

it('Staged files are discarded 16 at a time', async () => {
  const { writer, contents } = await receive(manyFiles(100, Buffer.alloc(20_000)));
  await contents.discard();
  expect([writer.staged, writer.discarded, writer.maxDiscarding]).toEqual([100, 100, 16]);
});

it('Documents of an archive have at most 500 000 values together', async () => {
  const document = `[${'0,'.repeat(199_998)}0]`;
  const { contents } = await receive({ a: document, b: document, c: document });
  await contents.readDocument('a');
  await contents.readDocument('b');
  await expect(contents.readDocument('c')).rejects.toMatchObject({ code: 'SIZE_INVALID', status: 413 });
});
