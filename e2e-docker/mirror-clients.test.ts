import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import type { Image } from './support/images.js';
import {
  blobBytes,
  cacheStatus,
  freshImage,
  freshName,
  openMirrorBed,
  pushMultiArch,
  upstreamBytes,
} from './support/mirror-bed.js';
import type { MirrorBed } from './support/mirror-bed.js';
import { blobsOf, blobsSent } from './support/upstreams.js';

/** A repository in addition to those of the example: a remote without a cache. */
const passThrough = (url: string) => [{ name: 'direct', type: 'remote', url, cache: false }];

describeClient('skopeo through a remote, a virtual and a pass-through', ['skopeo', 'docker-registry'], () => {
  const name = freshName();
  let bed: MirrorBed;
  let image: Image;

  beforeAll(async () => {
    bed = await openMirrorBed(passThrough);
    image = await freshImage();
    await bed.source.pushImage(`library/${name}`, '1', image);
  });
  afterAll(() => bed?.close());

  const plainHttp = '--tls-verify=false';
  const skopeo = (...args: string[]) => bed.run('skopeo', '--insecure-policy', ...args);
  const docker = (path: string) => `docker://${bed.mirror.host}/${path}`;

  /** The bytes of the manifest in a folder that the client wrote. */
  async function pull(path: string): Promise<Buffer> {
    const folder = join(bed.folder, freshName());
    await skopeo('copy', '--preserve-digests', '--src-tls-verify=false', docker(path), `dir:${folder}`);
    return readFile(join(folder, 'manifest.json'));
  }

  async function push(path: string, pushed: Image): Promise<void> {
    const layout = join(bed.folder, freshName());
    await writeLayout(layout, '1', pushed);
    await skopeo('copy', '--preserve-digests', '--dest-tls-verify=false', `oci:${layout}:1`, docker(path));
  }

  test.each([
    ['a remote without a cache', 'direct'],
    ['a cache', 'hub'],
    ['a virtual repository', 'docker'],
  ])('pulls, inspects and lists through %s', async (_kind, repository) => {
    const path = `${repository}/library/${name}`;
    expect((await pull(`${path}:1`)).equals(image.manifest.bytes)).toBe(true);
    expect((await pull(`${path}@${image.manifest.digest}`)).equals(image.manifest.bytes)).toBe(true);
    const inspected = await skopeo('inspect', plainHttp, docker(`${path}:1`));
    expect(JSON.parse(inspected.stdout)).toMatchObject({ Digest: image.manifest.digest, RepoTags: ['1'] });
    const listed = await skopeo('list-tags', plainHttp, docker(path));
    expect(JSON.parse(listed.stdout)).toMatchObject({ Tags: ['1'] });
  });

  test.each(['hub', 'direct'])('a push to %s is refused with the repository to push to instead', async (repository) => {
    await expect(push(`${repository}/library/${name}:2`, await freshImage())).rejects.toThrow(
      /push to one of docker, team/,
    );
    expect(bed.upstream.requests().filter(({ url }) => url.includes('/uploads'))).toHaveLength(uploadsOf(image));
  });

  /** The requests that pushed it: three per blob. */
  const uploadsOf = ({ layers }: Image) => 3 * (layers.length + 1);

  test('pushes through the virtual repository, and pulls from it and from its push target', async () => {
    const own = await freshImage();
    await push('docker/acme/app:1', own);
    for (const repository of ['docker', 'team']) {
      expect((await pull(`${repository}/acme/app:1`)).equals(own.manifest.bytes)).toBe(true);
    }
    expect(bed.upstream.requests().filter(({ url }) => url.includes('acme/'))).toEqual([]);
  });

  test('prefers an image of the team to one of the same name upstream, and lists the tags of both', async () => {
    const own = await freshImage();
    await bed.source.pushImage(`library/${name}`, 'outside', image);
    await push(`docker/library/${name}:1`, own);
    expect((await pull(`docker/library/${name}:1`)).equals(own.manifest.bytes)).toBe(true);
    expect((await pull(`docker/library/${name}:outside`)).equals(image.manifest.bytes)).toBe(true);
    expect((await pull(`hub/library/${name}:1`)).equals(image.manifest.bytes)).toBe(true);
    const { stdout } = await skopeo('list-tags', plainHttp, docker(`docker/library/${name}`));
    expect(JSON.parse(stdout)).toMatchObject({ Tags: ['1', 'outside'] });
  });

  test('never requests a reserved name upstream, even if it exists there', async () => {
    await bed.source.pushImage('acme/secret', '1', image);
    const before = bed.upstream.requests().length;
    await expect(pull('docker/acme/secret:1')).rejects.toThrow(/manifest unknown|not found|name unknown/i);
    expect(bed.upstream.requests()).toHaveLength(before);
  });

  test('pushes an image from upstream under a name of the team', async () => {
    const from = docker(`docker/library/${name}:outside`);
    await skopeo('copy', '--src-tls-verify=false', '--dest-tls-verify=false', from, docker('docker/acme/copy:1'));
    expect((await pull('team/acme/copy:1')).equals(image.manifest.bytes)).toBe(true);
  });

  test('pulls through the cache and the virtual repository while the upstream is down, but not without a cache', async () => {
    await bed.loseUpstream();
    const stale = (await cacheStatus(bed.mirror.origin, 'hub')).counters.stale;
    expect((await pull(`hub/library/${name}:1`)).equals(image.manifest.bytes)).toBe(true);
    expect((await pull(`docker/library/${name}:outside`)).equals(image.manifest.bytes)).toBe(true);
    expect((await cacheStatus(bed.mirror.origin, 'hub')).counters.stale).toBeGreaterThan(stale);
    expect((await pull('docker/acme/app:1')).length).toBeGreaterThan(0);
    await expect(pull(`direct/library/${name}:1`)).rejects.toThrow(/50[234]|unavailable/i);
  });
});

describeClient('crane through a remote, a virtual and by host name', ['crane', 'busybox', 'docker-registry'], () => {
  const name = freshName();
  let bed: MirrorBed;
  let image: Image;

  beforeAll(async () => {
    bed = await openMirrorBed(passThrough);
    image = await freshImage('amd64', 8 * 1024 * 1024);
    await bed.source.pushImage(`library/${name}`, '1', image);
  });
  afterAll(() => bed?.close());

  const crane = async (...args: string[]) => (await bed.run('crane', '--insecure', ...args)).stdout.trim();
  const ref = (path: string) => `${bed.mirror.host}/${path}`;

  test('fetches each blob from the upstream once for four concurrent pulls', async () => {
    const pulls = [1, 2, 3, 4].map((i) => crane('pull', ref(`hub/library/${name}:1`), join(bed.folder, `${i}.tar`)));
    await Promise.all(pulls);
    await expect.poll(() => blobsSent(bed.upstream)).toEqual(blobsOf(image));
    // Each byte once; the manifest at most once per pull.
    const moved = await upstreamBytes(bed.mirror.origin, 'hub', blobBytes(image));
    expect(moved).toBeGreaterThanOrEqual(blobBytes(image));
    expect(moved).toBeLessThanOrEqual(blobBytes(image) + 4 * image.manifest.bytes.length);
  });

  test.each(['hub', 'docker', 'direct'])('validates every layer through %s', async (repository) => {
    const path = ref(`${repository}/library/${name}`);
    expect(await crane('digest', `${path}:1`)).toBe(image.manifest.digest);
    expect(await crane('manifest', `${path}:1`)).toBe(image.manifest.bytes.toString());
    expect(await crane('ls', path)).toBe('1');
    await crane('validate', '--remote', `${path}:1`);
  });

  test('pulls without the repository in the name, by host name and by default repository', async () => {
    const byHost = `localhost:${new URL(bed.mirror.origin).port}/library/${name}:1`;
    expect(await crane('digest', byHost)).toBe(image.manifest.digest);
    expect(await crane('digest', ref(`library/${name}:1`))).toBe(image.manifest.digest);
  });

  test('lists cached images with their repository in the catalog', async () => {
    const names = (await crane('catalog', bed.mirror.host)).split('\n');
    expect(names).toContain(`hub/library/${name}`);
  });

  test('fetches only the requested platform of a multi-platform index from the upstream', async () => {
    const multi = freshName();
    const { others } = await pushMultiArch(bed.source, `library/${multi}`, '1');
    const [s390x] = others;
    await crane('pull', '--platform', 'linux/s390x', ref(`docker/library/${multi}:1`), join(bed.folder, 'multi.tar'));
    await expect.poll(() => blobsSent(bed.upstream, multi)).toEqual(s390x === undefined ? [] : blobsOf(s390x));
  });

  test('copies from the cache to the team, and pushes through the virtual repository', async () => {
    await crane('copy', ref(`hub/library/${name}:1`), ref('team/acme/copied:1'));
    expect(await crane('digest', ref('docker/acme/copied:1'))).toBe(image.manifest.digest);
    await crane('tag', ref('docker/acme/copied:1'), 'tagged');
    expect(await crane('ls', ref('docker/acme/copied'))).toBe('1\ntagged');
  });

  test('reports a missing image as unknown, but not an image whose upstream fails', async () => {
    await expect(crane('digest', ref(`hub/library/${name}:none`))).rejects.toThrow(/404|MANIFEST_UNKNOWN/);
    await bed.loseUpstream();
    await crane('validate', '--remote', ref(`hub/library/${name}:1`));
    // Not crane, which retries for a long time after such an answer.
    for (const repository of ['hub', 'docker', 'direct']) {
      const unknown = await bed.mirrorHttp.send(`/v2/${repository}/library/never-seen/manifests/1`);
      expect(unknown.status, repository).toBe(503);
    }
  });
});
