import { X509Certificate } from 'node:crypto';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { imageManifest, pushManifest } from '../../support/content/content.js';
import { bundledCommand, Command, originOf } from '../../support/servers/command.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { startSink } from '../../support/webhooks/sink.js';
import { Cleanups } from '../../support/upstreams/remote.js';

let folder: string;
beforeAll(async () => {
  folder = await makeScratchFolder();
});
afterAll(() => removeScratchFolder(folder));

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const tls = path.join(import.meta.dirname, '../../support/tls');
const fingerprintOf = (file: string): string => new X509Certificate(readFileSync(path.join(tls, file))).fingerprint256;
const first = fingerprintOf('test-only-certificate.pem');
const second = fingerprintOf('test-only-other-certificate.pem');

const local = '{ name: local, type: local }';
let folders = 0;

/** Starts `serve` with a config file, which `reload` writes again. */
async function serve(text: string, flags: readonly string[] = []) {
  const own = path.join(folder, String(++folders));
  await mkdir(own);
  const config = path.join(own, 'config.yaml');
  await writeFile(config, text);
  const args = ['serve', '--port', '0', '--config', config, ...flags];
  const command = new Command(bundledCommand, args, { cwd: own, env: { SECRET: 'SECRET-OF-HUB' } });
  cleanups.add(() => command.destroy());
  const origin = await originOf(command);
  const client = new Client(origin);
  cleanups.add(() => client.close());
  let outcomes = 0;
  /** Sends SIGHUP and returns the log line of the outcome. */
  const hangUp = async (): Promise<Record<string, unknown>> => {
    outcomes++;
    command.kill('SIGHUP');
    const pattern = new RegExp(`(?:[^]*?"msg":"configuration (?:not )?reloaded"\\}\\n){${outcomes}}`);
    const lines = (await command.waitFor(pattern, 'stderr')).trimEnd().split('\n');
    return JSON.parse(lines.at(-1) ?? '') as Record<string, unknown>;
  };
  const reload = async (next: string): Promise<Record<string, unknown>> => {
    await writeFile(config, next);
    return hangUp();
  };
  const names = async (): Promise<string[]> => {
    const { repositories } = (await client.get('/api/v1/repositories')).json() as { repositories: { name: string }[] };
    return repositories.map(({ name }) => name);
  };
  return { command, client, origin, own, reload, hangUp, names, write: (next: string) => writeFile(config, next) };
}

/** Opens a TLS connection and returns it with the fingerprint of the certificate. */
async function greet(origin: string): Promise<{ socket: TLSSocket; fingerprint: string }> {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(origin).port), rejectUnauthorized: false });
  cleanups.add(async () => socket.destroy());
  await once(socket, 'secureConnect');
  return { socket, fingerprint: socket.getPeerCertificate().fingerprint256 };
}

describe('SIGHUP', () => {
  it('applies what changed in the config file, and logs it in one line without secrets', async () => {
    const { command, reload, names } = await serve(`repositories: [${local}]\n`);
    const hub =
      '{ name: hub, type: remote, url: "http://127.0.0.1:9", credentials: { username: robot, password: "${SECRET}" } }';
    expect(await reload(`repositories: [${local}, ${hub}]\nserver: { idleTimeoutSeconds: 60 }\n`)).toMatchObject({
      level: 'info',
      changes: [
        { option: 'repositories.hub', change: 'added' },
        { option: 'server.idleTimeoutSeconds', change: 'changed', from: 120, to: 60 },
      ],
    });
    expect(await names()).toEqual(['hub', 'local']);
    const changed = hub.replace('robot', 'other').replace('${SECRET}', '${SECRET}-2');
    expect(await reload(`repositories: [${local}, ${changed}]\nserver: { idleTimeoutSeconds: 60 }\n`)).toMatchObject({
      changes: [
        { option: 'repositories.hub.credentials.username', change: 'changed' },
        { option: 'repositories.hub.credentials.password', change: 'changed' },
      ],
    });
    expect((await command.stop()).stderr).not.toContain('SECRET-OF-HUB');
  });

  it('moves a webhook to another receiver during a delivery, which loses no event', async () => {
    const [from, to] = [await startSink(), await startSink()];
    cleanups.add(
      () => from.close(),
      () => to.close(),
    );
    const config = (url: string): string =>
      `repositories: [${local.replace(' }', ', sparse: true }')}]\n` +
      `webhooks: [{ name: ci, url: "${url}", secret: "a-secret-of-24-characters" }]\n`;
    const { client, reload } = await serve(config(from.url));
    from.always('wait');
    for (const tag of ['v1', 'v2']) await pushManifest(client, 'local/app', tag, imageManifest(tag));
    await from.arrived(1);
    expect(await reload(config(to.url))).toMatchObject({
      changes: [{ option: 'webhooks', change: 'changed' }],
    });
    await to.arrived(2);
    const tags = [from, to].map((sink) => sink.events().map(({ target }) => target.tag));
    expect(tags).toEqual([['v1'], ['v1', 'v2']]);
  });

  it('keeps the old configuration when the new one is wrong, and says what is wrong', async () => {
    const { command, client, reload, names } = await serve(`repositories: [${local}]\n`);
    const refused = async (text: string): Promise<unknown> => {
      const { level, problems } = await reload(text);
      expect(level).toBe('error');
      expect(await names()).toEqual(['local']);
      return (problems as { path: string; line?: number }[]).map(({ path, line }) => [line, path]);
    };
    expect(await refused('repositories: [\n')).toEqual([[2, '']]);
    expect(await refused('repositories: []\nacces: open\nserver: { logLevel: loud }\n')).toEqual([
      [2, 'acces'],
      [3, 'server.logLevel'],
    ]);
    expect(await refused('repositories: []\naccess: { htpasswd: none }\n')).toEqual([[2, 'access.htpasswd']]);
    expect(await refused('repositories: [{ name: local, type: remote, url: "http://127.0.0.1:9" }]\n')).toEqual([
      [undefined, ''],
    ]);
    expect((await client.get('/readyz')).status).toBe(200);
    expect((await command.stop()).code).toBe(0);
  });

  it('refuses the whole configuration if an option needs a restart', async () => {
    const { reload, names } = await serve(`repositories: [${local}]\n`);
    const text =
      'repositories: []\nstorage: elsewhere\nprefix: /x\nserver: { host: localhost, tls: { cert: c, key: k } }\n';
    const { problems } = await reload(text.replace(/, tls.*\}/, ' }'));
    expect((problems as { path: string }[]).map(({ path }) => path)).toEqual(['storage', 'prefix', 'server.host']);
    expect(await names()).toEqual(['local']);
    const cert = path.join(tls, 'test-only-certificate.pem');
    const key = path.join(tls, 'test-only-key.pem');
    const secure = await reload(`server: { tls: { cert: ${cert}, key: ${key} } }\n`);
    expect(secure).toMatchObject({ level: 'error', problems: [{ path: 'server.tls' }] });
  });

  it('changes the log level, and flags still override the file', async () => {
    const { command, client, reload } = await serve('server: { logLevel: warn }\n', ['--open']);
    await client.get('/v2/before');
    expect(await reload('access: read-only\nserver: { logLevel: info }\n')).toMatchObject({
      changes: [{ option: 'server.logLevel', change: 'changed' }],
    });
    await client.get('/v2/after');
    await command.waitFor(/"url":"\/v2\/after"/, 'stderr');
    expect(command.stderr).not.toContain('/v2/before');
  });

  it('swaps the TLS certificate, also if only the bytes of its file changed; open connections stay', async () => {
    const own = await makeOwnTls();
    const { command, origin, hangUp } = await serve(`server: { tls: { cert: ${own.cert}, key: ${own.key} } }\n`);
    const before = await greet(origin);
    expect(before.fingerprint).toBe(first);
    await own.use('test-only-other');
    expect((await greet(origin)).fingerprint).toBe(first);
    expect(await hangUp()).toMatchObject({
      changes: [
        { option: 'server.tls.cert', change: 'changed' },
        { option: 'server.tls.key', change: 'changed' },
      ],
    });
    expect((await greet(origin)).fingerprint).toBe(second);
    before.socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const [answer] = (await once(before.socket, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 200 /);

    await writeFile(own.cert, 'half a certificate');
    expect(await hangUp()).toMatchObject({ level: 'error', problems: [{ path: 'server.tls' }] });
    expect((await greet(origin)).fingerprint).toBe(second);
    expect(command.stderr).not.toContain('PRIVATE KEY');
  });

  it('swaps a certificate of flags without a config file', async () => {
    const own = await makeOwnTls();
    const data = path.join(folder, 'flags-data');
    const args = ['serve', '--port', '0', '--data', data, '--tls-cert', own.cert, '--tls-key', own.key];
    const command = new Command(bundledCommand, args);
    cleanups.add(() => command.stop());
    const origin = await originOf(command);
    await own.use('test-only-other');
    command.kill('SIGHUP');
    await command.waitFor(/"configuration reloaded"/, 'stderr');
    expect((await greet(origin)).fingerprint).toBe(second);
  });
});

/** A certificate and its key in files of their own, which `use` replaces. */
async function makeOwnTls() {
  const own = path.join(folder, `tls-${++folders}`);
  await mkdir(own);
  const [cert, key] = [path.join(own, 'cert.pem'), path.join(own, 'key.pem')];
  const use = async (name: string): Promise<void> => {
    await copyFile(path.join(tls, `${name}-certificate.pem`), cert);
    await copyFile(path.join(tls, `${name}-key.pem`), key);
  };
  await use('test-only');
  return { cert, key, use };
}

describe('POST /api/v1/reload', () => {
  it('does the same, and answers with what changed or what is wrong', async () => {
    const { client, names, write } = await serve(`repositories: [${local}]\n`);
    await write(`repositories: [${local}, { name: more, type: local }]\n`);
    const done = await client.post('/api/v1/reload');
    expect([done.status, done.json()]).toEqual([200, { changes: [{ option: 'repositories.more', change: 'added' }] }]);
    expect(await names()).toEqual(['local', 'more']);
    expect((await client.post('/api/v1/reload')).json()).toEqual({ changes: [] });

    await write('repositories: []\naccess: [\n');
    const broken = await client.post('/api/v1/reload');
    expect([broken.status, broken.json()]).toMatchObject([
      409,
      { errors: [{ code: 'CONFLICT', detail: [{ line: 3, column: 1, path: '' }] }] },
    ]);
    await write('repositories: []\nprefix: /x\n');
    const restart = await client.post('/api/v1/reload');
    expect([restart.status, restart.json()]).toMatchObject([
      409,
      { errors: [{ code: 'CONFLICT', detail: [{ line: 2, column: 1, path: 'prefix' }] }] },
    ]);
    expect(await names()).toEqual(['local', 'more']);
  });

  it('answers 409 without a config file', async () => {
    const command = new Command(bundledCommand, ['serve', '--port', '0', '--data', path.join(folder, 'bare')]);
    cleanups.add(() => command.stop());
    const client = new Client(await originOf(command));
    cleanups.add(() => client.close());
    const answer = await client.post('/api/v1/reload');
    expect([answer.status, answer.json()]).toMatchObject([409, { errors: [{ code: 'UNSUPPORTED' }] }]);
  });
});
