import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeClient } from './support/client-suite.js';
import { startContainerd } from './support/containerd.js';
import type { Containerd } from './support/containerd.js';
import type { Image } from './support/images.js';
import { cacheStatus, freshImage, freshName, openMirrorBed, pushMultiArch } from './support/mirror-bed.js';
import type { MirrorBed } from './support/mirror-bed.js';
import { blobsOf, blobsSent } from './support/upstreams.js';

// The native snapshotter copies instead of mounting, so nothing can stay mounted.
const snapshotter = '--snapshotter=native';

const needs = ['root', 'ctr', 'containerd', 'containerd-shim-runc-v2', 'runc', 'busybox', 'docker-registry'];

// containerd names the registry that it means (`?ns=docker.io`). The option `namespaces` maps it to a repository.
describeClient('containerd with hosts.toml', needs, () => {
  const name = freshName();
  let bed: MirrorBed;
  let containerd: Containerd;
  let image: Image;
  let hosts: string;

  beforeAll(async () => {
    bed = await openMirrorBed();
    image = await freshImage();
    await bed.source.pushImage(`library/${name}`, '1', image);
    containerd = await startContainerd(bed);
    bed.onClose(() => containerd.stop());
    hosts = join(bed.folder, 'certs.d');
    for (const registry of ['docker.io', 'ghcr.io']) {
      await mkdir(join(hosts, registry), { recursive: true });
      const text = await bed.example('hosts.toml');
      const server = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
      await writeFile(join(hosts, registry, 'hosts.toml'), text.replace('registry-1.docker.io', server));
    }
  });
  afterAll(() => bed?.close());

  const ctr = async (...args: string[]) => (await containerd.ctr(...args)).stdout;

  /** Pulls the image, returns its digest in containerd, and removes it again. */
  async function pull(ref: string): Promise<string | undefined> {
    await ctr('images', 'pull', '--hosts-dir', hosts, snapshotter, ref);
    const rows = (await ctr('images', 'list', `name==${ref}`)).trim().split('\n');
    await ctr('images', 'remove', '--sync', ref);
    return /sha256:[0-9a-f]{64}/.exec(rows[1] ?? '')?.[0];
  }

  /** Where the mirror gets the image from: its cache or the upstream. */
  async function answerOf(image: string, tag: string): Promise<string> {
    const explained = await bed.mirrorHttp.send(`/api/v1/explain?name=${image}&reference=${tag}`);
    return (JSON.parse(explained.body.toString()) as { answer: string }).answer;
  }

  test('pulls an image of docker.io, and the mirror fetches each blob once', async () => {
    expect(await pull(`docker.io/library/${name}:1`)).toBe(image.manifest.digest);
    expect(await pull(`docker.io/library/${name}:1`)).toBe(image.manifest.digest);
    await expect.poll(() => blobsSent(bed.upstream)).toEqual(blobsOf(image));
    expect((await cacheStatus(bed.mirror.origin, 'hub')).counters.hit).toBeGreaterThan(0);
  });

  test('pulls the same name of another registry from another repository', async () => {
    const other = await freshImage();
    await bed.source.pushImage(`library/${name}`, '2', other);
    expect(await pull(`ghcr.io/library/${name}:2`)).toBe(other.manifest.digest);
    await expect.poll(() => blobsSent(bed.upstream)).toEqual(blobsOf(image, other));
    expect(await answerOf(`ghcr/library/${name}`, '2')).toMatch(/cached|revalidate/);
    expect(await answerOf(`hub/library/${name}`, '2')).toBe('upstream');
  });

  test('pulls by digest', async () => {
    expect(await pull(`docker.io/library/${name}@${image.manifest.digest}`)).toBe(image.manifest.digest);
  });

  test('fetches only the blobs of this platform of a multi-platform index', async () => {
    const multi = freshName();
    const { index, own } = await pushMultiArch(bed.source, `library/${multi}`, '1');
    expect(await pull(`docker.io/library/${multi}:1`)).toBe(index.digest);
    await expect.poll(() => blobsSent(bed.upstream, multi)).toEqual(blobsOf(own));
  });

  test('pulls a stale tag while the upstream is down', async () => {
    await bed.loseUpstream();
    expect(await pull(`docker.io/library/${name}:1`)).toBe(image.manifest.digest);
    expect((await cacheStatus(bed.mirror.origin, 'hub')).counters.stale).toBeGreaterThan(0);
  });
});
