import { spawnSync } from 'node:child_process';
import { cp, mkdir, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FolderLock } from '../../../../src/storage/level/database/level-lock.js';
import { makeScratchFolder, removeScratchFolder } from '../../../support/storage/scratch.js';

const canMount = spawnSync('unshare', ['--mount', 'true']).status === 0;

describe('FolderLock', () => {
  let root: string;
  beforeEach(async () => {
    root = await makeScratchFolder();
    await mkdir(join(root, 'folder'));
  });
  afterEach(() => removeScratchFolder(root));

  it('refuses a second claim of a folder through another path until the first is released', async () => {
    await symlink(join(root, 'folder'), join(root, 'link'));
    const lock = await FolderLock.claim(join(root, 'folder'));
    await expect(FolderLock.claim(join(root, 'link'))).rejects.toThrow('this process already has');
    await lock.release();
    await (await FolderLock.claim(join(root, 'link'))).release();
  });

  it('grants a claim of a copy while the original is open, and refuses one of the renamed original', async () => {
    const [folder, copy, moved] = ['folder', 'copy', 'moved'].map((name) => join(root, name)) as [
      string,
      string,
      string,
    ];
    const lock = await FolderLock.claim(folder);
    await lock.confirm();
    await cp(folder, copy, { recursive: true });
    await (await FolderLock.claim(copy)).release();
    await rename(folder, moved);
    await expect(FolderLock.claim(moved)).rejects.toThrow('this process already has');
    await rename(moved, folder);
    await lock.release();
  });

  it.runIf(canMount)('refuses a second claim through a bind mount (needs root)', async () => {
    await mkdir(join(root, 'mount'));
    const script = `
      const { FolderLock } = await import('${pathToFileURL('dist/src/storage/level/database/level-lock.js').href}');
      await FolderLock.claim(process.argv[1] + '/folder');
      await FolderLock.claim(process.argv[1] + '/mount').catch((error) => console.log(error.message));
    `;
    const mountAndRun = 'mount --bind "$1/folder" "$1/mount" && exec "$2" --input-type=module -e "$3" -- "$1"';
    const args = ['--mount', 'sh', '-c', mountAndRun, 'sh', root, process.execPath, script];
    const { stdout, stderr } = spawnSync('unshare', args, { encoding: 'utf8' });
    expect(stdout + stderr).toBe(`this process already has ${join(root, 'mount')} open\n`);
  });
});
