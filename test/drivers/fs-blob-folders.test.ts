import { mkdir, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PageRequest } from '../../src/ports/pages.js';
import { digestOf, hexOf, type Digest } from '../../src/protocol/digest.js';
import { FsBlobStore } from '../../src/storage/files/fs-blob-store.js';
import { probeRenames, type RenameCalls } from '../../src/storage/files/rename-probe.js';
import { patternBytes, sourceOf } from '../support/content/bytes.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

const bytes = patternBytes(10);
const digest = digestOf(bytes);
const prefix = hexOf(digest).slice(0, 2);

describe('the folders of FsBlobStore', () => {
  let root: string;
  let strays: string[];
  let store: FsBlobStore;
  const open = async (): Promise<void> => {
    strays = [];
    store = await FsBlobStore.open(root, {
      onStray: (path, cause) => strays.push(path.slice(root.length + 1) + (cause === undefined ? '' : ' !')),
    });
  };
  beforeEach(async () => {
    root = await makeScratchFolder();
    await open();
    await commit(bytes);
  });
  afterEach(async () => {
    await store.close();
    await removeScratchFolder(root);
  });

  async function commit(content: Buffer): Promise<void> {
    const staged = await store.stage('put');
    await staged.append(sourceOf(content));
    await staged.commit(digestOf(content));
  }

  async function list(): Promise<Digest[]> {
    const found: Digest[] = [];
    for await (const info of store.list()) found.push(info.digest);
    for await (const { id } of store.listStaged()) throw new Error(`staged: ${id}`);
    await store.listQuarantined({ limit: 10 });
    return found;
  }

  const files: readonly string[] = [
    'blobs/.DS_Store',
    'blobs/sha256/.DS_Store',
    'blobs/sha256/Thumbs.db',
    `blobs/sha256/${prefix}/.DS_Store`,
    `blobs/sha256/${prefix}/${'f'.repeat(64)}`,
    'staged/.DS_Store',
    'quarantine/Thumbs.db',
    'quarantine/sha256/.DS_Store',
  ];
  it.each(files)('skips the file %s and reports it once, over several listings', async (file) => {
    await writeFile(join(root, file), 'stray');
    for (let pass = 0; pass < 3; pass++) expect(await list()).toEqual([digest]);
    expect(strays).toEqual([file]);
    expect((await stat(join(root, file))).size).toBe(5);
  });

  const folders: readonly string[] = [
    'blobs/lost+found',
    'blobs/md5',
    'blobs/sha256/lost+found',
    'blobs/sha256/abc',
    `blobs/sha256/${prefix}/lost+found`,
    `blobs/sha256/${prefix}/${prefix}${'0'.repeat(62)}`,
    'staged/lost+found',
    'staged/some-folder',
    'quarantine/lost+found',
    'quarantine/sha256/lost+found',
  ];
  it.each(folders)('skips the folder %s and reports it once', async (folder) => {
    await mkdir(join(root, folder));
    for (let pass = 0; pass < 3; pass++) expect(await list()).toEqual([digest]);
    expect(strays).toEqual([folder]);
  });

  const replaced: readonly [string, (path: string) => Promise<void>][] = [
    ['a file', (path) => writeFile(path, 'no folder')],
    // Even root cannot read this folder.
    ['a folder that cannot be read', (path) => symlink(path, path)],
  ];
  it.each(replaced)('lists all other blobs when %s takes the place of a prefix folder', async (_what, make) => {
    const folder = join(root, 'blobs', 'sha256', prefix === 'aa' ? 'bb' : 'aa');
    await rm(folder, { recursive: true });
    await make(folder);
    for (let pass = 0; pass < 3; pass++) expect(await list()).toEqual([digest]);
    expect(strays).toEqual([`${folder.slice(root.length + 1)} !`]);
    // The same applies after a restart.
    await store.close();
    await open();
    expect(await list()).toEqual([digest]);
    expect(strays).toEqual([`${folder.slice(root.length + 1)} !`]);
  });

  it('lists an empty quarantine when its folder cannot be read', async () => {
    await rm(join(root, 'quarantine', 'sha256'), { recursive: true });
    await symlink('sha256', join(root, 'quarantine', 'sha256'));
    expect(await store.listQuarantined({ limit: 10 })).toEqual({ items: [], more: false });
    expect(strays).toEqual(['quarantine/sha256 !']);
  });

  it('reads only the folders of the quarantine that a page needs', async () => {
    const others = ['one', 'two', 'three'].map((text) => Buffer.from(text));
    for (const content of others) await commit(content);
    const digests = [digest, ...others.map((content) => digestOf(content))].sort();
    for (const each of digests) await store.quarantine(each, Date.now());
    const last = hexOf(digests[3] as Digest).slice(0, 2);
    await rm(join(root, 'quarantine', 'sha256', last), { recursive: true });
    await symlink(last, join(root, 'quarantine', 'sha256', last));
    const listed = async (page: PageRequest) => {
      const { items, more } = await store.listQuarantined(page);
      return { found: items.map((item) => item.digest), more };
    };
    expect(await listed({ limit: 2 })).toEqual({ found: digests.slice(0, 2), more: true });
    expect(strays).toEqual([]);
    expect(await listed({ limit: 2, after: digests[1] as string })).toEqual({ found: [digests[2]], more: false });
    expect(strays).toEqual([`quarantine/sha256/${last} !`]);
  });

  it('stores the time of quarantine as the modification time of the file', async () => {
    const when = Date.UTC(2026, 0, 1);
    await store.quarantine(digest, when);
    const file = join(root, 'quarantine', 'sha256', prefix, hexOf(digest));
    expect([(await stat(file)).mtimeMs, (await stat(file)).size]).toEqual([when, bytes.length]);
  });

  it('removes the files of its probe and of an interrupted one', async () => {
    await writeFile(join(root, 'staged', '.rename-probe'), '');
    await writeFile(join(root, 'blobs', 'sha256', '00', '.rename-probe'), '');
    await store.close();
    await open();
    expect(await list()).toEqual([digest]);
    expect(strays).toEqual([]);
    expect(await readdir(join(root, 'staged'))).toEqual([]);
  });
});

describe('probeRenames', () => {
  const folders = [
    '/data/staged',
    '/data/quarantine/sha256',
    '/data/blobs/sha256/00',
    '/data/blobs/sha256/01',
  ] as const;
  const failure = (code: string): Error => Object.assign(new Error(code), { code });
  /** Creates a disk on which some calls fail, by the folder that they concern. */
  function disk(failures: Readonly<Record<string, string>>): RenameCalls & { readonly present: Set<string> } {
    const present = new Set<string>();
    const check = (path: string): void => {
      const code = failures[path.replace('/.rename-probe', '')];
      if (code !== undefined) throw failure(code);
    };
    return {
      present,
      create: async (path) => {
        check(path);
        present.add(path);
      },
      rename: async (from, to) => {
        check(to);
        present.delete(from);
        present.add(to);
      },
      remove: async (path) => void present.delete(path),
    };
  }
  const probe = async (failures: Readonly<Record<string, string>>) => {
    const unusable: string[] = [];
    const calls = disk(failures);
    const error = await probeRenames(folders, (folder) => unusable.push(folder), calls).then(
      () => undefined,
      (cause: Error) => cause.message,
    );
    expect([...calls.present]).toEqual([]);
    return { unusable, error };
  };

  it('accepts folders on one file system', async () => {
    expect(await probe({})).toEqual({ unusable: [], error: undefined });
  });

  it('rejects a folder on another file system with both names and a remedy', async () => {
    for (const folder of folders.slice(1)) {
      const { error } = await probe({ [folder]: 'EXDEV' });
      expect(error).toContain(`from ${folders[0]} to ${folder}`);
      expect(error).toContain('mount the whole data folder');
    }
  });

  it.each(['ENOSPC', 'EDQUOT'])('accepts a full disk: %s', async (code) => {
    for (const folder of folders) expect(await probe({ [folder]: code })).toEqual({ unusable: [], error: undefined });
  });

  it('reports a folder that refuses files, and tries the others', async () => {
    expect(await probe({ [folders[2]]: 'ENOTDIR' })).toEqual({ unusable: [folders[2]], error: undefined });
    const { error } = await probe({ [folders[2]]: 'EACCES', [folders[3]]: 'EXDEV' });
    expect(error).toContain(folders[3]);
  });

  it('rejects when no file can be created', async () => {
    expect((await probe({ [folders[0]]: 'EACCES' })).error).toBe('EACCES');
  });
});
