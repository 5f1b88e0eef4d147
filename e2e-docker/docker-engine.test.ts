import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxTar, goArchitecture } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { startDockerEngine } from './support/docker-engine.js';
import type { DockerEngine } from './support/docker-engine.js';
import { mediaTypes } from './support/images.js';
import { RegistryHttp, header } from './support/registry-http.js';
import { openTestBed } from './support/test-bed.js';
import type { TestBed } from './support/test-bed.js';

const base = 'local-only/busybox:1';

const needs = ['root', 'docker', 'dockerd', 'containerd', 'containerd-shim-runc-v2', 'runc', 'ip', 'busybox'];

describeClient('docker engine', needs, () => {
  let bed: TestBed;
  let engine: DockerEngine;
  let registry: RegistryHttp;

  beforeAll(async () => {
    bed = await openTestBed();
    registry = new RegistryHttp(bed.registry.origin);
    engine = await startDockerEngine(bed);
    const tar = join(bed.folder, 'busybox.tar');
    await writeFile(tar, await busyboxTar());
    await engine.docker(['import', '--change', 'CMD ["/bin/sh"]', tar, base]);
  });
  afterAll(async () => {
    await engine?.stop();
    await bed?.close();
  });

  /** Removes the image from the engine, pulls it from the registry and runs it. */
  async function runFromRegistry(ref: string, ...command: string[]): Promise<string> {
    await engine.docker(['rmi', '--force', ref]);
    await engine.docker(['pull', ref]);
    const { stdout } = await engine.docker(['run', '--rm', '--network=none', ref, ...command]);
    return stdout.trim();
  }

  /** A build context whose Dockerfile starts from an image in the registry. */
  async function buildContext(name: string, from: string): Promise<string> {
    const folder = join(bed.folder, name);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'note'), `copied by ${name}`);
    const lines = [
      `FROM ${from}`,
      'COPY note /note',
      `RUN echo "run by ${name}" > /ran`,
      'CMD ["cat", "/note", "/ran"]',
    ];
    await writeFile(join(folder, 'Dockerfile'), lines.join('\n'));
    return folder;
  }

  test('pushes an image, removes it, pulls it back and runs it', async () => {
    const ref = bed.ref('library/busybox:1');
    await engine.docker(['tag', base, ref]);
    const pushed = await engine.docker(['push', ref]);
    const digest = /digest: (sha256:[0-9a-f]{64})/.exec(pushed.stdout)?.[1];

    expect(await runFromRegistry(ref, '/bin/echo', 'hello')).toBe('hello');
    expect(await registry.tagDigest('local/library/busybox', '1')).toBe(digest);
    const inspected = await engine.docker(['inspect', '--format', '{{index .RepoDigests 0}}', ref]);
    expect(inspected.stdout.trim()).toBe(`${bed.ref('library/busybox')}@${digest}`);
  });

  test('pulls by digest', async () => {
    const digest = await registry.tagDigest('local/library/busybox', '1');
    await engine.docker(['rmi', '--force', bed.ref('library/busybox:1')]);
    const pulled = await engine.docker(['pull', `${bed.ref('library/busybox')}@${digest}`]);
    expect(pulled.stdout).toContain(`Digest: ${digest}`);
  });

  test('mounts a layer from another image instead of sending it again', async () => {
    const ref = bed.ref('team/copy:1');
    await engine.docker(['tag', base, ref]);
    const pushed = await engine.docker(['push', ref]);
    expect(pushed.stdout).toContain('Mounted from local/library/busybox');
    expect(await runFromRegistry(ref, '/bin/echo', 'mounted')).toBe('mounted');
  });

  test.each([
    ['the legacy builder', 'legacy', '0'],
    ['BuildKit', 'buildkit', '1'],
  ])('builds with %s on a base from the registry, pushes and runs', async (_builder, name, buildkit) => {
    const ref = bed.ref(`built/${name}:1`);
    const context = await buildContext(name, bed.ref('library/busybox:1'));
    const env = { DOCKER_BUILDKIT: buildkit };
    await engine.docker(['build', '--pull', '--network=none', '--tag', ref, context], { env });
    await engine.docker(['push', ref]);
    expect(await runFromRegistry(ref)).toBe(`copied by ${name}run by ${name}`);
  });

  test('moves a tag to a rebuilt image, and the old digest stays', async () => {
    const ref = bed.ref('moving:latest');
    const digests: (string | undefined)[] = [];
    for (const version of ['one', 'two']) {
      const folder = await buildContext(version, base);
      await engine.docker(['build', '--network=none', '--tag', ref, folder], { env: { DOCKER_BUILDKIT: '0' } });
      await engine.docker(['push', ref]);
      digests.push(await registry.tagDigest('local/moving', 'latest'));
    }
    expect(digests[1]).not.toBe(digests[0]);
    expect(await runFromRegistry(ref)).toBe('copied by tworun by two');
    await engine.docker(['pull', `${bed.ref('moving')}@${digests[0]}`]);
  });

  test('pulls the platform of this machine by the tag of a multi-platform index', async () => {
    const own = goArchitecture();
    const other = own === 'amd64' ? 'arm64' : 'amd64';
    const index = bed.ref('multi:1');
    for (const architecture of [own, other]) {
      await engine.docker(['tag', base, `${index}-${architecture}`]);
      await engine.docker(['push', `${index}-${architecture}`]);
    }
    await engine.docker(['manifest', 'create', '--insecure', index, `${index}-${own}`, `${index}-${other}`]);
    await engine.docker(['manifest', 'annotate', '--arch', other, index, `${index}-${other}`]);
    await engine.docker(['manifest', 'push', '--insecure', index]);

    const found = await registry.send('/v2/local/multi/manifests/1', {
      headers: { accept: mediaTypes.dockerManifestList },
    });
    expect(header(found, 'content-type')).toBe(mediaTypes.dockerManifestList);
    const { manifests } = JSON.parse(found.body.toString()) as { manifests: { platform: { architecture: string } }[] };
    expect(manifests.map(({ platform }) => platform.architecture).toSorted()).toEqual(['amd64', 'arm64']);
    expect(await runFromRegistry(index, '/bin/echo', own)).toBe(own);
  });

  test('reports a missing image clearly', async () => {
    await expect(engine.docker(['pull', bed.ref('library/busybox:nothing')])).rejects.toThrow(
      /not found|manifest unknown/i,
    );
  });

  test('pushes layers again after they were garbage collected', async () => {
    const ref = bed.ref('collected:1');
    await engine.docker(['tag', base, ref]);
    await engine.docker(['push', ref]);
    await registry.dropImage('local/collected', '1');
    await engine.docker(['push', ref]);
    expect(await runFromRegistry(ref, 'echo', 'whole again')).toBe('whole again');
  });
});
