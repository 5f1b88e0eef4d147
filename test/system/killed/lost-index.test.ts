import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { bundledCommand, Command, originOf } from '../../support/servers/command.js';
import { pushAndPull } from '../../support/clients/push-and-pull.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

describe('artifactapi on a data folder whose index is lost', () => {
  let folder: string;
  let data: string;
  const commands: Command[] = [];
  const clients: Client[] = [];

  const run = (...args: string[]): Command => {
    const command = new Command(bundledCommand, args, { cwd: folder });
    commands.push(command);
    return command;
  };
  const serve = (...args: string[]): Command => run('serve', '--port', '0', '--data', data, ...args);
  const connect = async (command: Command): Promise<Client> => {
    const client = new Client(await originOf(command));
    clients.push(client);
    return client;
  };
  const stop = async (command: Command): Promise<void> => {
    command.kill('SIGTERM');
    await command.ended();
  };
  const blobs = async (): Promise<number> => {
    const entries = await readdir(path.join(data, 'blobs'), { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).length;
  };

  beforeEach(async () => {
    folder = await makeScratchFolder();
    data = path.join(folder, 'data');
    const command = serve();
    await pushAndPull(await connect(command), 'local/app');
    await stop(command);
    await rm(path.join(data, 'index', 'CURRENT'));
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.close();
    for (const command of commands.splice(0)) await command.destroy();
    await removeScratchFolder(folder);
  });

  it('does not start, says why and what to do, and deletes nothing', async () => {
    const before = await blobs();
    const { code, stderr } = await serve().ended();
    expect(code).toBe(1);
    expect(stderr).toContain('the file CURRENT is missing');
    expect(stderr).toContain(`artifactapi repair --data ${data}`);
    expect(stderr).toContain('--accept-empty-index');
    expect(await blobs()).toBe(before);
  });

  it('is reported by a repair that finds no image, with the advice to restore a backup', async () => {
    const index = path.join(data, 'index');
    const names = await readdir(index);
    for (const name of names.filter((one) => /\.(?:ldb|log)$/.test(one))) await rm(path.join(index, name));
    const { code, stdout } = await run('repair', '--data', data).ended();
    expect([code, stdout]).toEqual([3, expect.stringContaining('images: 0\n')]);
    expect(stdout).toContain('\nno image is left, although the folder has blobs: restore a backup\n');
  });

  it('starts empty with --accept-empty-index, moves the index aside, and then starts as usual', async () => {
    const accepting = serve('--accept-empty-index');
    const client = await connect(accepting);
    expect(await (await client.get('/v2/_catalog')).json()).toEqual({ repositories: [] });
    expect((await readdir(data)).some((name) => name.startsWith('index.lost-'))).toBe(true);
    await stop(accepting);
    expect(accepting.stderr).toContain('index started empty');
    const next = serve();
    await connect(next);
    await stop(next);
  });

  it('is repaired by repair, which refuses while a server runs', async () => {
    const { code, stdout } = await run('repair', '--data', data).ended();
    expect(code).toBe(0);
    expect(stdout).toMatch(/repositories: 1 \(local\)\n {2}images: 1\n {2}manifests: \d+\n {2}tags: 1\n/);
    expect(stdout).toContain('index.damaged-');
    const server = serve();
    const client = await connect(server);
    expect(await (await client.get('/v2/_catalog')).json()).toEqual({ repositories: ['local/app'] });
    const second = await run('repair', '--data', data).ended();
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/another process \(pid \d+\) has .*index open: stop it first\n$/);
    await stop(server);
  });

  it('says that there is nothing to repair in a folder without an index', async () => {
    const { code, stderr } = await run('repair', '--data', path.join(folder, 'none')).ended();
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /cannot read the index .*: check --data, restore a backup, or run artifactapi storage rebuild\n$/,
    );
  });
});
