import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeClient } from './support/client-suite.js';
import { projectRoot, run } from './support/commands.js';
import { startDaemon, waitForDaemon } from './support/daemon.js';
import { composeImage, content, jsonContent, mediaTypes } from './support/images.js';
import { RegistryHttp } from './support/registry-http.js';
import { openWorkspace } from './support/test-bed.js';
import type { Workspace } from './support/test-bed.js';

const password = 'a-secret';
// Without a transparency log, a certificate authority and time stamps, no other server is contacted.
const offline = ['--tlog-upload=false', '--use-signing-config=false', '--allow-http-registry', '--yes'];
const login = ['--registry-username', 'signer', '--registry-password', password];

describeClient('examples/signed-images', ['cosign'], () => {
  let bed: Workspace;
  let origin: string;
  let anyone: RegistryHttp;

  beforeAll(async () => {
    bed = await openWorkspace();
    await cosign({}, 'generate-key-pair', '--output-key-prefix', 'ours');
    await cosign({}, 'generate-key-pair', '--output-key-prefix', 'theirs');
    const daemon = startDaemon(process.execPath, [join(projectRoot, 'examples/signed-images/server.mjs')], {
      env: {
        ...bed.env,
        PORT: '0',
        DATA: join(bed.folder, 'data'),
        COSIGN_KEY: join(bed.folder, 'ours.pub'),
        SIGNER_PASSWORD: password,
      },
      cwd: bed.folder,
      logFile: join(bed.folder, 'example.log'),
    });
    bed.onClose(() => daemon.end());
    origin = await waitForDaemon(daemon, () => /http:\/\/127\.0\.0\.1:[1-9]\d*/.exec(daemon.output())?.[0]);
    anyone = new RegistryHttp(origin);
  });
  afterAll(() => bed?.close());

  function cosign(env: Readonly<Record<string, string>>, ...args: string[]) {
    return run('cosign', args, { env: { ...bed.env, COSIGN_PASSWORD: 'of no secret', ...env }, cwd: bed.folder });
  }

  /** Pushes as the signer, with the token that a client would request. */
  async function pushImage(name: string): Promise<string> {
    const authorization = `Basic ${Buffer.from(`signer:${password}`).toString('base64')}`;
    const answer = await anyone.send(`/v2/token?scope=repository:${name}:pull,push`, { headers: { authorization } });
    const { token } = JSON.parse(answer.body.toString()) as { token: string };
    const signer = new RegistryHttp(origin, undefined, { authorization: `Bearer ${token}` });
    const config = jsonContent(mediaTypes.ociConfig, { architecture: 'amd64', os: 'linux', name });
    const image = composeImage(config, [content(mediaTypes.ociLayerGzip, Buffer.from(`layer of ${name}`))]);
    await signer.pushImage(name, '1', image);
    return image.manifest.digest;
  }

  const statusOf = async (name: string) => (await anyone.send(`/v2/${name}/manifests/1`)).status;

  test.each<[string, string, readonly string[], Readonly<Record<string, string>>]>([
    ['a tag', 'tag', ['--new-bundle-format=false'], {}],
    [
      'a referrer',
      'referrer',
      ['--new-bundle-format=false', '--registry-referrers-mode=oci-1-1'],
      { COSIGN_EXPERIMENTAL: '1' },
    ],
    ['a bundle', 'bundle', ['--new-bundle-format=true'], {}],
  ])('serves an image that cosign signed with %s, and refuses one that another key signed', async (...row) => {
    const [, form, flags, env] = row;
    const name = `production/${form}`;
    const digest = await pushImage(name);
    const ref = `${new URL(origin).host}/${name}@${digest}`;
    expect(await statusOf(name)).toBe(403);
    await cosign(env, 'sign', '--key', 'theirs.key', ...flags, ...offline, ...login, ref);
    expect(await statusOf(name)).toBe(403);
    await cosign(env, 'sign', '--key', 'ours.key', ...flags, ...offline, ...login, ref);
    expect(await statusOf(name)).toBe(200);
  });

  test('serves no image for an attestation of the same key', async () => {
    const digest = await pushImage('production/attested');
    const ref = `${new URL(origin).host}/production/attested@${digest}`;
    await writeFile(join(bed.folder, 'predicate.json'), '{}');
    const attest = ['attest', '--key', 'ours.key', '--predicate', 'predicate.json', '--type', 'custom'];
    for (const bundle of ['false', 'true']) {
      await cosign({}, ...attest, `--new-bundle-format=${bundle}`, ...offline, ...login, ref);
      expect(await statusOf('production/attested')).toBe(403);
    }
  });
});
