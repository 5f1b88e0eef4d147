import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freshHome, loginFlags, openAccessBed, userAndPassword } from './support/access-bed.js';
import type { AccessBed } from './support/access-bed.js';
import { tarOfFiles, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { projectRoot } from './support/commands.js';
import { startDockerEngine } from './support/docker-engine.js';
import { composeImage, content, jsonContent, mediaTypes, sha256 } from './support/images.js';
import { startNginx } from './support/nginx.js';
import type { Nginx, NginxRequest } from './support/nginx.js';

const layerBytes = 6_000_000;
const settings = { trustedProxies: ['127.0.0.1'], sendfile: 'x-accel' };

interface Bed extends AccessBed {
  readonly nginx: Nginx;
}

async function openBed(): Promise<Bed> {
  const bed = await openAccessBed({ settings });
  const nginx = await startNginx(bed, bed.registry);
  bed.onClose(() => nginx.stop());
  return { ...bed, nginx };
}

/** The bytes of blobs in the log from a line on: sent by nginx itself, and proxied from the registry. */
async function blobBytes(nginx: Nginx, since: number): Promise<{ byNginx: number; byRegistry: number }> {
  const isPull = ({ method, url }: NginxRequest): boolean => method === 'GET' && url.includes('/blobs/sha256:');
  const pulls = (await nginx.requests()).slice(since).filter(isPull);
  const byRegistry = pulls.reduce((sum, { fromRegistry }) => sum + fromRegistry, 0);
  return { byNginx: pulls.reduce((sum, { sent }) => sum + sent, 0) - byRegistry, byRegistry };
}

/** nginx logs an answer after it is sent, when the client may already have it. */
async function expectByNginx(nginx: Nginx, since: number): Promise<void> {
  await expect.poll(async () => (await blobBytes(nginx, since)).byNginx).toBeGreaterThan(layerBytes);
  // Small answers are errors, not blobs.
  expect((await blobBytes(nginx, since)).byRegistry).toBeLessThan(1000);
}

const engineNeeds = ['docker', 'dockerd', 'containerd', 'containerd-shim-runc-v2', 'runc', 'ip', 'tar'];

describeClient('docker through nginx', ['root', 'nginx', ...engineNeeds], () => {
  let bed: Bed;

  beforeAll(async () => {
    bed = await openBed();
  });
  afterAll(() => bed?.close());

  test('logs in, pushes and pulls, and nginx sends the layers', async () => {
    const engine = await startDockerEngine(bed);
    bed.onClose(() => engine.stop());
    const { env } = await freshHome(bed);
    const docker = (...args: string[]) => engine.docker(args, { env });
    const ref = `${bed.nginx.host}/docker-internal/team/app:1`;
    const tar = join(bed.folder, 'layer.tar');
    await writeFile(tar, await tarOfFiles({ random: randomBytes(layerBytes).toString('base64') }));
    await docker('import', tar, ref);
    await expect(docker('push', ref)).rejects.toThrow(/denied|unauthorized|authentication required|no basic auth/);
    await docker('login', ...loginFlags('ana'), bed.nginx.host);
    await docker('push', ref);
    await docker('rmi', '--force', ref);
    const since = (await bed.nginx.requests()).length;
    expect((await docker('pull', ref)).stdout).toContain('Downloaded newer image');
    await expectByNginx(bed.nginx, since);
  });
});

describeClient('skopeo through nginx', ['nginx', 'skopeo'], () => {
  let bed: Bed;

  beforeAll(async () => {
    bed = await openBed();
  });
  afterAll(() => bed?.close());

  test('copies there and back with the certificate verified, and nginx sends the layers', async () => {
    const tar = await tarOfFiles({ random: randomBytes(layerBytes).toString('base64') });
    const rootfs = { type: 'layers', diff_ids: [sha256(tar)] };
    const config = jsonContent(mediaTypes.ociConfig, { architecture: 'amd64', os: 'linux', rootfs });
    const image = composeImage(config, [content('application/vnd.oci.image.layer.v1.tar', tar)]);
    await writeLayout(join(bed.folder, 'layout'), '1', image);
    const certificates = join(bed.folder, 'certificates');
    await mkdir(certificates);
    const ca = join(projectRoot, 'test/support/tls/test-only-certificate.pem');
    await copyFile(ca, join(certificates, 'ca.crt'));
    const there = `docker://${bed.nginx.host}/docker-internal/team/copied:1`;
    const copy = (...args: string[]) => bed.run('skopeo', '--insecure-policy', 'copy', '--preserve-digests', ...args);
    const creds = userAndPassword('ana');
    await copy('--dest-cert-dir', certificates, '--dest-creds', creds, 'oci:layout:1', there);
    const since = (await bed.nginx.requests()).length;
    await copy('--src-cert-dir', certificates, '--src-creds', creds, there, 'oci:back:1');
    const layer = image.layers[0]?.digest.replace(':', '/') ?? '';
    expect(sha256(await readFile(join(bed.folder, 'back/blobs', layer)))).toBe(image.layers[0]?.digest);
    await expectByNginx(bed.nginx, since);
  });
});
