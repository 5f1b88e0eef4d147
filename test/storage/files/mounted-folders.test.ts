import type { Dirent } from 'node:fs';
import { mkdir, readdir, realpath, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findMounted } from '../../../src/storage/files/mounted-folders.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

describe('findMounted', () => {
  let folder: string;
  let entries: readonly Dirent[];
  beforeAll(async () => {
    folder = join(await realpath(await makeScratchFolder()), 'some blobs');
    for (const name of ['00', '01', '02']) await mkdir(join(folder, name), { recursive: true });
    await symlink('/', join(folder, 'link'));
    await writeFile(join(folder, 'file'), '');
    entries = await readdir(folder, { withFileTypes: true });
  });
  afterAll(() => removeScratchFolder(join(folder, '..')));

  const find = async (platform: NodeJS.Platform, readMountTable: () => Promise<string>): Promise<string[]> =>
    (await findMounted(folder, entries, { platform, readMountTable })).sort();
  const lineOf = (path: string): string =>
    `36 35 98:0 /mnt1 ${path.replaceAll(' ', '\\040')} rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n`;

  const tables: readonly [string, (path: string) => readonly string[], readonly string[]][] = [
    ['no mounts', () => [], []],
    ['mounts elsewhere', (path) => ['/', '/proc', path, `${path}/02/deeper`, '/other/00'], []],
    ['mounts on two of its folders', (path) => ['/', `${path}/00`, `${path}/02`], ['00', '02']],
  ];
  it.each(tables)('returns links, files and mount points for a table with %s', async (_what, pathsOf, mounted) => {
    const table = pathsOf(folder).map(lineOf).join('');
    expect(await find('linux', async () => table)).toEqual([...mounted, 'file', 'link']);
  });

  it('returns only links and files on Windows, where mounted volumes are links', async () => {
    const unread = (): Promise<string> => Promise.reject(new Error('read'));
    expect(await find('win32', unread)).toEqual(['file', 'link']);
  });

  it('returns all entries when the mounts are not listed', async () => {
    const all = ['00', '01', '02', 'file', 'link'];
    expect(await find('linux', () => Promise.reject(new Error('no /proc')))).toEqual(all);
    expect(await find('darwin', async () => '')).toEqual(all);
  });
});
