import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRegistry, OptionsError, type RegistryOptions } from '../../../src/index.js';
import { parseConfigFile } from '../../../src/command/config-file.js';
import { resolveOptions } from '../../../src/options/resolve-options.js';
import { recordingLogger } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups, MovableClock, startRemote, type RemoteScene } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
const api = '/api/v1/repositories';
const json = { 'Content-Type': 'application/json' };
let clock: MovableClock;
let folder: string;
let exec: string[];

/** A helper that writes what is in a file, and notes each run with the server that it was asked about. */
const helper = `
const fs = require('node:fs');
const path = require('node:path');
fs.appendFileSync(path.join(__dirname, 'runs'), fs.readFileSync(0, 'utf8'));
process.stdout.write(fs.readFileSync(path.join(__dirname, 'answer.json')));
`;

beforeEach(async () => {
  clock = new MovableClock();
  folder = await makeScratchFolder();
  const script = path.join(folder, 'docker-credential-test.cjs');
  await writeFile(script, helper);
  exec = [process.execPath, script, 'get'];
});
afterEach(async () => {
  await cleanups.run();
  await removeScratchFolder(folder);
  clock.restore();
});

async function answer(username: string, secret: string): Promise<void> {
  const document = { ServerURL: 'x', Username: username, Secret: secret };
  await writeFile(path.join(folder, 'answer.json'), JSON.stringify(document));
}

async function runs(): Promise<string[]> {
  const text = await readFile(path.join(folder, 'runs'), 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

async function start(expiresSeconds?: number): Promise<RemoteScene> {
  const credentials = { exec, ...(expiresSeconds === undefined ? {} : { expiresSeconds }) };
  const scene = await startRemote(
    cleanups,
    { credentials },
    { others: (url) => [{ name: 'through', type: 'remote', url, cache: false, credentials }] },
  );
  for (let i = 0; i < 5; i++) scene.fault.images.addImage('team/app', `v${i}`);
  return scene;
}

describe.each(['hub', 'through'])('a credential helper of "%s"', (name) => {
  const get = async ({ client }: RemoteScene, tag: string) => client.get(`/v2/${name}/team/app/manifests/${tag}`);

  it.each(['basic', 'token'] as const)('is run once, with the host of the upstream: %s', async (type) => {
    await answer('AWS', 'pw');
    const scene = await start();
    scene.fault.auth =
      type === 'basic' ? { type, username: 'AWS', password: 'pw' } : { type, users: { AWS: 'pw' }, expiresIn: 1 };
    const all = await Promise.all(['v0', 'v1', 'v2'].map((tag) => get(scene, tag)));
    expect(all.map(({ status }) => status)).toEqual([200, 200, 200]);
    clock.advance(100);
    expect((await get(scene, 'v3')).status).toBe(200);
    expect(await runs()).toEqual([new URL(scene.fault.url).host]);
  });

  it('is run again when the upstream refuses what it returned', async () => {
    await answer('AWS', 'first');
    const scene = await start();
    scene.fault.auth = { type: 'basic', username: 'AWS', password: 'first', forbids: true };
    expect((await get(scene, 'v0')).status).toBe(200);
    scene.fault.auth = { type: 'basic', username: 'AWS', password: 'second', forbids: true };
    await answer('AWS', 'second');
    expect((await get(scene, 'v1')).status).toBe(200);
    expect(await runs()).toHaveLength(2);
  });

  it('is run again after expiresSeconds', async () => {
    await answer('AWS', 'pw');
    const scene = await start(600);
    scene.fault.auth = { type: 'basic', username: 'AWS', password: 'pw' };
    await get(scene, 'v0');
    clock.advance(500);
    await get(scene, 'v1');
    expect(await runs()).toHaveLength(1);
    clock.advance(200);
    await get(scene, 'v2');
    expect(await runs()).toHaveLength(2);
  });

  it('may return an identity token, which the realm exchanges', async () => {
    await answer('<token>', 'identity');
    const scene = await start();
    scene.fault.auth = { type: 'token', users: {}, identityTokens: ['identity'] };
    expect((await get(scene, 'v0')).status).toBe(200);
    const asked = scene.fault.requestsFor('/token');
    expect(asked.map(({ method, path: url }) => [method, url])).toEqual([['POST', '/token']]);
    scene.fault.auth = { type: 'basic', username: 'a', password: 'b' };
    expect((await get(scene, 'v1')).status).toBe(503);
  });

  it('is run twice, not for each request, while the upstream refuses what it returns', async () => {
    await answer('AWS', 'wrong');
    const scene = await start();
    scene.fault.auth = { type: 'basic', username: 'AWS', password: 'right' };
    for (let i = 0; i < 10; i++) expect((await get(scene, `v${i % 5}`)).status).toBe(503);
    expect(await runs()).toHaveLength(2);
    await answer('AWS', 'right');
    clock.advance(11);
    expect((await get(scene, 'v0')).status).toBe(200);
  });

  it('that returns an identity token which the realm refuses with 400 is offered once', async () => {
    await answer('<token>', 'expired');
    const scene = await start();
    scene.fault.auth = { type: 'token', users: {}, identityTokens: ['other'] };
    const body = JSON.stringify({ error: 'invalid_grant' });
    scene.fault.fault('/token', { at: 'token', status: 400, body });
    for (const tag of ['v0', 'v1', 'v2', 'v3']) expect((await get(scene, tag)).status).toBe(503);
    expect(scene.fault.requestsFor('/token').filter(({ method }) => method === 'POST')).toHaveLength(1);
  });

  it('that fails is named, without its output', async () => {
    await writeFile(path.join(folder, 'answer.json'), '{"Secret":"hidden"}');
    const scene = await start();
    scene.fault.auth = { type: 'basic', username: 'a', password: 'b' };
    const refused = await get(scene, 'v0');
    expect([refused.status, refused.codes]).toEqual([503, ['UNAVAILABLE']]);
    expect(refused.body.toString()).toContain(`helper \\"${path.basename(process.execPath)}\\"`);
    expect(JSON.stringify(scene.server.log) + refused.body.toString()).not.toContain('hidden');
  });
});

describe('a program for credentials', () => {
  it('is refused by the management API and not run', async () => {
    const { client, fault } = await startRemote(cleanups);
    const document = { name: 'made', package_type: 'docker', repo_type: 'remote', url: fault.url };
    const created = await client.post(api, {
      headers: json,
      body: JSON.stringify({ ...document, credentials: { exec } }),
    });
    expect([created.status, created.body.toString()]).toEqual([400, expect.stringContaining('must not run a program')]);
    await client.post(api, { headers: json, body: JSON.stringify(document) });
    const put = { headers: json, body: JSON.stringify({ ...document, credentials: { exec, expires_seconds: 5 } }) };
    expect((await client.put(`${api}/made`, put)).status).toBe(400);
    await client.get('/v2/made/team/app/manifests/v1');
    expect(await runs()).toEqual([]);
  });

  it('is refused in a repository that code creates at run time, because the repository is stored', async () => {
    const { server } = await startRemote(cleanups);
    const made = { name: 'made', type: 'remote', url: 'https://up.example', credentials: { exec } } as const;
    await expect(server.registry.repositories.create(made)).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
  });

  it('is accepted from the config file', () => {
    const text = `
storage: ./data
repositories:
  - name: hub
    type: remote
    url: https://123.dkr.ecr.eu-west-1.amazonaws.com
    credentials: { exec: [docker-credential-ecr-login, get], expiresSeconds: 6h }
`;
    const { settings } = parseConfigFile(text, {});
    const [hub] = resolveOptions(settings as unknown as RegistryOptions).repositories;
    expect(hub).toMatchObject({
      credentials: { exec: ['docker-credential-ecr-login', 'get'], expiresSeconds: 21_600 },
    });
  });
});

describe('presets', () => {
  const hub = { name: 'hub', type: 'remote' } as const;
  const resolve = (more: object) =>
    resolveOptions({ storage: './data', repositories: [{ ...hub, ...more }] }).repositories[0];

  it.each([
    ['docker.io', 'https://registry-1.docker.io'],
    ['ghcr.io', 'https://ghcr.io'],
    ['quay.io', 'https://quay.io'],
    ['registry.k8s.io', 'https://registry.k8s.io'],
    ['public.ecr.aws', 'https://public.ecr.aws'],
    ['mcr.microsoft.com', 'https://mcr.microsoft.com'],
    ['gcr.io', 'https://gcr.io'],
  ] as const)('upstream %s sets the url %s', (upstream, url) => {
    expect(resolve({ upstream })).toMatchObject({ upstream, url });
    expect(resolve({ upstream, url })).toMatchObject({ upstream, url });
  });

  it.each([
    [{}, 'repositories[0].url: is required, unless upstream names a registry'],
    [
      { upstream: 'ghcr.io', url: 'https://other.example' },
      'repositories[0].url: must not be set together with upstream',
    ],
    [{ upstream: 'hub.example' }, 'repositories[0].upstream: must be one of docker.io, ghcr.io'],
  ])('%o is refused: %s', (more, problem) => {
    expect(() => resolve(more)).toThrow(OptionsError);
    expect(() => resolve(more)).toThrow(problem);
  });

  it('can be created, shown and written back through the management API', async () => {
    const { client } = await startRemote(cleanups);
    const document = { name: 'k8s', package_type: 'docker', repo_type: 'remote', upstream: 'registry.k8s.io' };
    const credentials = { username: 'robot', password: 'pw' };
    const body = JSON.stringify({ ...document, credentials });
    expect((await client.post(api, { headers: json, body })).status).toBe(201);
    const shown = (await client.get(`${api}/k8s`)).json() as Record<string, unknown>;
    expect(shown).toMatchObject({ upstream: 'registry.k8s.io', url: 'https://registry.k8s.io', has_credentials: true });
    const put = (changed: object) => client.put(`${api}/k8s`, { headers: json, body: JSON.stringify(changed) });
    expect((await put(shown)).json()).toMatchObject({ has_credentials: true });
    expect((await put(document)).json()).toMatchObject({ has_credentials: true });
    expect((await put({ ...document, upstream: 'gcr.io' })).json()).toMatchObject({ has_credentials: false });
    expect((await put({ ...shown, upstream: 'gcr.io' })).status).toBe(400);
  });

  it('in code name a registry in the options', async () => {
    const registry = createRegistry({
      storage: path.join(folder, 'data'),
      repositories: [{ ...hub, upstream: 'docker.io' }],
      logger: recordingLogger(),
    });
    await registry.ready();
    expect(registry.repositories.get('hub')).toMatchObject({
      upstream: 'docker.io',
      url: 'https://registry-1.docker.io',
    });
    await registry.close();
  });
});
