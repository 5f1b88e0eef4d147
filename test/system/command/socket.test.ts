import { once } from 'node:events';
import { access, mkdir, stat, writeFile } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { checkSocketPath } from '../../../src/command/serve/listeners/unix-socket.js';
import { Client } from '../../support/clients/client.js';
import { Command, originOf } from '../../support/servers/command.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

let folder: string;
let socket: string;
beforeAll(async () => {
  folder = await makeScratchFolder();
});
afterAll(() => removeScratchFolder(folder));

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

let folders = 0;
/** Runs `serve` on `socket` in an own folder, unless the arguments name another socket. */
async function run(args: readonly string[] = [], config = ''): Promise<Command> {
  const own = path.join(folder, String(++folders));
  await mkdir(own);
  if (!args.includes('--socket')) socket = path.join(own, 's');
  await writeFile(path.join(own, 'config.yaml'), config);
  const flags = ['--data', path.join(own, 'data'), '--socket', socket, '--config', path.join(own, 'config.yaml')];
  const command = new Command('dist/command/cli.js', ['serve', ...flags, ...args], { cwd: own });
  cleanups.add(() => command.destroy());
  return command;
}

async function serve(args: readonly string[] = [], config = ''): Promise<Command> {
  const command = await run(args, config);
  await command.waitFor(/listening on .*\n/);
  return command;
}

async function get(url: string, headers: Readonly<Record<string, string>> = {}) {
  const sent = request({ socketPath: socket, path: url, headers: { Host: 'localhost', ...headers } }).end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  return { status: answer.statusCode, headers: answer.headers, body: await text(answer) };
}

const exists = (place: string): Promise<boolean> =>
  access(place).then(
    () => true,
    () => false,
  );

describe('serve on a Unix socket', () => {
  it('listens there instead of on a port, and removes it when it stops', async () => {
    const command = await serve();
    expect(command.stdout).toContain(`listening on unix:${socket}\n`);
    expect((await get('/v2/')).status).toBe(200);
    expect((await stat(socket)).mode & 0o777).toBe(0o660);
    expect([(await command.stop()).code, await exists(socket)]).toEqual([0, false]);
  });

  it('listens on a port too when one is given', async () => {
    const command = await serve(['--port', '0']);
    const client = new Client(await originOf(command));
    cleanups.add(() => client.close());
    expect([(await client.get('/v2/')).status, (await get('/v2/')).status]).toEqual([200, 200]);
  });

  it('replaces the socket that a killed server left', async () => {
    const killed = await serve();
    await killed.destroy();
    expect(await exists(socket)).toBe(true);
    await serve(['--socket', socket]);
    expect((await get('/v2/')).status).toBe(200);
  });

  it('refuses the socket of a running server, which stays', async () => {
    await serve();
    const { code, stderr } = await (await run(['--socket', socket])).ended();
    expect([code, stderr]).toEqual([1, `artifactapi: another server listens on the socket "${socket}"\n`]);
    expect((await get('/v2/')).status).toBe(200);
  });

  it.each([
    ["'0600'", {}, 200],
    ["'0600'", { Host: 'evil.example' }, 403],
    ["'0600'", { 'X-Forwarded-For': '192.0.2.7' }, 403],
    ["'0660'", {}, 403],
    ["'0666'", {}, 403],
  ])('with mode %s and the headers %j, the open management API answers %i', async (mode, headers, status) => {
    await serve([], `server: { socketMode: ${mode} }`);
    expect((await get('/api/v1/repositories', headers)).status).toBe(status);
  });

  it.each([
    ["['unix:']", '192.0.2.7', 'https://registry.example/v2/token'],
    ["['127.0.0.1']", '', 'http://localhost/v2/token'],
  ])('with trustedProxies %s, the client is %j', async (trustedProxies, clientAddress, realm) => {
    const rules = 'access: { rules: [{ names: local, users: [ana], allow: [pull] }] }';
    const command = await serve([], `trustedProxies: ${trustedProxies}\n${rules}\n`);
    const forwarded = { For: '192.0.2.7', Proto: 'https', Host: 'registry.example' };
    const headers = Object.fromEntries(
      Object.entries(forwarded).map(([name, value]) => [`X-Forwarded-${name}`, value]),
    );
    const answer = await get('/v2/', headers);
    expect(answer.headers['www-authenticate']).toContain(`realm="${realm}"`);
    const [line = ''] = (await command.stop()).stderr.split('\n');
    expect(JSON.parse(line)).toMatchObject({ msg: 'request', clientAddress, remoteAddress: '' });
  });

  it('requires access when a proxy on the socket is trusted', async () => {
    const { code, stderr } = await (await run([], "trustedProxies: ['unix:']")).ended();
    expect([code, stderr]).toEqual([1, expect.stringContaining('access is not configured')]);
  });
});

describe('a socket that cannot be used', () => {
  it.each<[string, () => string | Promise<string>, string]>([
    ['a path that is too long', () => `/${'x'.repeat(107)}`, 'has 108 bytes, and the system allows 107'],
    ['a folder that does not exist', () => path.join(folder, 'none', 's'), 'does not exist: create it'],
    [
      'a file',
      async () => {
        await writeFile(path.join(folder, 'file'), '');
        return path.join(folder, 'file');
      },
      'is not a socket: remove it',
    ],
    ['a path below a file', () => path.join(import.meta.filename, 's'), 'does not exist: create it'],
  ])('%s is refused', async (_what, place, problem) => {
    await expect(Promise.resolve(place()).then((at) => checkSocketPath(at, 'linux'))).rejects.toThrow(problem);
  });

  it.each(['660', "'0999'", "'rw'", "''"])('the mode %s is refused', async (mode) => {
    const { code, stderr } = await (await run([], `server: { socketMode: ${mode} }`)).ended();
    expect([code, stderr]).toEqual([1, expect.stringContaining('server.socketMode: ')]);
  });

  it('is refused on Windows, and where paths are shorter', async () => {
    await expect(checkSocketPath('C:\\s', 'win32')).rejects.toThrow('not available on Windows');
    await expect(checkSocketPath(`/${'x'.repeat(103)}`, 'darwin')).rejects.toThrow('the system allows 103');
  });
});
