import { chmod, copyFile, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hashSync } from 'bcryptjs';
import { Agent } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseSnippets } from '../test/support/docs/snippets.js';
import { freePort } from '../test/support/servers/free-port.js';
import { busyboxImage } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { findTool, projectRoot } from './support/commands.js';
import { startDaemon } from './support/daemon.js';
import { RegistryHttp, header } from './support/registry-http.js';
import { openWorkspace } from './support/test-bed.js';
import type { Workspace } from './support/test-bed.js';

const page = 'docs/gateway.md';

describeClient(`nginx in front of a gateway, as ${page} configures both`, ['nginx'], () => {
  let bed: Workspace;
  let ana: RegistryHttp;
  let agent: Agent;
  let origin: string;

  beforeAll(async () => {
    bed = await openWorkspace();
    // The workers of nginx are not root and must reach the blobs through this folder.
    await chmod(bed.folder, 0o711);
    const [listen, forward] = [await freePort(), await freePort()];
    origin = `https://127.0.0.1:${listen}`;
    const tls = join(projectRoot, 'test/support/tls');
    await copyFile(join(tls, 'test-only-certificate.pem'), join(bed.folder, 'gateway.pem'));
    await copyFile(join(tls, 'test-only-key.pem'), join(bed.folder, 'gateway.key'));
    await writeFile(join(bed.folder, 'htpasswd'), `ana:${hashSync('secret', 4)}\n`);
    await symlink(join(projectRoot, 'node_modules'), join(bed.folder, 'node_modules'));
    const here: readonly (readonly [string, string])[] = [
      ['/etc/nginx/artifactapi.conf', join(projectRoot, 'adapters/nginx/artifactapi.conf')],
      ['/etc/nginx/', `${bed.folder}/`],
      ['/etc/gateway/', `${bed.folder}/`],
      ['/var/lib/gateway', join(bed.folder, 'data')],
      ['listen 443 ssl', `listen 127.0.0.1:${listen} ssl`],
      ['https://gateway.example', origin],
      ["'artifactapi'", `'${projectRoot}/dist/src/index.js'`],
      ["'artifactapi/express'", `'${projectRoot}/dist/adapters/express.js'`],
      ['5000', String(forward)],
    ];
    const snippets = parseSnippets(page, await readFile(join(projectRoot, page), 'utf8'));
    const text = (language: string): string => {
      const found = snippets.find((one) => one.language === language && one.argument.includes('docs-nginx'))?.text;
      if (found === undefined) throw new Error(`${page} has no ${language} block for this test`);
      return here.reduce((all, [from, to]) => all.replaceAll(from, to), found);
    };
    await writeFile(join(bed.folder, 'gateway.mjs'), text('js'));
    const files = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${bed.folder}/${name};`,
    );
    const around = `daemon off; pid ${bed.folder}/pid; error_log stderr; events {} http { access_log off; ${files.join(' ')}`;
    await writeFile(join(bed.folder, 'nginx.conf'), `${around}\n${text('nginx')}\n}\n`);
    const gateway = startDaemon(process.execPath, ['gateway.mjs'], {
      cwd: bed.folder,
      logFile: join(bed.folder, 'gateway.log'),
    });
    bed.onClose(() => gateway.end());
    const nginx = startDaemon(
      findTool('nginx') ?? 'nginx',
      ['-e', 'stderr', '-p', bed.folder, '-c', join(bed.folder, 'nginx.conf')],
      { logFile: join(bed.folder, 'nginx.log') },
    );
    bed.onClose(() => nginx.end('SIGTERM'));
    const ca = await readFile(join(tls, 'test-only-certificate.pem'), 'utf8');
    agent = new Agent({ connect: { ca, checkServerIdentity: () => undefined } });
    bed.onClose(() => agent.destroy());
    ana = new RegistryHttp(origin, agent, { authorization: `Basic ${Buffer.from('ana:secret').toString('base64')}` });
    const answers = async (): Promise<boolean> => (await ana.send('/v2/').catch(() => undefined))?.status === 200;
    while (!(await answers())) {
      if (!gateway.running || !nginx.running) throw new Error(gateway.output() + nginx.output());
      await sleep(50);
    }
  });
  afterAll(() => bed?.close());

  test('serves images and the pages of the application under the same name', async () => {
    const image = await busyboxImage({ marker: 'gateway' });
    await ana.pushImage('local/team/app', '1', image);
    expect((await ana.send('/v2/local/team/app/manifests/1')).status).toBe(200);
    expect((await ana.send('/')).body.toString()).toBe('hello\n');
  });

  test('sends a challenge with the public URL', async () => {
    const answer = await new RegistryHttp(origin, agent).send('/v2/');
    expect(answer.status).toBe(401);
    expect(header(answer, 'www-authenticate')).toContain(`realm="${origin}/v2/token"`);
  });
});
