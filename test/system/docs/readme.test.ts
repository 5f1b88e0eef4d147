import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { basic, htpasswdOf, pushImage, type Ask } from '../../support/access/access.js';
import { Client } from '../../support/clients/client.js';
import { Command, originOf } from '../../support/servers/command.js';
import { startFaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { pushAndPull } from '../../support/clients/push-and-pull.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { parseSnippets, root } from '../../support/docs/snippets.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
const snippets = parseSnippets('README.md', readme);

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

async function serve(script: string, args: readonly string[]): Promise<Client> {
  const command = new Command(script, ['serve', '--port', '0', '--log-level', 'warn', ...args]);
  cleanups.add(() => command.stop());
  const client = new Client(await originOf(command));
  cleanups.add(() => client.close());
  return client;
}

async function scratchFolder(): Promise<string> {
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  return folder;
}

describe('README.md', () => {
  it('is at most 180 lines long', () => {
    expect(readme.split('\n').length - 1).toBeLessThanOrEqual(180);
  });

  // `npm ci` is the first step of every run of CI. Building again here would change dist/ under other tests.
  it('quick start serves a registry that accepts an image and returns it', async () => {
    const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
      scripts: Readonly<Record<string, string>>;
    };
    expect(snippets.find(({ language }) => language === 'sh')?.text).toMatch(/^npm ci .*\nnpm start /);
    expect([scripts['prestart'], scripts['start']]).toEqual([
      'npm run --silent build',
      'exec node dist/command/cli.js serve',
    ]);
    const client = await serve('dist/command/cli.js', ['--data', path.join(await scratchFolder(), 'data')]);
    await pushAndPull(client, 'local/team/app');
  });

  it('cache configuration lets anyone pull and only users push', async () => {
    const yaml = snippets.find(({ text }) => text.includes('registry-1.docker.io'))?.text ?? '';
    const hub = await startFaultUpstream();
    cleanups.add(() => hub.close());
    const { manifest, layers } = hub.images.addImage('library/alpine', 'latest');
    const folder = await scratchFolder();
    const config = path.join(folder, 'registry.yaml');
    await mkdir(path.join(folder, 'data'));
    await writeFile(config, yaml.replace('https://registry-1.docker.io', hub.url));
    await writeFile(path.join(folder, 'users.htpasswd'), htpasswdOf(['ana']));
    const client = await serve('dist/command/cli.js', ['--config', config, '--data', path.join(folder, 'data')]);

    const tokenFor = async (scope: string): Promise<string> => {
      const answer = await client.get(`/v2/token?scope=repository:${scope}:pull`);
      return `Bearer ${(answer.json() as { token: string }).token}`;
    };
    // As containerd names the repository, as Docker does, and by the full name.
    for (const [name, query] of [
      ['docker/library/alpine', ''],
      ['library/alpine', ''],
      ['library/alpine', '?ns=docker.io'],
    ] as const) {
      const Authorization = await tokenFor(name);
      const pulled = await client.get(`/v2/${name}/manifests/latest${query}`, { Authorization });
      expect([pulled.status, pulled.body]).toEqual([200, manifest.bytes]);
    }
    const Authorization = await tokenFor('docker/library/alpine');
    const layer = `/v2/docker/library/alpine/blobs/${layers[0]?.digest ?? ''}`;
    const pulls = await Promise.all([1, 2, 3].map(() => client.get(layer, { Authorization })));
    expect(pulls.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(hub.count(layers[0]?.digest ?? '', 'GET')).toBe(1);

    expect((await client.post('/v2/docker/acme/app/blobs/uploads/')).status).toBe(401);
    const ana: Ask = (method, place, { headers, ...send } = {}) =>
      client.send(method, place, { ...send, headers: { Authorization: basic('ana'), ...headers } });
    const pushed = await pushImage(ana, 'docker/acme/app');
    expect((await ana('GET', '/v2/internal/acme/app/manifests/v1')).body).toEqual(pushed.manifest.bytes);
    hub.images.addImage('acme/other', 'v1');
    expect((await ana('GET', '/v2/docker/acme/other/manifests/v1')).status).toBe(404);
  });
});

describe('examples/README.md', () => {
  it('leads to every example, and README.md leads to it', () => {
    expect(readme).toContain('(examples/README.md)');
    const index = readFileSync(path.join(root, 'examples/README.md'), 'utf8');
    const entries = readdirSync(path.join(root, 'examples'), { withFileTypes: true });
    const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    expect(folders).toContain('express');
    expect(folders.filter((folder) => !index.includes(`(${folder}/README.md)`))).toEqual([]);
  });
});
