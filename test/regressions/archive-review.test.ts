import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { basic, startAccess, type AccessScene } from '../support/access/access.js';
import {
  buildImage,
  blobFiles,
  blobFile,
  describeTop,
  entriesOf,
  layoutFiles,
  refName,
  tarOf,
} from '../support/content/archives.js';
import { indexManifest } from '../support/content/content.js';
import { Cleanups } from '../support/upstreams/remote.js';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { paxRecord, rawEntry } from '../support/content/raw-tar.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

// What a review of archives found, each by the name of what went wrong.
const cleanups = new Cleanups();
let scene: AccessScene;
let folder: string;
beforeAll(async () => {
  folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  scene = await startAccess(cleanups, {
    storage: folder,
    users: ['root', 'reader', 'pusher'],
    repositories: [{ name: 'local', type: 'local' }],
    access: {
      rules: [
        { users: ['root'], allow: ['admin'] },
        { users: ['reader'], names: 'local', allow: ['pull'] },
        { users: ['pusher'], names: 'local/mine/*', allow: ['pull', 'push'] },
      ],
    },
  });
});
afterAll(() => cleanups.run());

const staged = (): Promise<string[]> => readdir(path.join(folder, 'staged'));
const send = (user: string, body: Buffer, query = '') =>
  scene.as(basic(user))('POST', `/api/v1/repositories/local/import${query}`, { body });

describe('an archive was taken in whole before it was asked who may push', () => {
  // Not even a tar: whoever reads any of it says so.
  const garbage = Buffer.alloc(100_000, 'x');

  it.each([
    ['reader', '', 403],
    ['reader', '?image=team/x', 403],
    ['pusher', '?image=team/x', 403],
    ['pusher', '?image=mine/x', 400],
    ['pusher', '', 400],
  ])('%s%s: %i', async (user, query, status) => {
    expect((await send(user, garbage, query)).status).toBe(status);
    expect(await staged()).toEqual([]);
  });
});

describe('a small archive of many names and a large index took all memory', () => {
  it.each([
    ['names', 1001, 1],
    ['names of an index of many parts', 300, 100],
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

describe('a manifest that was made of an archive was larger than any that may be pushed', () => {
  it('is refused by its number of layers, which keeps every manifest below 4 MiB', async () => {
    const image = buildImage('many layers');
    const [config, layer] = [
      JSON.parse(image.config.toString()) as { rootfs: { diff_ids: string[] } },
      image.layers[0],
    ];
    const count = 30_000;
    config.rootfs.diff_ids = Array.from({ length: count }, () => config.rootfs.diff_ids[0] ?? '');
    const saved = [{ Config: 'config.json', RepoTags: ['a:1'], Layers: Array.from({ length: count }, () => 'l.tar') }];
    const files = {
      'l.tar': layer ?? '',
      'config.json': JSON.stringify(config),
      'manifest.json': JSON.stringify(saved),
    };
    const answer = await send('root', await tarOf(entriesOf(files)));
    expect([answer.status, answer.codes]).toEqual([413, ['SIZE_INVALID']]);
    expect(await staged()).toEqual([]);
  });
});

describe('a small archive of headers without files stopped the process', () => {
  const attributes = Array.from({ length: 100_000 }, (_, i) => `11 ${i.toString(36).padStart(6, '0')}=\n`).join('');
  const large = rawEntry('g', 'global', attributes.slice(0, 1024 * 1024));
  const small = rawEntry('g', 'global', paxRecord('comment', 'c'));
  const run = Buffer.concat(Array.from({ length: 50 }, () => rawEntry('x', 'attributes', paxRecord('a', 'b'))));

  it.each([
    ['a large global one', large, 413, 'SIZE_INVALID'],
    ['a small global one', small, 400, 'ARCHIVE_INVALID'],
  ])('%s and many that repeat it', async (_title, global, status, code) => {
    const answer = await send('root', gzipSync(Buffer.concat([global, run, Buffer.alloc(1024)])));
    expect([answer.status, answer.codes]).toEqual([status, [code]]);
    expect(await staged()).toEqual([]);
  });
});
