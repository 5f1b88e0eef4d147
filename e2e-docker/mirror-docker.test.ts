import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { startDockerEngine } from './support/docker-engine.js';
import type { DockerEngine } from './support/docker-engine.js';
import type { Image } from './support/images.js';
import {
  blobBytes,
  cacheStatus,
  freshName,
  openMirrorBed,
  pushMultiArch,
  upstreamBytes,
} from './support/mirror-bed.js';
import type { MirrorBed } from './support/mirror-bed.js';
import { blobsOf, blobsSent } from './support/upstreams.js';

const engineNeeds = ['docker', 'dockerd', 'containerd', 'containerd-shim-runc-v2', 'runc', 'ip'];

// The engine sends names of Docker Hub without a repository (`library/x`): `defaultRepository` handles them.
describeClient('docker engine with registry-mirrors', ['root', ...engineNeeds, 'busybox', 'docker-registry'], () => {
  const name = freshName();
  let bed: MirrorBed;
  let engine: DockerEngine;
  let image: Image;

  beforeAll(async () => {
    bed = await openMirrorBed();
    image = await busyboxImage({ marker: `docker ${name}` });
    await bed.source.pushImage(`library/${name}`, '1', image);
    engine = await startDockerEngine(bed, await bed.example('daemon.json'));
    bed.onClose(() => engine.stop());
  });
  afterAll(() => bed?.close());

  async function pullAndRun(ref: string): Promise<string> {
    await engine.docker(['pull', ref]);
    const { stdout } = await engine.docker(['run', '--rm', '--network=none', ref]);
    await engine.docker(['rmi', '--force', ref]);
    return stdout;
  }

  test('pulls an image of Docker Hub, and the mirror fetches each blob once', async () => {
    expect(await pullAndRun(`${name}:1`)).toBe(`docker ${name}`);
    await expect.poll(() => blobsSent(bed.upstream)).toEqual(blobsOf(image));
    expect((await cacheStatus(bed.mirror.origin, 'hub')).counters.miss).toBeGreaterThan(0);
  });

  test('pulls an image again without fetching a blob from the upstream', async () => {
    await upstreamBytes(bed.mirror.origin, 'hub', blobBytes(image));
    const before = await cacheStatus(bed.mirror.origin, 'hub');
    expect(await pullAndRun(`${name}:1`)).toBe(`docker ${name}`);
    await expect.poll(() => blobsSent(bed.upstream)).toEqual(blobsOf(image));
    const after = await cacheStatus(bed.mirror.origin, 'hub');
    expect(after.counters.hit).toBeGreaterThan(before.counters.hit);
    expect(after.upstream_bytes).toBe(before.upstream_bytes);
  });

  test('pulls by digest', async () => {
    const pulled = await engine.docker(['pull', `${name}@${image.manifest.digest}`]);
    expect(pulled.stdout).toContain(`Digest: ${image.manifest.digest}`);
    await engine.docker(['rmi', '--force', `${name}@${image.manifest.digest}`]);
  });

  test('fetches only the blobs of this platform of a multi-platform index', async () => {
    const multi = freshName();
    const { own } = await pushMultiArch(bed.source, `library/${multi}`, '1');
    await pullAndRun(`${multi}:1`);
    await expect
      .poll(() => blobsSent(bed.upstream, multi))
      .toEqual(blobsOf(own).filter((digest) => !blobsOf(image).includes(digest)));
  });

  test('pulls a stale tag while the upstream is down', async () => {
    await bed.loseUpstream();
    expect(await pullAndRun(`${name}:1`)).toBe(`docker ${name}`);
    expect((await cacheStatus(bed.mirror.origin, 'hub')).counters.stale).toBeGreaterThan(0);
  });
});
