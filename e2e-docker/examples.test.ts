import { randomBytes } from 'node:crypto';
import { chmod, cp, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { Agent } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../test/support/servers/free-port.js';
import { writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { findTool, projectRoot } from './support/commands.js';
import { startDaemon, waitForDaemon } from './support/daemon.js';
import { composeImage, content, jsonContent, mediaTypes } from './support/images.js';
import { freshImage } from './support/mirror-bed.js';
import { RegistryHttp } from './support/registry-http.js';
import { openWorkspace } from './support/test-bed.js';
import type { Workspace } from './support/test-bed.js';
import { startOwnUpstream } from './support/upstreams.js';

const example = 'examples/nginx-sidecar';

/** Stops the script's background jobs when it is stopped. Replaces `htpasswd`, which may be missing: the file exists already. */
const aroundScript = `set -e; trap 'kill $(jobs -p); wait' EXIT; trap exit TERM; htpasswd() { :; }`;

describeClient(example, ['nginx', 'openssl', 'skopeo'], () => {
  let bed: Workspace;
  let host: string;
  let registry: RegistryHttp;
  let hub: RegistryHttp;

  beforeAll(async () => {
    bed = await openWorkspace();
    // The workers of nginx are not root and must reach the blobs through this folder.
    await chmod(bed.folder, 0o711);
    const upstream = await startOwnUpstream(join(bed.folder, 'upstream'));
    bed.onClose(() => upstream.stop());
    hub = new RegistryHttp(upstream.origin);
    const port = await freePort();
    host = `localhost:${port}`;
    const clone = await makeClone({ 5000: await freePort(), 8443: port });
    const PATH = `${dirname(process.execPath)}:${bed.env['PATH']}`;
    const daemon = startDaemon(findTool('bash') ?? 'bash', ['-c', `${aroundScript}\n${await readScript()}\nwait`], {
      env: { ...bed.env, PATH, HUB_URL: upstream.origin },
      cwd: clone,
      logFile: join(bed.folder, 'example.log'),
    });
    bed.onClose(() => daemon.end());
    const certificate = join(clone, example, 'run/registry.pem');
    registry = await waitForDaemon(daemon, async () => {
      const ca = await readFile(certificate).catch(() => undefined);
      if (ca === undefined) return undefined;
      const agent = new Agent({ connect: { ca } });
      const reached = new RegistryHttp(`https://${host}`, agent);
      const answer = await reached.send('/v2/').catch(() => undefined);
      if (answer?.status === 401) {
        bed.onClose(() => agent.destroy());
        return reached;
      }
      await agent.destroy();
      return undefined;
    });
  });
  afterAll(() => bed?.close());

  /** Returns the first script of the README. */
  async function readScript(): Promise<string> {
    const readme = await readFile(join(projectRoot, example, 'README.md'), 'utf8');
    return /^```sh\n(.*?)^```/ms.exec(readme)?.[1] ?? '';
  }

  /** Makes a clone with this example, on other ports and with the management API opened. */
  async function makeClone(ports: Readonly<Record<string, number>>): Promise<string> {
    const clone = join(bed.folder, 'clone');
    const folder = join(clone, example);
    for (const file of ['config.yml', 'nginx.conf', 'www']) {
      await cp(join(projectRoot, example, file), join(folder, file), { recursive: true });
    }
    for (const part of ['adapters', 'dist']) await symlink(join(projectRoot, part), join(clone, part));
    for (const file of ['config.yml', 'nginx.conf']) {
      const text = uncomment(await readFile(join(folder, file), 'utf8')).replace('10.0.0.0/8', '127.0.0.1');
      await writeFile(
        join(folder, file),
        text.replaceAll(/\b(?:5000|8443)\b/g, (from) => String(ports[from])),
      );
    }
    await writeFile(join(folder, 'users.htpasswd'), `ana:${hashSync('secret', 4)}\n`);
    return clone;
  }

  /** Uncomments the location that opens the management API. */
  function uncomment(text: string): string {
    return text.replace(/^ *# location \^~ \/api\/v1\/ \{\n(?: *#.*\n)*? *# \}$/m, (block) =>
      block.replaceAll(/^( *)# /gm, '$1'),
    );
  }

  const copy = (...args: string[]) => bed.run('skopeo', '--insecure-policy', 'copy', '--preserve-digests', ...args);

  test('serves its own page', async () => {
    const page = await registry.send('/');
    expect([page.status, page.headers['content-type']]).toEqual([200, 'text/html']);
  });

  test('accepts an image only from Ana, and returns it', async () => {
    const image = await freshImage();
    await writeLayout(join(bed.folder, 'layout'), '1', image);
    const there = `docker://${host}/team/app:1`;
    await expect(copy('--dest-tls-verify=false', 'oci:layout:1', there)).rejects.toThrow(/denied|unauthorized/);
    await copy('--dest-tls-verify=false', '--dest-creds=ana:secret', 'oci:layout:1', there);
    await copy('--src-tls-verify=false', '--src-creds=ana:secret', there, 'oci:back:1');
    const index = JSON.parse(await readFile(join(bed.folder, 'back/index.json'), 'utf8')) as object;
    expect(index).toMatchObject({ manifests: [{ digest: image.manifest.digest }] });
  });

  test('caches the hub for anonymous clients', async () => {
    const image = await freshImage();
    await hub.pushImage('local/alpine', '1', image);
    await copy('--src-tls-verify=false', `docker://${host}/hub/local/alpine:1`, 'oci:cached:1');
    const index = JSON.parse(await readFile(join(bed.folder, 'cached/index.json'), 'utf8')) as object;
    expect(index).toMatchObject({ manifests: [{ digest: image.manifest.digest }] });
  });

  test('imports an archive that is larger than nginx allows by default', async () => {
    const layer = content(mediaTypes.ociLayerGzip, randomBytes(3 * 1024 * 1024));
    const config = jsonContent(mediaTypes.ociConfig, { architecture: 'amd64', os: 'linux' });
    const image = composeImage(config, [layer]);
    await writeLayout(join(bed.folder, 'large'), '1', image);
    const archive = join(bed.folder, 'large.tar');
    await bed.run('tar', '-C', join(bed.folder, 'large'), '-cf', archive, '.');
    const authorization = `Basic ${Buffer.from('ana:secret').toString('base64')}`;
    const body = await readFile(archive);
    const path = '/api/v1/repositories/team/import?image=large';
    const imported = await registry.send(path, { method: 'POST', headers: { authorization }, body });
    expect([imported.status, imported.body.toString()]).toEqual([201, expect.stringContaining('team/large')]);
  });
});
