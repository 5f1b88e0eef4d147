import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import type { CommandResult } from './support/commands.js';
import { containersTool } from './support/podman.js';
import { RegistryHttp } from './support/registry-http.js';
import { openTestBed } from './support/test-bed.js';
import type { TestBed } from './support/test-bed.js';

const plainHttp = '--tls-verify=false';

describeClient('buildah', ['root', 'buildah', 'runc', 'busybox'], () => {
  let bed: TestBed;
  let buildah: (...args: string[]) => Promise<CommandResult>;
  let registry: RegistryHttp;

  beforeAll(async () => {
    bed = await openTestBed();
    registry = new RegistryHttp(bed.registry.origin);
    buildah = await containersTool(bed, 'buildah');
    const image = await busyboxImage({ marker: 'base of a build' });
    await writeLayout(join(bed.folder, 'base'), '1', image);
    // A relative path, because buildah makes it the local name of the image, which must not contain the capitals of a temporary
    // folder.
    const { stdout } = await buildah('pull', '--quiet', 'oci:base:1');
    await buildah('push', plainHttp, stdout.trim(), `docker://${bed.ref('base:1')}`);
    await buildah('rmi', '--all', '--force');
  });
  afterAll(() => bed?.close());

  async function build(ref: string): Promise<void> {
    const context = join(bed.folder, 'context');
    await mkdir(context, { recursive: true });
    const lines = [`FROM ${bed.ref('base:1')}`, 'RUN cat /marker > /ran && echo " and a step" >> /ran'];
    await writeFile(join(context, 'Containerfile'), lines.join('\n'));
    await buildah(
      'build',
      plainHttp,
      '--isolation=chroot',
      '--file',
      join(context, 'Containerfile'),
      '--tag',
      ref,
      context,
    );
  }

  test('builds on a base from the registry, pushes the result and pulls it back unchanged', async () => {
    const ref = bed.ref('team/built:1');
    await build(ref);
    await buildah('push', plainHttp, ref, `docker://${ref}`);
    await buildah('rmi', '--all', '--force');

    const container = (await buildah('from', plainHttp, ref)).stdout.trim();
    const { stdout } = await buildah('run', '--isolation=chroot', container, '/bin/cat', '/ran');
    expect(stdout.trim()).toBe('base of a build and a step');
    await buildah('rm', container);
  });

  test('reports the digest in the registry, and pulls by it', async () => {
    const ref = bed.ref('team/digest:1');
    await build(ref);
    const digestFile = join(bed.folder, 'digest');
    await buildah('push', plainHttp, '--digestfile', digestFile, ref, `docker://${ref}`);
    const digest = await readFile(digestFile, 'utf8');
    expect(digest).toBe(await registry.tagDigest('local/team/digest', '1'));
    await buildah('pull', plainHttp, `${bed.ref('team/digest')}@${digest}`);
  });
});
