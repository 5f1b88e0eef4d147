import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import { createRegistry, type Middleware, type Registry } from '../../../src/index.js';
import { createRegistryServer } from '../../../src/command/serve/server.js';
import { Client } from '../../support/clients/client.js';
import { Command, originOf, originPattern, type CommandOptions } from '../../support/servers/command.js';
import { pushAndPull } from '../../support/clients/push-and-pull.js';
import { exchangeRaw, rawHead } from '../../support/clients/raw.js';
import { recordingLogger } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

async function makeFolder(): Promise<string> {
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  return folder;
}

async function run(args: readonly string[], options: CommandOptions): Promise<Command> {
  const command = new Command('dist/command/cli.js', args, { cwd: await makeFolder(), ...options });
  cleanups.add(() => command.destroy());
  return command;
}

/** Connections that bring nothing. Returns those that are still open when asked. */
async function openIdle(port: number, count: number): Promise<{ readonly open: () => number }> {
  const sockets = await Promise.all(
    Array.from({ length: count }, async (): Promise<Socket> => {
      const socket = connect(port, '127.0.0.1').on('error', () => {});
      cleanups.add(() => socket.destroy());
      await once(socket, 'connect').catch(() => undefined);
      return socket.resume();
    }),
  );
  return { open: () => sockets.filter((socket) => !socket.destroyed && !socket.readableEnded).length };
}

describe.skipIf(process.platform === 'win32')('with few open files', () => {
  it('refuses to start below the minimum, with the limit and how to raise it', async () => {
    const { code, stdout, stderr } = await (await run(['serve', '--port', '0'], { openFiles: 128 })).ended();
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(
      /^artifactapi: the limit of open files is 128, but at least 256 are needed: raise it with.*\n$/,
    );
  });

  it('accepts pushes while clients open more connections than the limit', async () => {
    const command = await run(['serve', '--port', '0', '--data', 'data'], { openFiles: 256 });
    const origin = await originOf(command);
    const { open } = await openIdle(Number(new URL(origin).port), 300);
    for (let i = 0; i < 10; i++) {
      const client = new Client(origin);
      cleanups.add(() => client.close());
      await pushAndPull(client, `local/app-${i}`);
    }
    // One in 40, besides those of the clients above.
    await expect.poll(open).toBeLessThanOrEqual(40);
    const { code, stderr } = await command.stop();
    expect([code, stderr.includes('"level":"error"')]).toEqual([0, false]);
  });
});

describe('the limit on connections', () => {
  it('closes the connections that have been idle for longest, and refuses and logs new ones when all are busy', async () => {
    const folder = await makeFolder();
    const registry = createRegistry({ storage: folder, access: 'open', repositories: [], logger: recordingLogger() });
    const middleware: Middleware = (req, res, next) => {
      if (req.url !== '/hangs') registry.middleware(req, res, next);
    };
    const log = recordingLogger();
    const hanging = Object.create(registry, { middleware: { value: middleware } }) as Registry;
    const server = createRegistryServer({ registry: hanging, log, maxConnections: 5 });
    cleanups.add(() => server.stop(0));
    const { port } = await server.listen(0, '127.0.0.1');
    const { open } = await openIdle(port, 8);
    expect(await exchangeRaw(port, rawHead('GET', '/v2/'))).toMatchObject({ status: 200 });
    await expect.poll(open).toBeLessThanOrEqual(4);

    for (let i = 1; i <= 5; i++) {
      const socket = connect(port, '127.0.0.1').on('error', () => {});
      cleanups.add(() => socket.destroy());
      socket.write(rawHead('GET', '/hangs'));
      await expect.poll(() => server.requestsInFlight).toBe(i);
    }
    await openIdle(port, 3);
    await expect
      .poll(() => log.lines.filter(({ message }) => message.startsWith('connection refused')))
      .toMatchObject([{ level: 'warn', fields: { maxConnections: 5 } }]);
  });
});

describe.skipIf(process.platform === 'win32')('npm start', () => {
  it('forwards SIGTERM to the server, which stops cleanly', async () => {
    const data = path.join(await makeFolder(), 'data');
    const args = ['start', '--ignore-scripts', '--', '--port', '0', '--data', data];
    const npm = spawn('npm', args, { cwd: path.resolve('.'), stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    npm.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    npm.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
    const ended = once(npm, 'close');
    await expect.poll(() => originPattern.exec(output)?.[0]).toBeDefined();
    npm.kill('SIGTERM');
    // The pipes close when the server has ended, too.
    await ended;
    expect(output).toMatch(/"msg":"stopped"/);
  });
});

it.skipIf(process.platform !== 'linux')('a log on a full disk does not stop the server', async () => {
  const folder = await makeFolder();
  const script = 'exec "$0" "$@" 2>/dev/full';
  const child = spawn(
    'bash',
    ['-c', script, process.execPath, path.resolve('dist/command/cli.js'), 'serve', '--port', '0', '--data', folder],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const ended = once(child, 'close') as Promise<[number | null]>;
  cleanups.add(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  await expect.poll(() => originPattern.exec(output)?.[0]).toBeDefined();
  const client = new Client(originPattern.exec(output)?.[0] ?? '');
  cleanups.add(() => client.close());
  for (let i = 0; i < 5; i++) expect((await client.get('/v2/')).status).toBe(200);
  await pushAndPull(client, 'local/app');
  child.kill('SIGTERM');
  expect((await ended)[0]).toBe(0);
});
