import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { resolveServeSettings } from '../../../src/command/serve/serve-settings.js';
import { basic, form, htpasswdOf, json, pushImage, type Ask } from '../../support/access/access.js';
import { Client } from '../../support/clients/client.js';
import { bundledCommand, Command, originOf } from '../../support/servers/command.js';
import { digest } from '../../support/content/content.js';
import { startFaultUpstream, type FaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { pushAndPull } from '../../support/clients/push-and-pull.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const run = promisify(execFile);
const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const examplesFolder = path.join(import.meta.dirname, '../../../examples');
const exampleNames = readdirSync(examplesFolder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

async function scratchFolder(): Promise<string> {
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  return folder;
}

async function clientOf(command: Command): Promise<Client> {
  cleanups.add(() => command.stop());
  const client = new Client(await originOf(command));
  cleanups.add(() => client.close());
  return client;
}

async function startHub(): Promise<FaultUpstream> {
  const hub = await startFaultUpstream();
  cleanups.add(() => hub.close());
  return hub;
}

/** Runs `serve` with the config file of an example; flags change only the port and the data folder. */
async function serve(config: string, hub?: FaultUpstream): Promise<{ command: Command; client: Client }> {
  const flags = ['--config', config, '--port', '0', '--data', path.join(await scratchFolder(), 'data')];
  const env = hub === undefined ? {} : { HUB_URL: hub.url };
  const command = new Command(bundledCommand, ['serve', ...flags, '--log-level', 'warn'], { env });
  return { command, client: await clientOf(command) };
}

function asking(client: Client, headers: Readonly<Record<string, string>>): Ask {
  return (method, place, { headers: more, ...send } = {}) =>
    client.send(method, place, { ...send, headers: { ...headers, ...more } });
}

function pull(name: string, tag: string): string {
  return `/v2/${name}/manifests/${tag}`;
}

it.each([
  ['air-gapped/inside.yaml', 5001],
  ['air-gapped/outside.yaml', 5000],
  ['mirror/config.yaml', 5000],
  ['nginx-sidecar/config.yml', 5000],
  ['virtual/config.yaml', 5000],
])('examples/%s is accepted', async (file, port) => {
  const from = path.join(examplesFolder, file);
  const text = await readFile(from, 'utf8');
  expect(resolveServeSettings({}, { path: from, text }, {})).toMatchObject({ host: '127.0.0.1', port });
});

it.each(exampleNames)('examples/%s has a README with the commands to run it', async (folder) => {
  expect(await readFile(path.join(examplesFolder, folder, 'README.md'), 'utf8')).toMatch(/^```sh\n/m);
});

/** The examples that are servers, each with a route that its host serves besides the registry. */
const hosts = [
  ['connect', 'hello'],
  ['express', 'echo'],
  ['fastify', 'echo'],
  ['hono', 'echo'],
  ['koa', 'hello'],
  ['nestjs', 'echo'],
  ['node', 'hello'],
] as const;

it('the list of hosts covers every example that is a server', () => {
  const servers = exampleNames.filter((folder) => existsSync(`examples/${folder}/server.mjs`));
  // Their own tests are below, in hook-examples.test.ts and in signed-images.test.ts.
  const others = ['cooling-off', 'gateway', 'required-labels', 'signed-images'];
  expect([...hosts.map(([host]) => host), ...others].toSorted()).toEqual(servers.toSorted());
});

async function startServer(example: string): Promise<{ command: Command; client: Client }> {
  const env = { PORT: '0', DATA: path.join(await scratchFolder(), 'data') };
  const command = new Command(`examples/${example}/server.mjs`, [], { env });
  return { command, client: await clientOf(command) };
}

it.each(hosts)('examples/%s accepts an image, returns it and stops', async (example, route) => {
  const { command, client } = await startServer(example);
  await pushAndPull(client, 'docker-internal/team/app');
  // A parser in front of the registry would consume this body.
  const send = { headers: json, body: '{"a":1}' };
  const upload = `/v2/docker-internal/team/app/blobs/uploads/?digest=${digest(send.body)}`;
  expect((await client.post(upload, send)).status).toBe(201);
  const answer = route === 'echo' ? await client.post('/echo', send) : await client.get('/hello');
  expect(answer.body.toString()).toBe(route === 'echo' ? '{"a":1}' : 'the app still answers\n');
  expect((await client.get('/api/v1/health')).status).toBe(200);
  await client.close();
  expect(await command.stop()).toMatchObject({ code: 0, stderr: '' });
});

it('examples/gateway identifies its users by password, as docker sends it, and by session', async () => {
  const { command, client } = await startServer('gateway');
  const name = 'docker-internal/team/app';
  const token = (authorization: string) =>
    client.get(`/v2/token?scope=repository:${name}:pull,push`, { Authorization: authorization });
  expect((await client.get('/v2/')).header('www-authenticate')).toMatch(/^Bearer realm="[^"]+\/v2\/token"/);
  for (const [user, password] of [
    ['ben', 'wrong'],
    ['unknown', 'secret'],
  ] as const) {
    expect((await token(basic(user, password))).status).toBe(401);
  }
  const { token: given } = (await token(basic('ben', 'secret too'))).json() as { token: string };
  const ben = asking(client, { Authorization: `Bearer ${given}` });
  const { manifest } = await pushImage(ben, name);
  expect((await ben('GET', pull(name, 'v1'))).body).toEqual(manifest.bytes);
  expect((await client.get(pull(name, 'v1'))).status).toBe(401);

  const login = (user: Record<string, string>) =>
    client.post('/login', { headers: form, body: new URLSearchParams(user).toString() });
  expect((await login({ name: 'ana', password: 'wrong' })).status).toBe(401);
  const cookieOf = async (user: Record<string, string>) => (await login(user)).header('set-cookie').split(';')[0] ?? '';
  const ana = asking(client, { Cookie: await cookieOf({ name: 'ana', password: 'secret' }) });
  const images = await ana('GET', '/api/v1/repositories/docker-internal/images');
  expect([images.status, images.body.toString()]).toEqual([200, expect.stringContaining('"team/app"')]);
  const evil = { headers: { Origin: 'https://evil.example' } };
  expect((await ana('DELETE', '/api/v1/repositories/docker-internal', evil)).status).toBe(403);
  const benHere = asking(client, { Cookie: await cookieOf({ name: 'ben', password: 'secret too' }) });
  expect((await benHere('POST', '/api/v1/gc')).status).toBe(403);
  expect((await client.get('/api/v1/repositories')).status).toBe(401);
  await client.close();
  expect(await command.stop()).toMatchObject({ code: 0, stderr: '' });
});

it('examples/mirror caches for each addressing form, and stores what the team pushes', async () => {
  const hub = await startHub();
  const { manifest, layers } = hub.images.addImage('library/alpine', 'latest');
  const { client } = await serve(path.join(examplesFolder, 'mirror/config.yaml'), hub);
  const forms = ['hub/library/alpine', 'docker/library/alpine', 'library/alpine'];
  for (const name of forms) expect((await client.get(pull(name, 'latest'))).body).toEqual(manifest.bytes);
  const containerd = await client.get(`${pull('library/alpine', 'latest')}?ns=docker.io`);
  expect([containerd.status, containerd.header('x-cache')]).toEqual([200, 'hit']);
  const layer = `blobs/${layers[0]?.digest ?? ''}`;
  for (const name of forms) expect((await client.get(`/v2/${name}/${layer}`)).body).toEqual(layers[0]?.bytes);
  expect(hub.count(layer, 'GET')).toBe(1);
  await pushAndPull(client, 'docker/acme/app');
  expect((await client.get(pull('team/acme/app', 'v1'))).status).toBe(200);
});

it('examples/virtual serves private and public images under one name, and never requests reserved ones upstream', async () => {
  const folder = await scratchFolder();
  await copyFile(path.join(examplesFolder, 'virtual/config.yaml'), path.join(folder, 'config.yaml'));
  await writeFile(path.join(folder, 'users.htpasswd'), htpasswdOf(['ana']));
  const hub = await startHub();
  const { client } = await serve(path.join(folder, 'config.yaml'), hub);
  const app = 'docker/acme/app';
  const ana = asking(client, { Authorization: basic('ana') });
  // Without a login, docker requests an anonymous token.
  const answer = await client.get(`/v2/token?scope=repository:${app}:pull,push`);
  const { token } = answer.json() as { token: string };
  const anonymous = asking(client, { Authorization: `Bearer ${token}` });

  hub.images.addImage('acme/app', 'v1');
  for (const ask of [ana, anonymous]) expect((await ask('GET', pull(app, 'v1'))).status).toBe(404);
  expect(hub.requests).toEqual([]);
  const pushed = await pushImage(ana, app);
  for (const name of [app, 'private/acme/app']) {
    expect((await ana('GET', pull(name, 'v1'))).body).toEqual(pushed.manifest.bytes);
  }
  expect((await anonymous('GET', pull(app, 'v1'))).status).toBe(404);
  expect((await anonymous('POST', `/v2/${app}/blobs/uploads/`)).status).toBe(401);

  const { manifest } = hub.images.addImage('library/alpine', 'latest');
  const publicToken = await client.get('/v2/token?scope=repository:docker/library/alpine:pull');
  const stranger = asking(client, { Authorization: `Bearer ${(publicToken.json() as { token: string }).token}` });
  for (const ask of [stranger, ana]) {
    expect((await ask('GET', pull('docker/library/alpine', 'latest'))).body).toEqual(manifest.bytes);
  }
});

it('examples/air-gapped transfers images with the commands of its README', async () => {
  const names = ['library/alpine:3.22', 'library/busybox:1.37'].map((name) => name.split(':') as [string, string]);
  const hub = await startHub();
  const images = names.map(([image, tag]) => hub.images.addImage(image, tag));
  const [outside, inside] = await Promise.all([
    serve(path.join(examplesFolder, 'air-gapped/outside.yaml'), hub),
    serve(path.join(examplesFolder, 'air-gapped/inside.yaml')),
  ]);
  const typedAs: Readonly<Record<string, string>> = {
    'http://127.0.0.1:5000': await originOf(outside.command),
    'http://127.0.0.1:5001': await originOf(inside.command),
    'npx artifactapi': `'${process.execPath}' '${path.resolve('dist/command/cli.js')}'`,
  };
  const readme = await readFile(path.join(examplesFolder, 'air-gapped/README.md'), 'utf8');
  const blocks = [...readme.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block = '']) => block);
  const scripts = blocks.filter((block) => /artifactapi (?:export|import)/.test(block));
  expect(scripts).toHaveLength(2);
  const folder = await scratchFolder();
  for (const script of scripts) {
    const typed = Object.entries(typedAs).reduce((text, [from, to]) => text.replaceAll(from, to), script);
    await run('bash', ['-euc', typed], { cwd: folder });
  }
  for (const [i, [image, tag]] of names.entries()) {
    for (const name of [`hub/${image}`, image]) {
      expect((await inside.client.get(pull(name, tag))).body).toEqual(images[i]?.manifest.bytes);
    }
    const [layer] = images[i]?.layers ?? [];
    expect((await inside.client.get(`/v2/hub/${image}/blobs/${layer?.digest}`)).body).toEqual(layer?.bytes);
  }
});
