import { execFileSync } from 'node:child_process';
import { mkdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openRegistryFolder } from '../../../src/archives/folders/registry-folder.js';
import type { SourceImage } from '../../../src/ports/operations/migration.js';
import type { Digest } from '../../../src/protocol/digest.js';
import { parseTag } from '../../../src/protocol/names.js';
import { collect } from '../../contracts/blob-store-published.js';
import { digest, imageManifest } from '../../support/content/content.js';
import { DistributionFolder, writeNew } from '../../support/migration/old-registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

let root: string;
let old: DistributionFolder;
beforeEach(async () => {
  root = await makeScratchFolder();
  old = new DistributionFolder(root);
});
afterEach(() => removeScratchFolder(root));

const [one, two, three] = [imageManifest('one'), imageManifest('two'), imageManifest('three')] as const;

async function imagesOf(folder = root): Promise<SourceImage[]> {
  return collect((await openRegistryFolder(folder)).images());
}

async function imageOf(name: string): Promise<SourceImage> {
  const image = (await imagesOf()).find((found) => found.name === name);
  if (image === undefined) throw new Error(`${name} was not found`);
  return image;
}

const hex = (text: string): string => digest(text).slice('sha256:'.length);

describe('the folder of CNCF distribution', () => {
  it('has the images of all levels, also one inside another', async () => {
    for (const name of ['busybox', 'team/app', 'team/app/cache', 'team/zoo']) await old.putManifest(name, one, ['1']);
    await mkdir(old.path('repositories', 'team', 'app', '_uploads', 'some-upload'), { recursive: true });
    expect((await imagesOf()).map(({ name }) => name)).toEqual(['busybox', 'team/app', 'team/app/cache', 'team/zoo']);
    expect((await openRegistryFolder(root)).format).toBe('distribution');
  });

  it('is found by docker/registry/v2 itself, and through symbolic links', async () => {
    await old.putManifest('app', one, ['1']);
    expect(await imagesOf(old.path())).toHaveLength(1);
    const link = path.join(root, 'link');
    await symlink(root, link);
    expect(await imagesOf(link)).toHaveLength(1);
  });

  it('does not follow a symbolic link that leads back', async () => {
    await old.putManifest('team/app', one, ['1']);
    await symlink(old.path('repositories'), old.path('repositories', 'team', 'loop'));
    await symlink(old.path('repositories', 'team'), old.path('repositories', 'alias'));
    expect((await imagesOf()).map(({ name }) => name)).toEqual(['alias/app', 'team/app']);
  });

  it('lists revisions, tagged or not, and tags with the times of their files', async () => {
    await old.putManifest('app', one, ['1'], 1_600_000_000_000);
    await old.putManifest('app', two, [], 1_700_000_000_000);
    const { manifests, tags, problems } = await (await imageOf('app')).list();
    expect(new Map(manifests.map((found) => [found.digest, found.at]))).toEqual(
      new Map([
        [one.digest, 1_600_000_000_000],
        [two.digest, 1_700_000_000_000],
      ]),
    );
    expect(tags).toEqual([{ tag: '1', digest: one.digest, at: 1_600_000_000_000 }]);
    expect(problems).toEqual([]);
  });

  it('skips a revision that was deleted: its folder has no link', async () => {
    await old.putManifest('app', one, ['1']);
    await old.putManifest('app', two);
    await rm(old.revisionLink('app', two.digest));
    const { manifests, problems } = await (await imageOf('app')).list();
    expect(manifests.map((found) => found.digest)).toEqual([one.digest]);
    expect(problems).toEqual([]);
  });

  it.each([
    { what: 'empty', text: '', message: 'is empty' },
    { what: 'of other text', text: 'sha256:123', message: 'does not name a digest' },
    {
      what: 'larger than a link',
      text: 'x'.repeat(2000),
      message: '2000 bytes: expected at most 1024',
      problem: 'unreadable',
    },
    { what: 'that names another digest', text: two.digest, message: `names ${two.digest}` },
  ])('reports a link of a revision that is $what', async ({ text, message, problem = 'broken-link' }) => {
    await old.putManifest('app', one);
    await writeFile(old.revisionLink('app', one.digest), text);
    const { manifests, problems } = await (await imageOf('app')).list();
    expect(manifests).toEqual([]);
    expect(problems).toEqual([
      { problem, message: expect.stringContaining(message) as string, tags: [], manifest: one.digest },
    ]);
  });

  it('reports tags without a usable link, and invalid ones', async () => {
    await old.putManifest('app', one, ['empty', 'gone', 'fine']);
    await writeFile(old.tagLink('app', 'empty'), '');
    await rm(old.tagLink('app', 'gone'));
    await writeNew(old.tagLink('app', '-bad'), one.digest);
    const { tags, problems } = await (await imageOf('app')).list();
    expect(tags.map(({ tag }) => tag)).toEqual(['fine']);
    expect(problems.map(({ problem, tags: names }) => [problem, ...names])).toEqual([
      ['invalid-tag', '-bad'],
      ['broken-link', 'empty'],
      ['broken-link', 'gone'],
    ]);
  });

  it.skipIf(process.platform === 'win32')('reports a pipe in place of a link, and does not wait for it', async () => {
    await old.putManifest('app', one, ['pipe', 'fine']);
    await rm(old.tagLink('app', 'pipe'));
    execFileSync('mkfifo', [old.tagLink('app', 'pipe')]);
    const { tags, problems } = await (await imageOf('app')).list();
    expect(tags.map(({ tag }) => tag)).toEqual(['fine']);
    expect(problems).toEqual([
      { problem: 'unreadable', tags: ['pipe'], message: `${old.tagLink('app', 'pipe')} is not a file` },
    ]);
  });

  it('finds the blobs that the image shows, and no others', async () => {
    const bytes = Buffer.from('layer');
    const known = (await old.putBlob('app', bytes)) as Digest;
    await old.putManifest('app', one, ['1']);
    await old.putManifest('other', one, ['1']);
    const app = await imageOf('app');
    expect(await app.findBlob(known)).toMatchObject({ path: old.data(known), size: bytes.length });
    expect(await (await imageOf('other')).findBlob(known)).toBeUndefined();
    await rm(old.data(known));
    expect(await app.findBlob(known)).toMatchObject({ problem: 'missing-blob' });
    await writeFile(old.layerLink('app', known), '');
    expect(await app.findBlob(known)).toMatchObject({ problem: 'broken-link' });
  });

  it('resolves data that is a symbolic link, so that the link itself is never taken over', async () => {
    const known = (await old.putBlob('app', Buffer.from('layer'))) as Digest;
    await old.putManifest('app', one, ['1']);
    const elsewhere = path.join(root, 'elsewhere');
    await writeFile(elsewhere, 'layer');
    await rm(old.data(known));
    await symlink(elsewhere, old.data(known));
    expect(await (await imageOf('app')).findBlob(known)).toMatchObject({ path: elsewhere });
  });

  it('hashes and reads a file', async () => {
    const bytes = Buffer.alloc(3_000_000, 'some bytes');
    const known = (await old.putBlob('app', bytes)) as Digest;
    await old.putManifest('app', one, ['1']);
    const file = await (await imageOf('app')).findBlob(known);
    if (file === undefined || 'problem' in file) throw new Error('the blob was not found');
    expect(await file.digest('sha256')).toBe(known);
    expect(await file.digest('sha512')).toBe(digest(bytes, 'sha512'));
    expect(Buffer.concat((await file.open().toArray()) as Buffer[]).equals(bytes)).toBe(true);
    const stop = AbortSignal.abort(new Error('stopped'));
    await expect(file.digest('sha256', stop)).rejects.toThrow('abort');
  });

  it('returns the moves of a tag from the oldest to the current digest', async () => {
    await old.putManifest('app', one, ['1'], 1_600_000_000_000);
    await old.putManifest('app', two, ['1'], 1_700_000_000_000);
    await old.putManifest('app', three, ['1'], 1_650_000_000_000);
    // Pushed again within the same second as another digest.
    await old.putManifest('app', two, ['1'], 1_700_000_000_000);
    await utimes(old.tagLink('app', '1', three.digest), 1_700_000_000, 1_700_000_000);
    await writeNew(old.path('repositories', 'app', '_manifests', 'tags', '1', 'index', 'sha256', 'odd', 'link'), 'x');
    const moves = await (await imageOf('app')).movesOf(parseTag('1'));
    expect(moves).toEqual([
      { digest: one.digest, at: 1_600_000_000_000 },
      { digest: three.digest, at: 1_700_000_000_000 },
      { digest: two.digest, at: 1_700_000_000_000 },
    ]);
  });

  it.each([
    { what: 'a missing folder', make: async () => {}, error: 'is not a folder' },
    { what: 'an empty folder', make: () => mkdir(path.join(root, 'other')), error: 'no registry in' },
    {
      what: 'a folder of other files',
      make: () => writeNew(path.join(root, 'other', 'sub', 'index.json'), '{}'),
      error: 'no registry in',
    },
    {
      what: 'blobs without repositories',
      make: () => writeNew(path.join(root, 'other', 'blobs', 'sha256', hex('x')), 'x'),
      error: 'no registry in',
    },
  ])('refuses $what', async ({ make, error }) => {
    await make();
    await expect(openRegistryFolder(path.join(root, 'other'))).rejects.toThrow(error);
  });
});
