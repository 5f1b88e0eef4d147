import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import type { CommandResult } from './support/commands.js';
import type { Image } from './support/images.js';
import { cacheStatus, freshName, openMirrorBed, pushMultiArch } from './support/mirror-bed.js';
import type { MirrorBed } from './support/mirror-bed.js';
import { containersTool } from './support/podman.js';
import { blobsOf, blobsSent } from './support/upstreams.js';

const needs = ['root', 'podman', 'conmon', 'runc', 'busybox', 'docker-registry'];

// podman puts the location of the mirror, including its path, in front of the name: the path is the repository.
describeClient('podman with registries.conf', needs, () => {
  const name = freshName();
  let bed: MirrorBed;
  let podman: (...args: string[]) => Promise<CommandResult>;
  let image: Image;

  beforeAll(async () => {
    bed = await openMirrorBed();
    image = await busyboxImage({ marker: `podman ${name}` });
    await bed.source.pushImage(`library/${name}`, '1', image);
    const settings = join(bed.folder, 'home/.config/containers');
    await mkdir(settings, { recursive: true });
    await writeFile(join(settings, 'registries.conf'), await bed.example('registries.conf'));
    podman = await containersTool(bed, 'podman');
  });
  afterAll(() => bed?.close());

  /** The names and digests of the image in podman. */
  async function pull(ref: string): Promise<string> {
    await podman('pull', '--quiet', ref);
    const { stdout } = await podman('image', 'inspect', '--format', '{{json .RepoDigests}}', ref);
    return stdout.trim();
  }

  test('pulls an image of docker.io through the mirror and runs it', async () => {
    expect(await pull(`docker.io/library/${name}:1`)).toContain(`docker.io/library/${name}@${image.manifest.digest}`);
    const limits = ['--ulimit=nofile=1024:1024', '--ulimit=nproc=1000:1000'];
    const { stdout } = await podman('run', '--rm', '--network=none', ...limits, `docker.io/library/${name}:1`);
    expect(stdout).toBe(`podman ${name}`);
    await expect.poll(() => blobsSent(bed.upstream)).toEqual(blobsOf(image));
  });

  test('resolves a short name to Docker Hub, and the mirror fetches nothing twice', async () => {
    await podman('rmi', '--force', `docker.io/library/${name}:1`);
    expect(await pull(`${name}:1`)).toContain(image.manifest.digest);
    await expect.poll(() => blobsSent(bed.upstream)).toEqual(blobsOf(image));
    expect((await cacheStatus(bed.mirror.origin, 'hub')).counters.hit).toBeGreaterThan(0);
  });

  test('pulls images of another registry from another repository', async () => {
    const before = await cacheStatus(bed.mirror.origin, 'ghcr');
    expect(await pull(`ghcr.io/library/${name}:1`)).toContain(`ghcr.io/library/${name}@${image.manifest.digest}`);
    const after = await cacheStatus(bed.mirror.origin, 'ghcr');
    expect(after.counters.miss).toBeGreaterThan(before.counters.miss);
    // Blobs of the other repository are linked after a request to the upstream, without a transfer.
    await expect.poll(() => blobsSent(bed.upstream)).toEqual(blobsOf(image));
    expect(after.upstream_bytes).toBeLessThanOrEqual(2 * image.manifest.bytes.length);
  });

  test('fetches only the blobs of this platform of a multi-platform index', async () => {
    const multi = freshName();
    const { own } = await pushMultiArch(bed.source, `library/${multi}`, '1');
    await pull(`docker.io/library/${multi}:1`);
    const missing = blobsOf(own).filter((digest) => !blobsOf(image).includes(digest));
    await expect.poll(() => blobsSent(bed.upstream, multi)).toEqual(missing);
  });

  test('pulls a stale tag while the upstream is down', async () => {
    await podman('rmi', '--all', '--force');
    await bed.loseUpstream();
    expect(await pull(`docker.io/library/${name}:1`)).toContain(image.manifest.digest);
    expect((await cacheStatus(bed.mirror.origin, 'hub')).counters.stale).toBeGreaterThan(0);
  });
});
