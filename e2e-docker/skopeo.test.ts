import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tarOfFiles, writeLayout } from './support/busybox.js';
import { describeClient } from './support/client-suite.js';
import { composeImage, content, jsonContent, mediaTypes, sha256 } from './support/images.js';
import type { Image } from './support/images.js';
import { RegistryHttp } from './support/registry-http.js';
import { openTestBed } from './support/test-bed.js';
import type { TestBed } from './support/test-bed.js';

/** A layer that no other test uses: skopeo remembers compressed forms of a layer and would send an older one. */
async function freshImage(): Promise<Image> {
  const tar = await tarOfFiles({ fresh: randomBytes(20_000).toString('hex') });
  const rootfs = { type: 'layers', diff_ids: [sha256(tar)] };
  const config = jsonContent(mediaTypes.ociConfig, { architecture: 'amd64', os: 'linux', rootfs });
  return composeImage(config, [content(mediaTypes.ociLayerGzip, gzipSync(tar))]);
}

describeClient('skopeo', ['skopeo'], () => {
  let bed: TestBed;
  let registry: RegistryHttp;
  let image: Image;
  let layout: string;

  beforeAll(async () => {
    bed = await openTestBed();
    registry = new RegistryHttp(bed.registry.origin);
    image = await freshImage();
    layout = join(bed.folder, 'layout');
    await writeLayout(layout, '1', image);
  });
  afterAll(() => bed?.close());

  const toRegistry = '--dest-tls-verify=false';
  const fromRegistry = '--src-tls-verify=false';
  const plainHttp = '--tls-verify=false';
  const skopeo = (...args: string[]) => bed.run('skopeo', '--insecure-policy', ...args);
  const docker = (name: string) => `docker://${bed.ref(name)}`;

  test('copies to the registry and back without a changed byte', async () => {
    await skopeo('copy', '--preserve-digests', toRegistry, `oci:${layout}:1`, docker('app:1'));
    await registry.pullImage('local/app', '1', image);
    const back = join(bed.folder, 'back');
    await skopeo('copy', '--preserve-digests', fromRegistry, docker('app:1'), `oci:${back}:1`);
    const manifest = await readFile(join(back, 'blobs', image.manifest.digest.replace(':', '/')));
    expect(manifest.equals(image.manifest.bytes)).toBe(true);
  });

  test('pushes layers again after they were garbage collected', async () => {
    const copy = () => skopeo('copy', '--preserve-digests', toRegistry, `oci:${layout}:1`, docker('collected:1'));
    await copy();
    await registry.dropImage('local/collected', '1');
    await copy();
    await registry.pullImage('local/collected', '1', image);
  });

  test('copies from one name to another and inspects', async () => {
    await skopeo('copy', fromRegistry, toRegistry, docker('app:1'), docker('other/app:2'));
    const { stdout } = await skopeo('inspect', plainHttp, docker('other/app:2'));
    expect(JSON.parse(stdout)).toMatchObject({
      Digest: image.manifest.digest,
      RepoTags: ['2'],
      Layers: image.layers.map(({ digest }) => digest),
    });
  });

  test('converts to Docker format while copying', async () => {
    await skopeo('copy', '--format', 'v2s2', toRegistry, `oci:${layout}:1`, docker('app:v2s2'));
    const { stdout } = await skopeo('inspect', '--raw', plainHttp, docker('app:v2s2'));
    expect(JSON.parse(stdout)).toMatchObject({ mediaType: mediaTypes.dockerManifest });
  });

  test('lists tags', async () => {
    const { stdout } = await skopeo('list-tags', plainHttp, docker('app'));
    expect(JSON.parse(stdout)).toMatchObject({ Repository: bed.ref('app'), Tags: ['1', 'v2s2'] });
  });

  test('recompresses layers with zstd and copies them back', async () => {
    const fresh = join(bed.folder, 'fresh');
    await writeLayout(fresh, '1', await freshImage());
    const zstd = ['--dest-compress', '--dest-compress-format', 'zstd'];
    await skopeo('copy', toRegistry, ...zstd, `oci:${fresh}:1`, docker('app:zstd'));
    const { stdout } = await skopeo('inspect', '--raw', plainHttp, docker('app:zstd'));
    expect(JSON.parse(stdout)).toMatchObject({ layers: [{ mediaType: mediaTypes.ociLayerZstd }] });
    await skopeo('copy', fromRegistry, docker('app:zstd'), `dir:${join(bed.folder, 'zstd-back')}`);
  });

  test('copies an index with all its images', async () => {
    await pushIndex(registry, image, await freshImage());
    await skopeo('copy', '--all', fromRegistry, toRegistry, docker('index:1'), docker('copied/index:1'));
    expect(await registry.tagDigest('local/copied/index', '1')).toBe(await registry.tagDigest('local/index', '1'));
  });

  test('syncs all tags of an image to a folder and back to another name', async () => {
    const folder = join(bed.folder, 'synced');
    await skopeo('sync', '--src', 'docker', '--dest', 'dir', fromRegistry, bed.ref('app'), folder);
    await skopeo('sync', '--src', 'dir', '--dest', 'docker', toRegistry, folder, bed.ref('mirror'));
    const { stdout } = await skopeo('list-tags', plainHttp, docker('mirror/app'));
    expect(JSON.parse(stdout)).toMatchObject({ Tags: ['1', 'v2s2', 'zstd'] });
  });

  test('deletes an image', async () => {
    await skopeo('delete', plainHttp, docker('other/app:2'));
    expect(await registry.tagDigest('local/other/app', '2')).toBeUndefined();
    await registry.pullImage('local/app', '1', image);
  });
});

async function pushIndex(registry: RegistryHttp, ...images: Image[]): Promise<void> {
  for (const image of images)
    await registry.pushImage('local/index', `of-${image.manifest.digest.slice(7, 19)}`, image);
  const manifests = images.map(({ manifest }, position) => ({
    mediaType: manifest.mediaType,
    digest: manifest.digest,
    size: manifest.bytes.length,
    platform: { os: 'linux', architecture: ['amd64', 'arm64'][position] },
  }));
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
  await registry.putManifest('local/index', '1', jsonContent(mediaTypes.ociIndex, index));
}
