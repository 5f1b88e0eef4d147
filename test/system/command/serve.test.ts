import { once } from 'node:events';
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { stopSignals } from '../../../src/command/serve/serve-signals.js';
import { explainStorageError, explainListenError } from '../../../src/command/serve/start-error.js';
import { Client } from '../../support/clients/client.js';
import { bundledCommand, Command, originOf, type CommandOptions, type Ended } from '../../support/servers/command.js';
import { digest, startUpload } from '../../support/content/content.js';
import { pushAndPull } from '../../support/clients/push-and-pull.js';
import { RawConnection, rawHead } from '../../support/clients/raw.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

let folder: string;
beforeAll(async () => {
  folder = await makeScratchFolder();
});
afterAll(() => removeScratchFolder(folder));

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const tls = path.join(import.meta.dirname, '../../support/tls');
const tlsFlags = ['--tls-cert', `${tls}/test-only-certificate.pem`, '--tls-key', `${tls}/test-only-key.pem`];

function run(args: readonly string[], options: CommandOptions = {}): Command {
  const command = new Command(bundledCommand, args, { cwd: folder, ...options });
  cleanups.add(() => command.destroy());
  return command;
}

/** `serve` on a free port, started; with a data folder of its own unless the arguments name one. */
async function serve(args: readonly string[], options: CommandOptions = {}) {
  const data = args.includes('--data') ? [] : ['--data', path.join(await makeOwnFolder(), 'data')];
  const command = run(['serve', '--port', '0', ...data, ...args], options);
  const origin = await originOf(command);
  const client = new Client(origin);
  cleanups.add(() => client.close());
  return { command, origin, port: Number(new URL(origin).port), client };
}

let folders = 0;
async function makeOwnFolder(): Promise<string> {
  const own = path.join(folder, String(++folders));
  await mkdir(own);
  return own;
}

async function writeConfig(text: string, name = 'config.yaml'): Promise<string> {
  const file = path.join(await makeOwnFolder(), name);
  await writeFile(file, text);
  return file;
}

describe('artifactapi', () => {
  it.each([
    ['--version', /^\d+\.\d+\.\d+\n$/],
    ['--help', /^ {2}serve +Run a registry/m],
    ['serve --help', /--host <address>[\s\S]*--port <number>[\s\S]*--tls-key <file>[\s\S]*--log-level <level>/],
  ])('prints its version or help for %s', async (args, expected) => {
    const { code, stdout } = await run(args.split(' ')).ended();
    expect(code).toBe(0);
    expect(stdout).toMatch(expected);
  });

  it.each([
    ['a certificate without its key', tlsFlags.slice(0, 2), /--tls-cert: must be used together with --tls-key/],
    ['an invalid certificate', ['--tls-cert', 'a-file', '--tls-key', 'a-file'], /TLS certificate and key cannot/],
    ['a missing config file', ['--config', 'none.yaml'], /cannot read the config file.*none\.yaml/],
    ['an unknown host', ['--host', 'nowhere.invalid'], /cannot resolve the host "nowhere\.invalid"/],
    [
      'an address of another machine',
      ['--host', '203.0.113.1', '--open'],
      /"203\.0\.113\.1" is not an address of this machine/,
    ],
    [
      'an address that others can reach',
      ['--host', '0.0.0.0'],
      /access is not configured[\s\S]*read-only[\s\S]*--open/,
    ],
    ['a data folder that is a file', ['--data', 'a-file'], /data folder ".*a-file" cannot be created/],
    ['a data folder under a file', ['--data', 'a-file/data'], /data folder ".*a-file\/data" cannot be created/],
    ['a data folder that is a broken link', ['--data', 'a-link'], /data folder ".*a-link" cannot be created/],
    ['a data folder of another release', ['--data', 'newer'], /newer has layout version "99"/],
  ])('refuses %s with an explanation and status 1', async (_what, args, expected) => {
    await writeFile(path.join(folder, 'a-file'), 'text');
    await rm(path.join(folder, 'a-link'), { force: true });
    await symlink('nowhere/data', path.join(folder, 'a-link'));
    await mkdir(path.join(folder, 'newer'), { recursive: true });
    await writeFile(path.join(folder, 'newer/VERSION'), '99\n');
    const { code, stdout, stderr } = await run(['serve', '--port', '0', ...args]).ended();
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(expected);
    expect(stderr).not.toMatch(/\n\s+at |"level"/);
  });

  it.each([
    ['an unknown option', ['--prot', '1'], /^artifactapi: unknown option "--prot": did you mean --port\?\n/],
    ['an invalid port', ['--port', '70000'], /--port: "70000" must be a number from 0 to 65535/],
    ['an unknown log level', ['--log-level', 'loud'], /--log-level: "loud" must be one of debug, info/],
  ])('refuses %s with an explanation and status 2', async (_what, args, expected) => {
    const { code, stdout, stderr } = await run(['serve', ...args]).ended();
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(expected);
  });

  it('is not open by default when a proxy is trusted', async () => {
    const file = await writeConfig('trustedProxies: [127.0.0.1]\n');
    const { code, stderr } = await run(['serve', '--port', '0', '--config', file]).ended();
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /other machines can reach the registry through a trusted proxy, but access is not configured/,
    );
  });

  it('reports all problems of the config file at once', async () => {
    const file = await writeConfig(
      "access: all\nrepositories: [{ name: A, type: local }, { name: '${ABSENT_IN_TESTS}', type: local }]\nserver: { port: x }\n",
    );
    const { code, stderr } = await run(['serve', '--config', file]).ended();
    expect(code).toBe(1);
    const [first, ...rest] = stderr.trimEnd().split('\n');
    expect(first).toBe(`artifactapi: ${file} has problems:`);
    expect(rest.map((line) => line.trim().replace(/:.*/, ''))).toEqual([
      'repositories[1].name',
      'server.port',
      'access',
      'repositories[0].name',
    ]);
  });

  it('refuses a repository whose type changed in the config file, and says what to do', async () => {
    const data = path.join(await makeOwnFolder(), 'data');
    const first = await serve(['--data', data]);
    first.command.kill('SIGTERM');
    await first.command.ended();
    const config = await writeConfig('repositories: [{ name: local, type: remote, url: "http://127.0.0.1:9" }]');
    const { code, stderr } = await run(['serve', '--port', '0', '--data', data, '--config', config]).ended();
    expect(code).toBe(1);
    expect(stderr).toMatch(/^artifactapi: the type of a repository cannot change:\n/);
    expect(stderr).toContain('"local" is stored as local and declared as remote');
    expect(stderr).toContain('DELETE /api/v1/repositories/');
  });

  it('refuses a data folder that another process has open, and a port that is taken', async () => {
    const data = path.join(await makeOwnFolder(), 'data');
    const { port } = await serve(['--data', data]);
    const second = await run(['serve', '--port', '0', '--data', data]).ended();
    expect([second.code, second.stdout]).toEqual([1, '']);
    expect(second.stderr).toMatch(/^artifactapi: the data folder .* another process \(pid \d+\) has .* open\n$/);
    const third = await run(['serve', '--port', String(port), '--data', `${data}-2`]).ended();
    expect([third.code, third.stdout]).toEqual([1, '']);
    expect(third.stderr).toMatch(/^artifactapi: port \d+ of 127\.0\.0\.1 is in use: choose another with --port/);
  });
});

describe('the greeting', () => {
  it('has the address and commands to try, on stdout', async () => {
    const { command, port, client } = await serve([]);
    await command.waitFor(/--tls-verify=false/);
    expect(command.stdout).toContain(`docker push 127.0.0.1:${port}/local/app:1\n`);
    expect(command.stdout).not.toContain('insecure-registries');
    await pushAndPull(client, 'local/app');
  });

  it.each([
    [true, 'names the web UI'],
    [false, 'does not name a web UI that is off'],
  ])('with server.ui: %s, %s', async (ui) => {
    const { command, port, client } = await serve(['--config', await writeConfig(`server: { ui: ${ui} }`)]);
    await command.waitFor(/--tls-verify=false/);
    expect(command.stdout.includes(`\n  web UI: http://127.0.0.1:${port}/ui/\n`)).toBe(ui);
    const { errors } = (await client.get('/nowhere')).json() as { errors: { message: string }[] };
    expect(errors[0]?.message.endsWith(', the web UI at /ui/')).toBe(ui);
  });

  it('names an existing repository', async () => {
    const file = await writeConfig('repositories: [{ name: team, type: local }]');
    const { command, client } = await serve(['--config', file]);
    expect(await command.waitFor(/docker push .*/)).toMatch(/\/team\/app:1$/);
    expect((await client.get('/v2/local/app/tags/list')).codes).toEqual(['NAME_UNKNOWN']);
  });

  it('says how to create a repository when there is none', async () => {
    const { command } = await serve(['--config', await writeConfig('repositories: []')]);
    await command.waitFor(/curl .*\/api\/v1\/repositories/);
  });

  it('says what plain http needs on an address that others can reach', async () => {
    const { command, port } = await serve(['--host', '0.0.0.0', '--open']);
    expect(await command.waitFor(/"insecure-registries": \["[^"]+"\]/)).not.toContain('0.0.0.0');
    expect(await command.waitFor(/location = ".*"/)).toContain(`:${port}"`);
  });

  it('does not mention plain http with TLS', async () => {
    const { command, port, origin } = await serve(['--host', '0.0.0.0', '--open', ...tlsFlags]);
    expect(command.stdout).not.toContain('insecure');
    const ca = await readFile(`${tls}/test-only-certificate.pem`);
    const dispatcher = new Agent({ connect: { ca } });
    const { statusCode, body } = await request(`https://127.0.0.1:${port}/v2/`, { dispatcher });
    await body.dump();
    await dispatcher.destroy();
    expect([statusCode, origin.slice(0, 8)]).toEqual([200, 'https://']);
  });
});

describe('the config file', () => {
  it('may be YAML or JSON, and environment variables are filled in', async () => {
    const config = { access: 'read-only', storage: './kept', server: { host: '${BIND}', stopSeconds: 1 } };
    const file = await writeConfig(JSON.stringify(config, null, '\t'), 'config.json');
    const command = run(['serve', '--port', '0', '--config', file], { env: { BIND: '0.0.0.0' } });
    const client = new Client(await originOf(command));
    cleanups.add(() => client.close());
    await command.waitFor(/docker pull/);
    expect(command.stdout).toContain(`data:   ${path.dirname(file)}/kept`);
    expect(command.stdout).not.toContain('docker push');
    expect((await client.get('/v2/')).status).toBe(200);
    expect((await client.post('/v2/local/app/blobs/uploads/')).codes).toEqual(['DENIED']);
  });
});

describe('the log', () => {
  const linesOf = ({ stderr }: Ended): Record<string, unknown>[] =>
    stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  it('has a JSON line for each request, on stderr', async () => {
    const { command, client } = await serve([]);
    await client.get('/v2/local/app/manifests/v1');
    const ended = await command.stop();
    expect(linesOf(ended)).toMatchObject([
      {
        level: 'info',
        msg: 'request',
        op: 'manifest.get',
        method: 'GET',
        url: '/v2/local/app/manifests/v1',
        status: 404,
      },
      { level: 'info', msg: 'stopping', signal: 'SIGTERM' },
      { level: 'info', msg: 'stopped' },
    ]);
  });

  it('has no request lines at warn', async () => {
    const { command, client } = await serve(['--log-level', 'warn']);
    await client.get('/v2/');
    expect(await command.stop()).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('a shutdown', () => {
  const layer = Buffer.from('0123456789');

  async function beginUpload(port: number, location: string): Promise<RawConnection> {
    const upload = await RawConnection.open(port);
    await upload.write(rawHead('PATCH', location, { 'Content-Length': '10', Expect: '100-continue' }));
    await upload.waitFor(/100 Continue/);
    return upload;
  }

  it.each(['SIGTERM', 'SIGINT'] as const)('by %s is quick and clean when no requests are in flight', async (signal) => {
    const { command, client } = await serve([]);
    await client.get('/v2/');
    command.kill(signal);
    expect((await command.ended()).code).toBe(0);
  });

  it('lets an upload complete', async () => {
    const { command, client, port } = await serve([]);
    const location = await startUpload(client, 'local/app');
    const upload = await beginUpload(port, location);
    command.kill('SIGTERM');
    // npm passes on the signal of a terminal that the process has got already.
    command.kill('SIGINT');
    await command.waitFor(/"stopping"/, 'stderr');
    await upload.write(layer);
    expect((await upload.untilClosed()).body).toMatch(/^HTTP\/1.1 202 /);
    expect((await command.ended()).code).toBe(0);
  });

  it('interrupts an upload after the grace period, and it resumes after the next start', async () => {
    const data = path.join(await makeOwnFolder(), 'data');
    const config = await writeConfig('server: { stopSeconds: 0.3 }');
    const first = await serve(['--data', data, '--config', config]);
    const location = await startUpload(first.client, 'local/app');
    const upload = await beginUpload(first.port, location);
    await upload.write(layer.subarray(0, 4));
    const { code, stderr } = await first.command.stop();
    await upload.untilClosed();
    expect([code, stderr.includes('"level":"error"')]).toEqual([0, false]);

    const { client } = await serve(['--data', data]);
    expect((await client.get(location)).header('range')).toBe('0-3');
    await client.patch(location, { body: layer.subarray(4) });
    expect((await client.put(`${location}?digest=${digest(layer)}`)).status).toBe(201);
    expect((await client.get(`/v2/local/app/blobs/${digest(layer)}`)).body).toEqual(layer);
  });

  it('by Ctrl-C says what it waits for, and a second Ctrl-C ends the process at once', async () => {
    const { command, client, port } = await serve(['--log-level', 'error']);
    await beginUpload(port, await startUpload(client, 'local/app'));
    command.kill('SIGINT');
    const text = await command.waitFor(/^stopping.*\n/m, 'stderr');
    expect(text).toBe('stopping: waiting up to 30 s for 1 request; press Ctrl-C again to stop now\n');
    // Longer than npm takes to pass on the signal of the terminal.
    await sleep(600);
    command.kill('SIGINT');
    expect((await command.ended()).code).toBe(1);
  });

  it('is not caused by SIGHUP, which is logged without a config file', async () => {
    const { command, client } = await serve([]);
    command.kill('SIGHUP');
    await command.waitFor(/"SIGHUP ignored: serve was started without a config file"/, 'stderr');
    expect((await client.get('/readyz')).status).toBe(200);
    expect((await command.stop()).code).toBe(0);
  });

  it('happens at once by a second signal', async () => {
    const { command, client, port } = await serve([]);
    await beginUpload(port, await startUpload(client, 'local/app'));
    command.kill('SIGTERM');
    await command.waitFor(/"stopping"/, 'stderr');
    await sleep(600);
    command.kill('SIGTERM');
    expect((await command.ended()).code).toBe(1);
  });
});

describe('the signals that stop the server', () => {
  it.each([
    ['linux', ['SIGTERM', 'SIGINT']],
    ['darwin', ['SIGTERM', 'SIGINT']],
    ['win32', ['SIGTERM', 'SIGINT', 'SIGBREAK', 'SIGHUP']],
  ] as const)('on %s are %j', (platform, expected) => {
    expect(stopSignals(platform)).toEqual(expected);
  });
});

describe('the explanation of a failed start', () => {
  it('names the file and the line for an invalid htpasswd file, and not the data folder', async () => {
    const folder = await makeOwnFolder();
    const htpasswd = path.join(folder, 'users');
    const config = path.join(folder, 'config.json');
    await writeFile(htpasswd, '# users\nalice:secret\n');
    await writeFile(config, JSON.stringify({ access: { htpasswd, rules: [{ users: ['alice'], allow: ['admin'] }] } }));
    const args = ['serve', '--port', '0', '--config', config, '--data', path.join(folder, 'data')];
    const { code, stderr } = await run(args).ended();
    expect(code).toBe(1);
    expect(stderr).toContain(`htpasswd file "${htpasswd}", line 2: the password is not hashed with bcrypt`);
    expect(stderr).not.toContain('data folder');
  });

  const failed = (code: string): Error => Object.assign(new Error(`failed with ${code}`), { code });

  it.each([
    ['EADDRINUSE', 5000, 'darwin', /in use.*AirPlay/],
    ['EADDRINUSE', 5001, 'darwin', /in use: choose another with --port, or 0 for any free port\.$/],
    ['EACCES', 5000, 'win32', /Windows has reserved port 5000 .*choose another with --port/],
    ['EADDRINUSE', 5000, 'linux', /in use: choose another with --port, or 0 for any free port\.$/],
    ['EACCES', 80, 'linux', /above 1023/],
    ['EMFILE', 5000, 'linux', /cannot listen on 127\.0\.0\.1, port 5000: failed with EMFILE/],
  ] as const)('listening: %s of port %d on %s', (code, port, platform, expected) => {
    expect(explainListenError(failed(code), { host: '127.0.0.1', port }, platform).message).toMatch(expected);
  });

  it.each([
    ['EACCES', /not writable for this user/],
    ['EROFS', /read-only file system/],
    ['ENOSPC', /disk is full/],
    ['EIO', /the data folder "\/srv\/data" cannot be opened: failed with EIO/],
  ])('says why the data folder cannot be used: %s', (code, expected) => {
    expect(explainStorageError(failed(code), '/srv/data').message).toMatch(expected);
  });
});

it('a port that another program uses is reported', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const { code, stderr } = await run(['serve', '--port', String(port), '--data', await makeOwnFolder()]).ended();
  other.close();
  expect([code, stderr.includes('is in use')]).toEqual([1, true]);
});
