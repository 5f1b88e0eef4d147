import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hashSync } from 'bcryptjs';
import { Agent } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { freePort } from '../test/support/servers/free-port.js';
import { parseSnippets, placeOf, snippetsWith } from '../test/support/docs/snippets.js';
import { busyboxImage } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { findTool, projectRoot, run } from './support/commands.js';
import { startDaemon } from './support/daemon.js';
import { startDockerEngine } from './support/docker-engine.js';
import type { DockerEngine } from './support/docker-engine.js';
import { freshImage } from './support/mirror-bed.js';
import { RegistryHttp } from './support/registry-http.js';
import { startRegistry } from './support/registry-server.js';
import type { RegistryServer } from './support/registry-server.js';
import { openWorkspace } from './support/test-bed.js';
import type { Workspace } from './support/test-bed.js';

const engineNeeds = ['docker', 'dockerd', 'containerd', 'containerd-shim-runc-v2', 'runc', 'ip'];

describeClient('docker commands of the documentation', ['root', ...engineNeeds, 'bash', 'busybox'], () => {
  let bed: Workspace;
  let registry: RegistryServer;
  let engine: DockerEngine;

  // One open registry replaces those that the pages start. `docker pull alpine` gets its image through the mirror.
  beforeAll(async () => {
    bed = await openWorkspace();
    const locals = ['local', 'docker-internal', 'hub'].map((name) => ({ name, type: 'local' }));
    const docker = { name: 'docker', type: 'virtual', members: ['local', 'hub'], pushTo: 'local' };
    const config = { access: 'open', repositories: [...locals, docker], defaultRepository: 'hub' };
    registry = await startRegistry(bed.folder, { config });
    bed.onClose(() => registry.stop());
    const alpine = await busyboxImage({ marker: 'alpine' });
    await new RegistryHttp(registry.origin).pushImage('hub/library/alpine', 'latest', alpine);
    engine = await startDockerEngine(bed, JSON.stringify({ 'registry-mirrors': [registry.origin] }));
    bed.onClose(() => engine.stop());
  });
  afterAll(() => bed?.close());

  test.each(snippetsWith('docker').map((snippet) => [placeOf(snippet), snippet.text] as const))(
    'at %s run without an error',
    async (_place, text) => {
      const script = text.replaceAll('127.0.0.1:5000', registry.host);
      await run('bash', ['-euo', 'pipefail', '-c', script], { env: engine.env, cwd: bed.folder });
    },
  );
});

describeClient('nginx as README.md configures it', ['nginx'], () => {
  let bed: Workspace;
  let ana: RegistryHttp;
  let anonymous: RegistryHttp;

  beforeAll(async () => {
    bed = await openWorkspace();
    // The workers of nginx are not root and must reach the blobs through this folder.
    await chmod(bed.folder, 0o711);
    const port = await freePort();
    const snippets = parseSnippets('README.md', await readFile(join(projectRoot, 'README.md'), 'utf8'));
    const text = (language: string, part: string): string =>
      snippets.find((snippet) => snippet.language === language && snippet.text.includes(part))?.text ?? '';
    await writeFile(join(bed.folder, 'users.htpasswd'), `ana:${hashSync('secret', 4)}\n`);
    const { storage, ...config } = parse(text('yaml', 'x-accel')) as Readonly<Record<string, unknown>>;
    if (storage !== '/var/lib/artifactapi') throw new Error(`README.md configures ${String(storage)}`);
    const registry = await startRegistry(bed.folder, { config: { ...config, publicUrl: `https://127.0.0.1:${port}` } });
    bed.onClose(() => registry.stop());

    const folder = join(bed.folder, 'nginx');
    await mkdir(folder);
    const tls = join(projectRoot, 'test/support/tls');
    await copyFile(join(tls, 'test-only-certificate.pem'), join(folder, 'registry.pem'));
    await copyFile(join(tls, 'test-only-key.pem'), join(folder, 'registry.key'));
    const here: readonly (readonly [string, string])[] = [
      ['/etc/nginx/artifactapi.conf', join(projectRoot, 'adapters/nginx/artifactapi.conf')],
      ['/etc/nginx/', `${folder}/`],
      ['/var/lib/artifactapi', join(bed.folder, 'data')],
      ['127.0.0.1:5000', registry.host],
      ['listen 443', `listen 127.0.0.1:${port}`],
    ];
    const site = here.reduce(
      (conf, [from, to]) => {
        if (!conf.includes(from)) throw new Error(`the nginx block of README.md has no ${from}`);
        return conf.replaceAll(from, to);
      },
      text('nginx', 'server_name'),
    );
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`);
    const http = `access_log off; ${temporary.join(' ')}\n${site}`;
    const main = `daemon off; pid pid; error_log stderr;\nevents {}\nhttp {\n${http}}\n`;
    await writeFile(join(folder, 'nginx.conf'), main);
    const args = ['-e', 'stderr', '-p', folder, '-c', join(folder, 'nginx.conf')];
    const daemon = startDaemon(findTool('nginx') ?? 'nginx', args, { logFile: join(folder, 'log') });
    bed.onClose(() => daemon.end('SIGTERM'));
    const ca = await readFile(join(folder, 'registry.pem'), 'utf8');
    const agent = new Agent({ connect: { ca, checkServerIdentity: () => undefined } });
    bed.onClose(() => agent.destroy());
    const authorization = `Basic ${Buffer.from('ana:secret').toString('base64')}`;
    ana = new RegistryHttp(`https://127.0.0.1:${port}`, agent, { authorization });
    anonymous = new RegistryHttp(`https://127.0.0.1:${port}`, agent);
    for (let tries = 0; (await anonymous.send('/v2/').catch(() => undefined)) === undefined; tries += 1) {
      if (tries > 1000 || !daemon.running) throw new Error(daemon.output());
      await sleep(50);
    }
  });
  afterAll(() => bed?.close());

  test('serves the users of the password file, and no one else', async () => {
    const image = await freshImage();
    await ana.pushImage('team/app', '1', image);
    await ana.pullImage('team/app', '1', image);
    expect((await anonymous.send('/v2/team/app/manifests/1')).status).toBe(401);
  });
});
