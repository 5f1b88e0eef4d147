import { afterAll, beforeAll, expect, test } from 'vitest';
import { freshHome, loginFlags, openAccessBed } from './support/access-bed.js';
import type { AccessBed } from './support/access-bed.js';
import { busyboxImage } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';

const refused =
  /unauthorized|denied|authentication required|basic credential not found|does not allow this|\b40[13]\b/i;

describeClient('cosign', ['cosign', 'busybox'], () => {
  let bed: AccessBed;

  beforeAll(async () => {
    bed = await openAccessBed({ env: { COSIGN_PASSWORD: 'of no secret' } });
    await bed.run('cosign', 'generate-key-pair', '--output-key-prefix', 'ours');
  });
  afterAll(() => bed?.close());

  test('signs and verifies a private image only with a login', async () => {
    const image = await busyboxImage({ marker: 'signed' });
    await bed.as('ana').pushImage('docker-internal/team/signed', '1', image);
    const ref = `${bed.ref('docker-internal/team/signed')}@${image.manifest.digest}`;
    const offline = ['--tlog-upload=false', '--use-signing-config=false', '--allow-http-registry', '--yes'];
    const sign = ['sign', '--key', 'ours.key', '--new-bundle-format=false', ...offline, ref];
    const verify = ['verify', '--key', 'ours.pub', '--insecure-ignore-tlog', '--allow-http-registry', ref];
    const [ana, stranger] = [await freshHome(bed), await freshHome(bed)];

    await expect(stranger.run('cosign', ...sign)).rejects.toThrow(refused);
    await ana.run('cosign', 'login', ...loginFlags('ana'), bed.registry.host);
    await ana.run('cosign', ...sign);
    expect((await ana.run('cosign', ...verify)).stdout).toContain(image.manifest.digest);
    await expect(stranger.run('cosign', ...verify)).rejects.toThrow(refused);
  });
});
