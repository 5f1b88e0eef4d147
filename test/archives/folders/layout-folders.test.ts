import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openRegistryFolder } from '../../../src/archives/folders/registry-folder.js';
import type { SourceImage } from '../../../src/ports/operations/migration.js';
import type { Digest } from '../../../src/protocol/digest.js';
import { parseTag } from '../../../src/protocol/names.js';
import { collect } from '../../contracts/blob-store-published.js';
import { describeBytes, describeManifest, imageManifest, indexManifest, types } from '../../support/content/content.js';
import { ZotFolder, writeNew } from '../../support/migration/old-registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

let root: string;
let zot: ZotFolder;
beforeEach(async () => {
  root = await makeScratchFolder();
  zot = new ZotFolder(root);
});
afterEach(() => removeScratchFolder(root));

const [one, two] = [imageManifest('one'), imageManifest('two')] as const;

async function imageOf(name: string): Promise<SourceImage> {
  const images = await collect((await openRegistryFolder(root)).images());
  const image = images.find((found) => found.name === name);
  if (image === undefined) throw new Error(`${name} was not found`);
  return image;
}

describe('a folder of OCI layouts', () => {
  it('reads a folder as zot 2.1 leaves it: its own files, and an image whose only push was refused', async () => {
    await zot.putManifest('team/app', one, ['1', 'latest']);
    // zot refuses Docker manifests unless told, and keeps their blobs.
    await zot.putBlob('docker/app', Buffer.from('layer'));
    await writeNew(path.join(root, 'docker', 'app', 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await writeNew(path.join(root, 'docker', 'app', 'index.json'), '{"schemaVersion":2,"manifests":null}');
    await writeNew(path.join(root, 'cache.db'), 'with deduplication');
    await writeNew(path.join(root, '_restore_complete'), '1');
    expect(await (await imageOf('docker/app')).list()).toEqual({ manifests: [], tags: [], problems: [] });
    const { tags } = await (await imageOf('team/app')).list();
    expect(tags.map(({ tag }) => tag)).toEqual(['1', 'latest']);
  });

  it('has the images of all levels, without the folders that zot keeps for itself', async () => {
    for (const name of ['busybox', 'team/app', 'team/app/cache']) await zot.putManifest(name, one, ['1']);
    await zot.putManifest('_blobstore', one);
    await zot.putManifest('.trivy/db', one);
    await writeNew(path.join(root, 'cache.db'), 'x');
    const registry = await openRegistryFolder(root);
    expect(registry.format).toBe('layouts');
    const names = (await collect(registry.images())).map(({ name }) => name);
    expect(names).toEqual(['busybox', 'team/app', 'team/app/cache']);
  });

  it('lists tags and untagged manifests, and has no moves', async () => {
    await zot.putManifest('app', one, ['1', 'latest']);
    await zot.putManifest('app', two);
    const image = await imageOf('app');
    const { manifests, tags, problems } = await image.list();
    expect(manifests.map(({ digest }) => digest)).toEqual([one.digest, two.digest]);
    expect(tags.map(({ tag, digest }) => [tag, digest])).toEqual([
      ['1', one.digest],
      ['latest', one.digest],
    ]);
    expect(problems).toEqual([]);
    expect(await image.movesOf(parseTag('1'))).toEqual([]);
  });

  it('lists the children of an index that are there, but not its blobs', async () => {
    const blob = Buffer.from('a cache of BuildKit');
    await zot.putBlob('app', blob);
    const inner = indexManifest([describeManifest(one), describeBytes(types.ociLayer, blob)]);
    const outer = indexManifest([describeManifest(inner), describeManifest(two)]);
    await zot.putManifest('app', one, [], false);
    await zot.putManifest('app', inner, [], false);
    await zot.putManifest('app', outer, ['1']);
    const { manifests } = await (await imageOf('app')).list();
    expect(manifests.map(({ digest }) => digest)).toEqual([outer.digest, inner.digest, one.digest]);
  });

  it('lists a manifest whose file is missing, and finds it missing', async () => {
    await zot.putManifest('app', one, ['1']);
    await rm(zot.blob('app', one.digest));
    const image = await imageOf('app');
    const { manifests } = await image.list();
    expect(manifests).toEqual([{ digest: one.digest, at: 0 }]);
    expect(await image.findManifest(one.digest as Digest)).toMatchObject({ problem: 'missing-manifest' });
  });

  it('reports names that are not tags', async () => {
    await zot.putManifest('app', one, ['example.com/app:1']);
    const { manifests, tags, problems } = await (await imageOf('app')).list();
    expect([manifests.length, tags.length]).toEqual([1, 0]);
    expect(problems).toEqual([
      { problem: 'invalid-tag', message: 'the tag is invalid', tags: ['example.com/app:1'], manifest: one.digest },
    ]);
  });

  it.each([
    { what: 'that is not JSON', text: '{"manifests":' },
    { what: 'without a list', text: '{"manifests":"none"}' },
  ])('reports an index.json $what', async ({ text }) => {
    await zot.putManifest('app', one, ['1']);
    await writeFile(path.join(root, 'app', 'index.json'), text);
    const { manifests, problems } = await (await imageOf('app')).list();
    expect(manifests).toEqual([]);
    expect(problems.map(({ problem }) => problem)).toEqual(['invalid-layout']);
  });

  it('skips entries with digests that cannot be verified', async () => {
    await mkdir(path.join(root, 'app', 'blobs'), { recursive: true });
    const entries = [{ digest: 'blake3:00' }, { digest: 7 }, null, 'text'];
    await writeFile(path.join(root, 'app', 'index.json'), JSON.stringify({ manifests: entries }));
    expect(await (await imageOf('app')).list()).toEqual({ manifests: [], tags: [], problems: [] });
  });

  it('is refused when it is a layout itself', async () => {
    await zot.putManifest('app', one, ['1']);
    await expect(openRegistryFolder(path.join(root, 'app'))).rejects.toThrow('is one OCI layout');
  });
});
