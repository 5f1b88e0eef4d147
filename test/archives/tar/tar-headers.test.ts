import { describe, expect, it } from 'vitest';
import { readEntries } from '../../../src/archives/tar/archive-entries.js';
import { TarHeaders } from '../../../src/archives/tar/tar-headers.js';
import { tarOf } from '../../support/content/archives.js';
import { KiB, sourceOf } from '../../support/content/bytes.js';
import { paxRecord, rawEntry } from '../../support/content/raw-tar.js';

/** Returns the paths and contents of the files, in order. */
async function read(chunks: AsyncIterable<Buffer>): Promise<[string, string][]> {
  const files: [string, string][] = [];
  for await (const { path, bytes } of readEntries(chunks)) {
    const read: Buffer[] = [];
    for await (const chunk of bytes) read.push(chunk as Buffer);
    files.push([path, Buffer.concat(read).toString()]);
  }
  return files;
}

const file = rawEntry('0', 'a', 'b');
const end = Buffer.alloc(1024);
const long = `${'folder/'.repeat(42)}name`;
const text = 'c'.repeat(700);
const path = rawEntry('x', 'pax', paxRecord('path', 'p'));
const comment = rawEntry('g', 'global', paxRecord('comment', 'c'));
const binary = (size: number): string => {
  const field = Buffer.alloc(12);
  field[0] = 0x80;
  field.writeUIntBE(size, 6, 6);
  return field.toString('latin1');
};
const times = (count: number, entry: Buffer): Buffer[] => Array.from({ length: count }, () => entry);

describe('a tar archive', () => {
  it.each<[string, Buffer[], [string, string][]]>([
    ['a long path of an x header', [rawEntry('x', 'pax', paxRecord('path', long)), file], [[long, 'b']]],
    ['a long path of an L header', [rawEntry('L', '././@LongLink', `${long}\0`), file], [[long, 'b']]],
    [
      'all headers that a file may have',
      [comment, path, rawEntry('K', 'k', 'k\0'), rawEntry('L', 'l', 'l\0'), file],
      [['p', 'b']],
    ],
    [
      'a size in an x header',
      [rawEntry('x', 'x', paxRecord('size', '700')), rawEntry('0', 'a', text, 0), file],
      [
        ['a', text],
        ['a', 'b'],
      ],
    ],
    [
      'an x header without a size after one with a size',
      [rawEntry('x', 'x', paxRecord('size', '700')), path, file],
      [['p', 'b']],
    ],
    [
      'a size in binary',
      [rawEntry('0', 'a', text, binary(700)), file],
      [
        ['a', text],
        ['a', 'b'],
      ],
    ],
    [
      'a size after blanks',
      [rawEntry('0', 'a', text, '    1274 \0'), file],
      [
        ['a', text],
        ['a', 'b'],
      ],
    ],
    ['a folder with a size', [rawEntry('5', 'd/', '', 700), file], [['a', 'b']]],
    [
      'an empty file',
      [rawEntry('0', 'e'), file],
      [
        ['e', ''],
        ['a', 'b'],
      ],
    ],
    [
      'another archive after its end',
      [file, end, path, file, end],
      [
        ['a', 'b'],
        ['p', 'b'],
      ],
    ],
    ['16 global headers', times(16, Buffer.concat([comment, file])), times(16, file).map(() => ['a', 'b'])],
  ])('may have %s, in chunks of any size', async (_title, parts, expected) => {
    const tar = Buffer.concat([...parts, end]);
    expect(await read(sourceOf(tar))).toEqual(expected);
    for (const piece of [13, 511, 513]) expect(await read(sourceOf(tar, piece))).toEqual(expected);
  });

  it('is read completely wherever it is split', async () => {
    const tar = await tarOf([
      { name: long, bytes: 'long' },
      { name: 'é', bytes: text },
      { name: 'a', bytes: 'b' },
    ]);
    // Seven has no factor in common with the size of a block, so this splits at every offset of a block.
    for (let at = 1; at < tar.length; at += 7) {
      const parts = async function* (): AsyncGenerator<Buffer> {
        yield tar.subarray(0, at);
        yield tar.subarray(at);
      };
      expect(await read(parts())).toEqual([
        [long, 'long'],
        ['é', text],
        ['a', 'b'],
      ]);
    }
  });

  const notTar = 'the archive is not a valid tar: ';
  it.each<[string, Buffer[], string, string?]>([
    ['an x header above 64 KiB', [rawEntry('x', 'x', Buffer.alloc(64 * KiB + 1))], 'SIZE_INVALID'],
    ['an L header above 64 KiB', [rawEntry('L', 'L', Buffer.alloc(64 * KiB + 1))], 'SIZE_INVALID'],
    ['a K header above 64 KiB', [rawEntry('K', 'K', '', binary(2 ** 40))], 'SIZE_INVALID'],
    ['an N header above 64 KiB', [rawEntry('N', 'N', Buffer.alloc(64 * KiB + 1))], 'SIZE_INVALID'],
    ['a g header above 4 KiB', [rawEntry('g', 'g', Buffer.alloc(4 * KiB + 1))], 'SIZE_INVALID'],
    ['an x header of Solaris', [rawEntry('X', 'X', paxRecord('path', 'p')), file], 'ARCHIVE_INVALID'],
    [
      'five headers without a file',
      times(5, path),
      'ARCHIVE_INVALID',
      `${notTar}too many extension headers without a file`,
    ],
    [
      'five headers with an empty block in between',
      [...times(4, path), end, path],
      'ARCHIVE_INVALID',
      `${notTar}too many extension headers without a file`,
    ],
    [
      '17 global headers',
      times(17, Buffer.concat([comment, file])),
      'ARCHIVE_INVALID',
      `${notTar}too many global headers`,
    ],
    [
      'a global size',
      [rawEntry('g', 'g', paxRecord('size', '1'))],
      'ARCHIVE_INVALID',
      `${notTar}a global header has a size`,
    ],
    ['an empty header', [rawEntry('x', 'x'), file], 'ARCHIVE_INVALID', `${notTar}empty extension header`],
    [
      '65 attributes',
      [rawEntry('x', 'x', paxRecord('a', 'b').repeat(65)), file],
      'ARCHIVE_INVALID',
      'an entry of the archive has too many attributes',
    ],
    ...['6 a=b\r', '99 a=b\n', 'a=b\n', '4 ab\n', ' 7 a=b\n', '-7 a=b\n', '7 a=bc\n\0', '4 a\n7 b=cd\n'].map(
      (records): [string, Buffer[], string, string] => [
        `the attributes ${JSON.stringify(records)}`,
        [rawEntry('x', 'x', records), file],
        'ARCHIVE_INVALID',
        `${notTar}malformed attributes`,
      ],
    ),
    ...['1e3', '-1', ' 7', '0x7', '7\0', '9'.repeat(16)].map((size): [string, Buffer[], string, string] => [
      `the size ${JSON.stringify(size)} among attributes`,
      [rawEntry('x', 'x', paxRecord('size', size)), file],
      'ARCHIVE_INVALID',
      `${notTar}a size is not a number`,
    ]),
    ...['8', '1 2', '-1', '0x1', ' \0 1', '\xff'.repeat(12), '\x81', `\x80\x01`].map(
      (size): [string, Buffer[], string, string] => [
        `the size ${JSON.stringify(size)}`,
        [rawEntry('0', 'a', '', size)],
        'ARCHIVE_INVALID',
        `${notTar}a size is not a number`,
      ],
    ),
  ])('is rejected with %s', async (_title, parts, code, message = expect.any(String) as string) => {
    const status = code === 'SIZE_INVALID' ? 413 : 400;
    for (const piece of [100, 64 * KiB]) {
      await expect(read(sourceOf(Buffer.concat([...parts, end]), piece))).rejects.toMatchObject({
        code,
        status,
        message,
      });
    }
  });

  it.each([
    ['files', 1, file],
    ['files with attributes', 2, Buffer.concat([path, file])],
    ['folders', 1, rawEntry('5', 'd/')],
  ])('may have at most 20 000 headers: %s', (_title, each, entry) => {
    const headers = new TarHeaders();
    for (let count = 0; count < 20_000; count += each) headers.check(entry);
    headers.check(end);
    expect(() => headers.check(entry)).toThrow('the archive has more than 20000 entries');
  });

  it('may have a file of 10 GiB without a limit on its size', () => {
    const headers = new TarHeaders();
    const chunk = Buffer.alloc(1024 * KiB, 'x');
    headers.check(rawEntry('0', 'large', '', binary(10 * 1024 ** 3)));
    for (let mebibytes = 0; mebibytes < 10 * 1024; mebibytes++) headers.check(chunk);
    headers.check(file);
    expect(() => headers.check(chunk)).toThrow(`${notTar}a size is not a number`);
  });
});
