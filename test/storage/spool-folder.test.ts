import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeSelf } from '../../src/storage/level/database/level-owner.js';
import { claimSpoolFolder } from '../../src/storage/spool-folder.js';
import { Closers } from '../../src/util/closers.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';

let parent: string;
const closers = new Closers();
beforeEach(async () => {
  parent = await makeScratchFolder();
});
afterEach(() => removeScratchFolder(parent));

/** Creates the folder of another process, last changed some hours ago. */
async function leave(name: string, owner: object, hours: number): Promise<void> {
  const folder = path.join(parent, `artifactapi-spool-${name}`);
  await mkdir(path.join(folder, 'content'), { recursive: true });
  await writeFile(path.join(folder, 'owner.json'), JSON.stringify(owner));
  await writeFile(path.join(folder, 'content', 'a-fill'), 'bytes');
  const when = new Date(Date.now() - hours * 3_600_000);
  for (const part of ['content/a-fill', 'content', '.']) await utimes(path.join(folder, part), when, when);
}

it('a spool folder is new, deletes those of killed processes, and leaves those of others', async () => {
  const self = describeSelf();
  await leave('killed', { ...self, pid: self.pid, began: '1' }, 0);
  await leave('running', self, 100);
  await leave('container', { ...self, machine: 'another' }, 23);
  await leave('old-container', { ...self, machine: 'another' }, 25);
  await mkdir(path.join(parent, 'other'));
  const folders = [await claimSpoolFolder(closers, parent), await claimSpoolFolder(closers, parent)];
  for (const folder of folders) expect(await readdir(folder)).toEqual([]);
  const own = folders.map((folder) => path.basename(path.dirname(folder)));
  const kept = ['artifactapi-spool-container', 'artifactapi-spool-running', 'other', ...own];
  expect((await readdir(parent)).sort()).toEqual(kept.sort());
  await closers.close();
  expect((await readdir(parent)).sort()).toEqual(['artifactapi-spool-container', 'artifactapi-spool-running', 'other']);
});
