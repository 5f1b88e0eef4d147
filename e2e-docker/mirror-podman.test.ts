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

// podman puts a mirror's location, path and all, in front of the name: the path is the repository.
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

  /** By what names and digests podman then knows it. */
  async function pull(ref: string): Promise<string> {
    await podman('pull', '--quiet', ref);
    const { stdout } = await podman('image', 'inspect', '--format', '{{json .RepoDigests}}', ref);
    return stdout.trim();
  }

  test('pulls an image of docker.io through us and runs it', async () => {
    expect(await pull(`docker.io/library/${name}:1`)).toContain(`docker.io/library/${name}@${image.manifest.digest}`);
    const limits = ['--ulimit=nofile=1024:1024', '--ulimit=nproc=1000:1000'];
    const { stdout } = await podman('run', '--rm', '--network=none', ...limits, `docker.io/library/${name}:1`);
    expect(stdout).toBe(`podman ${name}`);
    expect(blobsSent(bed.upstream)).toEqual(blobsOf(image));
  });

  test('a short name is one of Docker Hub, and nothing leaves the upstream twice', async () => {
    await podman('rmi', '--force', `docker.io/library/${name}:1`);
    expect(await pull(`${name}:1`)).toContain(image.manifest.digest);
    expect(blobsSent(bed.upstream)).toEqual(blobsOf(image));
    expect((await cacheStatus(bed.mirror.origin, 'hub')).counters.hit).toBeGreaterThan(0);
  });

  test('another registry comes from another repository', async () => {
    const before = await cacheStatus(bed.mirror.origin, 'ghcr');
    expect(await pull(`ghcr.io/library/${name}:1`)).toContain(`ghcr.io/library/${name}@${image.manifest.digest}`);
    const after = await cacheStatus(bed.mirror.origin, 'ghcr');
    expect(after.counters.miss).toBeGreaterThan(before.counters.miss);
    // What the other repository brought in is linked after a question to the upstream, and not moved again.
    expect(blobsSent(bed.upstream)).toEqual(blobsOf(image));
    expect(after.upstream_bytes).toBeLessThanOrEqual(2 * image.manifest.bytes.length);
  });

  test('of a multi-arch index, only the blobs of this platform leave the upstream', async () => {
    const multi = freshName();
    const { own } = await pushMultiArch(bed.source, `library/${multi}`, '1');
    await pull(`docker.io/library/${multi}:1`);
    const missing = blobsOf(own).filter((digest) => !blobsOf(image).includes(digest));
    expect(blobsSent(bed.upstream, multi)).toEqual(missing);
  });

  test('pulls on when the upstream is gone and the tag is no longer fresh', async () => {
    await podman('rmi', '--all', '--force');
    await bed.loseUpstream();
    expect(await pull(`docker.io/library/${name}:1`)).toContain(image.manifest.digest);
    expect((await cacheStatus(bed.mirror.origin, 'hub')).counters.stale).toBeGreaterThan(0);
  });
});
