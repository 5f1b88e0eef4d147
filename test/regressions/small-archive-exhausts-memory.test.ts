import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { useArchiveScene } from '../support/access/archive-scene.js';
import {
  blobFile,
  blobFiles,
  buildImage,
  describeTop,
  entriesOf,
  layoutFiles,
  refName,
  tarOf,
} from '../support/content/archives.js';
import { indexManifest } from '../support/content/content.js';
import { paxRecord, rawEntry } from '../support/content/raw-tar.js';

const { send, staged } = useArchiveScene();

describe('an import refuses a small archive', () => {
  it.each([
    ['with 1001 names', 1001, 1],
    ['with 300 names of an index of 100 images', 300, 100],
  ])('%s', async (_title, names, parts) => {
    const children = Array.from({ length: parts }, (_, i) => buildImage(`part ${i}`));
    const index = indexManifest(children.map(({ manifest }) => describeTop(manifest)));
    const tops = Array.from({ length: names }, (_, i) => describeTop(index, refName(`team/app-${i}:1`)));
    const files = { ...blobFiles(...children), [blobFile(index.bytes)]: index.bytes, ...layoutFiles(tops) };
    const answer = await send('root', await tarOf(entriesOf(files)));
    expect([answer.status, answer.codes]).toEqual([413, ['SIZE_INVALID']]);
    expect(await staged()).toEqual([]);
  });
});

describe('an import refuses an archive of headers without files', () => {
  const attributes = Array.from({ length: 100_000 }, (_, i) => `11 ${i.toString(36).padStart(6, '0')}=\n`).join('');
  const large = rawEntry('g', 'global', attributes.slice(0, 1024 * 1024));
  const small = rawEntry('g', 'global', paxRecord('comment', 'c'));
  const run = Buffer.concat(Array.from({ length: 50 }, () => rawEntry('x', 'attributes', paxRecord('a', 'b'))));

  it.each([
    ['a large global header', large, 413, 'SIZE_INVALID'],
    ['a small global header', small, 400, 'ARCHIVE_INVALID'],
  ])('with %s and many headers that repeat it', async (_title, global, status, code) => {
    const answer = await send('root', gzipSync(Buffer.concat([global, run, Buffer.alloc(1024)])));
    expect([answer.status, answer.codes]).toEqual([status, [code]]);
    expect(await staged()).toEqual([]);
  });
});
