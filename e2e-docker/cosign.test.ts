import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeClient } from './support/client-suite.js';
import { run } from './support/commands.js';
import { composeImage, content, jsonContent, mediaTypes } from './support/images.js';
import { RegistryHttp } from './support/registry-http.js';
import { openTestBed } from './support/test-bed.js';
import type { TestBed } from './support/test-bed.js';

// Signs with a local key. Without a transparency log, a certificate authority and time stamps, no other server is contacted.
const signOffline = ['--tlog-upload=false', '--use-signing-config=false', '--allow-http-registry', '--yes'];
const verifyOffline = ['--insecure-ignore-tlog', '--allow-http-registry'];

describeClient('cosign', ['cosign'], () => {
  let bed: TestBed;
  let registry: RegistryHttp;

  beforeAll(async () => {
    bed = await openTestBed();
    registry = new RegistryHttp(bed.registry.origin);
    await cosign('generate-key-pair', '--output-key-prefix', 'ours');
    await cosign('generate-key-pair', '--output-key-prefix', 'theirs');
  });
  afterAll(() => bed?.close());

  function cosign(...args: string[]) {
    return run('cosign', args, { env: { ...bed.env, COSIGN_PASSWORD: 'of no secret' }, cwd: bed.folder });
  }

  /** Pushes an image for one test and returns its name by digest: a tag could move between signing and verifying. */
  async function pushImage(name: string): Promise<string> {
    const config = jsonContent(mediaTypes.ociConfig, { architecture: 'amd64', os: 'linux', name });
    const image = composeImage(config, [content(mediaTypes.ociLayerGzip, Buffer.from(`layer of ${name}`))]);
    await registry.pushImage(`local/${name}`, '1', image);
    return `${bed.ref(name)}@${image.manifest.digest}`;
  }

  const key = (name: string) => join(bed.folder, name);

  test.each([
    ['to a tag next to the image', 'signed/tag', 'false'],
    ['to a referrer of the image', 'signed/referrer', 'true'],
  ])('signs with a local key %s, and verifies', async (_form, name, bundle) => {
    const ref = await pushImage(name);
    const form = `--new-bundle-format=${bundle}`;
    await cosign('sign', '--key', key('ours.key'), form, ...signOffline, ref);
    const { stdout } = await cosign('verify', '--key', key('ours.pub'), form, ...verifyOffline, ref);
    expect(stdout).toContain(ref.split('@')[1]);
    await expect(cosign('verify', '--key', key('theirs.pub'), form, ...verifyOffline, ref)).rejects.toThrow();
  });

  test('does not verify an unsigned image', async () => {
    const ref = await pushImage('unsigned');
    await expect(cosign('verify', '--key', key('ours.pub'), ...verifyOffline, ref)).rejects.toThrow(/no signatures/);
  });
});
