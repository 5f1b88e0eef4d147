import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage, goArchitecture, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import type { CommandResult } from './support/commands.js';
import { mediaTypes } from './support/images.js';
import { containersTool } from './support/podman.js';
import { RegistryHttp, header } from './support/registry-http.js';
import { openTestBed } from './support/test-bed.js';
import type { TestBed } from './support/test-bed.js';

const plainHttp = '--tls-verify=false';

describeClient('podman', ['root', 'podman', 'conmon', 'runc', 'busybox'], () => {
  let bed: TestBed;
  let podman: (...args: string[]) => Promise<CommandResult>;
  let registry: RegistryHttp;

  beforeAll(async () => {
    bed = await openTestBed();
    registry = new RegistryHttp(bed.registry.origin);
    podman = await containersTool(bed, 'podman');
    for (const [architecture, marker] of [
      [goArchitecture(), 'podman was here'],
      ['s390x', 'for another machine'],
    ] as const) {
      await writeLayout(join(bed.folder, architecture), '1', await busyboxImage({ marker, architecture }));
      // A relative path, because podman makes it the local name of the image, which must not contain the capitals of a temporary
      // folder.
      const { stdout } = await podman('pull', '--quiet', `oci:${architecture}:1`);
      await podman('tag', stdout.trim(), bed.ref(`app:${architecture}`));
    }
  });
  afterAll(() => bed?.close());

  test('pushes an image, removes it, pulls it back and runs it', async () => {
    const ref = bed.ref(`app:${goArchitecture()}`);
    await podman('push', plainHttp, ref);
    await podman('rmi', '--force', ref);
    await podman('pull', plainHttp, ref);
    const limits = ['--ulimit=nofile=1024:1024', '--ulimit=nproc=1000:1000'];
    const { stdout } = await podman('run', '--rm', '--network=none', ...limits, ref);
    expect(stdout).toBe('podman was here');
  });

  test('pushes layers again after they were garbage collected', async () => {
    const source = `oci:${goArchitecture()}:1`;
    const { stdout } = await podman('pull', '--quiet', source);
    const ref = bed.ref('collected:1');
    await podman('push', plainHttp, stdout.trim(), ref);
    const pushed = await registry.tagDigest('local/collected', '1');
    await registry.dropImage('local/collected', '1');
    await podman('push', plainHttp, stdout.trim(), ref);
    // The registry accepts the manifest only if all layers are present again.
    expect(await registry.tagDigest('local/collected', '1')).toBe(pushed);
  });

  test('pushes in Docker format, and pulls by digest', async () => {
    const ref = bed.ref('docker-format:1');
    await podman('push', plainHttp, '--format', 'v2s2', bed.ref(`app:${goArchitecture()}`), ref);
    const found = await registry.send('/v2/local/docker-format/manifests/1', {
      headers: { accept: mediaTypes.dockerManifest },
    });
    expect(header(found, 'content-type')).toBe(mediaTypes.dockerManifest);
    await podman('pull', plainHttp, `${bed.ref('docker-format')}@${header(found, 'docker-content-digest')}`);
  });

  test('pushes a multi-platform index with its images', async () => {
    const list = bed.ref('multi:1');
    await podman('push', plainHttp, bed.ref('app:s390x'));
    await podman('manifest', 'create', list);
    for (const architecture of [goArchitecture(), 's390x']) {
      await podman('manifest', 'add', plainHttp, list, `docker://${bed.ref(`app:${architecture}`)}`);
    }
    await podman('manifest', 'push', '--all', plainHttp, list, `docker://${list}`);
    const found = await registry.send('/v2/local/multi/manifests/1', { headers: { accept: mediaTypes.ociIndex } });
    const { manifests } = JSON.parse(found.body.toString()) as { manifests: { platform: { architecture: string } }[] };
    expect(manifests.map(({ platform }) => platform.architecture)).toEqual([goArchitecture(), 's390x']);
    await podman('manifest', 'rm', list);
    await podman('pull', plainHttp, list);
  });

  test('lists the tags of an image', async () => {
    const { stdout } = await podman('search', plainHttp, '--list-tags', bed.ref('app'));
    const tags = [...stdout.matchAll(/local\/app\s+(\S+)/g)].map(([, tag]) => tag);
    expect(tags).toEqual([goArchitecture(), 's390x'].toSorted());
  });

  test('searches the registry for a name', async () => {
    const { stdout } = await podman('search', plainHttp, `${bed.registry.host}/docker-form`);
    expect(stdout).toContain(bed.ref('docker-format'));
  });
});
