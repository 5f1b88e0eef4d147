import { cp, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { Command, copyCommand, originOf } from '../../support/servers/command.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const root = path.join(import.meta.dirname, '../../..');
const files = ['commands', 'program', 'rolldown-runtime', 'shared'].map(
  (name) => `${name}.cjs.${process.version}-${process.arch}`,
);

it('a server saves its compiled code beside the program and starts with it; other commands save nothing', async () => {
  const cleanups = new Cleanups();
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  const program = await copyCommand(folder);
  const code = path.join(program, 'compile-cache');
  await cp(path.join(root, 'package.json'), path.join(folder, 'package.json'));
  const run = (...args: readonly string[]): Command => {
    const command = new Command(path.relative(root, path.join(program, 'cli.js')), args, { cwd: folder });
    cleanups.add(() => command.destroy());
    return command;
  };
  const serve = (): Command => run('serve', '--port', '0', '--data', 'data');
  const inodes = (): Promise<number[]> =>
    Promise.all(files.map(async (name) => (await stat(path.join(code, name))).ino));
  try {
    expect((await run('--version').ended()).code).toBe(0);
    await expect(readdir(code)).rejects.toThrow('ENOENT');
    const first = serve();
    await expect.poll(() => readdir(code).catch(() => [])).toEqual(files);
    await first.stop();
    const saved = await inodes();
    const second = serve();
    expect((await fetch(`${await originOf(second)}/v2/`)).status).toBe(200);
    expect((await second.stop()).code).toBe(0);
    expect(await inodes()).toEqual(saved);
  } finally {
    await cleanups.run();
  }
});
