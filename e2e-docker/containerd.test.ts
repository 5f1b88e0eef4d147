import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { startContainerd } from './support/containerd.js';
import type { Containerd } from './support/containerd.js';
import type { Image } from './support/images.js';
import { RegistryHttp } from './support/registry-http.js';
import { openTestBed } from './support/test-bed.js';
import type { TestBed } from './support/test-bed.js';

// The native snapshotter copies instead of mounting, so nothing can stay mounted.
const snapshotter = '--snapshotter=native';

const needs = ['root', 'ctr', 'containerd', 'containerd-shim-runc-v2', 'runc', 'busybox'];

describeClient('containerd', needs, () => {
  let bed: TestBed;
  let registry: RegistryHttp;
  let containerd: Containerd;
  let image: Image;

  beforeAll(async () => {
    bed = await openTestBed();
    registry = new RegistryHttp(bed.registry.origin);
    containerd = await startContainerd(bed);
    image = await busyboxImage({ marker: 'containerd was here' });
    const layout = join(bed.folder, 'layout');
    await writeLayout(layout, '1', image);
    await bed.run('tar', '-C', layout, '-cf', join(bed.folder, 'layout.tar'), '.');
  });
  afterAll(async () => {
    await containerd?.stop();
    await bed?.close();
  });

  const ctr = async (...args: string[]) => (await containerd.ctr(...args)).stdout;

  async function imageDigest(ref: string): Promise<string | undefined> {
    const rows = (await ctr('images', 'list', `name==${ref}`)).trim().split('\n');
    return /sha256:[0-9a-f]{64}/.exec(rows[1] ?? '')?.[0];
  }

  test('pushes an image, removes it and pulls it back complete', async () => {
    const ref = bed.ref('app:1');
    await ctr('images', 'import', snapshotter, '--base-name', bed.ref('app'), join(bed.folder, 'layout.tar'));
    await ctr('images', 'push', '--plain-http', ref);
    await registry.pullImage('local/app', '1', image);

    await ctr('images', 'remove', '--sync', ref);
    await ctr('images', 'pull', '--plain-http', snapshotter, ref);
    expect(await imageDigest(ref)).toBe(image.manifest.digest);
    expect(await ctr('images', 'check', snapshotter, `name==${ref}`)).toContain('complete (3/3)');
  });

  test('runs the pulled image', async () => {
    const printed = await ctr('run', '--rm', snapshotter, bed.ref('app:1'), 'e2e', '/bin/cat', '/marker');
    expect(printed).toBe('containerd was here');
  });

  test('pulls through a mirror that ignores an `ns` of a registry that is not configured', async () => {
    await registry.pushImage('local/library/app', '1', image);
    const hosts = join(bed.folder, 'hosts');
    await mkdir(join(hosts, 'docker.io'), { recursive: true });
    // This server is both the registry and its mirror, so that a miss cannot reach the real registry.
    const url = `"${bed.registry.origin}/v2/local"`;
    const settings = ['capabilities = ["pull", "resolve"]', 'override_path = true'];
    const file = [`server = ${url}`, ...settings, `[host.${url}]`, ...settings];
    await writeFile(join(hosts, 'docker.io/hosts.toml'), file.join('\n'));
    await ctr('images', 'pull', '--hosts-dir', hosts, snapshotter, 'docker.io/library/app:1');
    expect(await imageDigest('docker.io/library/app:1')).toBe(image.manifest.digest);
  });
});
