import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { Command, originOf, type CommandOptions } from '../../support/servers/command.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

let folder: string;
beforeAll(async () => {
  folder = await makeScratchFolder();
});
afterAll(() => removeScratchFolder(folder));

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const cli = 'dist/command/cli.js';
let folders = 0;
const serveArgs = (): string[] => ['serve', '--port', '0', '--data', path.join(folder, String(++folders))];

async function serve(args: readonly string[] = [], options: CommandOptions = {}) {
  const command = new Command(cli, [...serveArgs(), ...args], { cwd: folder, ...options });
  cleanups.add(() => command.destroy());
  const client = new Client(await originOf(command));
  cleanups.add(() => client.close());
  return { command, client };
}

const linesOf = (text: string): Record<string, unknown>[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const many = 400;
async function requestMany(client: Client): Promise<void> {
  await Promise.all(Array.from({ length: many }, (_, i) => client.get(`/v2/local/app/manifests/${i}`)));
}

describe('the log of serve', () => {
  it('has all lines in order when SIGTERM stops the server', async () => {
    const { command, client } = await serve();
    await requestMany(client);
    const lines = linesOf((await command.stop()).stderr);
    const urls = new Set(lines.slice(0, many).map(({ url }) => url));
    expect([urls.size, lines.slice(many).map(({ msg }) => msg)]).toEqual([many, ['stopping', 'stopped']]);
    const times = lines.map(({ time }) => String(time));
    expect(times).toEqual(times.toSorted());
  });

  it('has all lines when an uncaught error ends the process', async () => {
    const fail = "data:text/javascript,process.on('SIGUSR2',()=>{throw(new(Error)('boom'))})";
    const { command, client } = await serve([], { env: { NODE_OPTIONS: `--import=${fail}` } });
    await requestMany(client);
    command.kill('SIGUSR2');
    const { code, stderr } = await command.ended();
    const lines = linesOf(stderr);
    expect([code, lines.length]).toEqual([1, many + 1]);
    expect(lines.at(-1)).toMatchObject({ level: 'fatal', msg: 'uncaught error', err: { message: 'boom' } });
  });

  it('has the bytes and the user agent of each request', async () => {
    const { command, client } = await serve();
    const agent = `test/1 aat_0123456789abcdef_secret ${'x'.repeat(300)}`;
    await client.post('/v2/local/app/blobs/uploads/', { body: Buffer.from('12345'), headers: { 'User-Agent': agent } });
    const [line] = linesOf((await command.stop()).stderr);
    expect(line).toMatchObject({ bytesReceived: 5, bytesSent: expect.any(Number) as number });
    expect(line?.['userAgent']).toBe(agent.slice(0, 200).replace('_secret', '_…'));
  });

  it('is readable with --log-format pretty', async () => {
    const { command, client } = await serve(['--log-format', 'pretty']);
    await client.get('/v2/');
    const { stderr } = await command.stop();
    expect(stderr).toMatch(/INFO: GET \/v2\/ 200 \| .*\n.*INFO: stopping \{"signal":"SIGTERM"/);
  });

  it('is readable on a terminal', async () => {
    const command = [process.execPath, path.join(import.meta.dirname, '../../..', cli), ...serveArgs()].join(' ');
    // `script` of util-linux runs a command on a terminal.
    const child = spawn('script', ['--quiet', '--return', '--flush', '--command', command, '/dev/null'], {
      cwd: folder,
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, NO_COLOR: '1' },
    });
    let text = '';
    let origin: string | undefined;
    for await (const chunk of child.stdout.setEncoding('utf8')) {
      text += chunk as string;
      origin ??= /http:\/\/127\.0\.0\.1:\d+(?=\s)/.exec(text)?.[0];
      if (origin !== undefined && !text.includes('INFO: GET /v2/')) await fetch(`${origin}/v2/`);
      // Ctrl-C.
      if (text.includes('INFO: GET /v2/') && child.stdin.writable) child.stdin.end('\u0003');
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
    expect(text).toMatch(/\[\d\d:\d\d:\d\d\.\d{3}\] INFO: GET \/v2\/ 200 \| [0-9.]+ ms/);
  });
});
