import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportArchive } from '../../../src/archives/export/archive-export.js';
import type { Caller, Repository } from '../../../src/ports/repository.js';
import type { ManifestContent } from '../../../src/ports/metadata/images.js';
import {
  blobFile,
  buildImage,
  describeTop,
  entriesOf,
  layoutFiles,
  refName,
  tarOf,
} from '../../support/content/archives.js';
import { Client, type Answer } from '../../support/clients/client.js';
import {
  describeBytes,
  describeManifest,
  indexManifest,
  manifestOf,
  pushBlob,
  pushManifest,
  types,
  type Descriptor,
  type Manifest,
} from '../../support/content/content.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';

let started: TestRegistry;
let client: Client;
beforeAll(async () => {
  started = await startRegistry({
    repositories: [
      { name: 'local', type: 'local' },
      { name: 'copy', type: 'local' },
    ],
  });
  client = new Client(started.url);
});
afterAll(async () => {
  await client.close();
  await started.close();
});

/** Nested indexes, the outermost last: each names the one before it so many times, in descriptors that differ. */
function nest(levels: number, width: number, innermost: Descriptor): Manifest[] {
  const indexes: Manifest[] = [];
  for (let below = innermost; indexes.length < levels; below = describeManifest(indexes.at(-1) as Manifest)) {
    const children = Array.from({ length: width }, (_, index) => ({ ...below, annotations: { n: String(index) } }));
    indexes.push(indexManifest(children));
  }
  return indexes;
}

/** A repository that holds these manifests and counts how often it is asked for one. */
function countingRepository(manifests: readonly Manifest[]): { repository: Repository; asked: () => number } {
  let asked = 0;
  const byDigest = new Map(manifests.map((manifest) => [manifest.digest, manifest]));
  const getManifest = async (
    _caller: Caller,
    _image: string,
    reference: object,
  ): Promise<ManifestContent | undefined> => {
    asked++;
    const found = 'digest' in reference ? byDigest.get(String(reference.digest)) : manifests.at(-1);
    return found && ({ ...found, mediaType: found.type, size: found.bytes.length } as unknown as ManifestContent);
  };
  const statBlob = async (): Promise<undefined> => undefined;
  const repository = { config: { name: 'local' }, getManifest, statBlob } as unknown as Repository;
  return { repository, asked: () => asked };
}

function exportOf(query: string, repository = 'local'): Promise<Answer> {
  return client.get(`/api/v1/repositories/${repository}/export?${query}`);
}

describe('an export of nested indexes', () => {
  it('reads each manifest at most twice, for any number of paths to it', async () => {
    const indexes = nest(8, 30, describeBytes(types.ociLayer, Buffer.from('absent')));
    const { repository, asked } = countingRepository(indexes);
    const names = [{ image: 'nested', reference: { tag: 'top' } }];
    await exportArchive(repository, { caller: {}, names, platform: undefined } as unknown as Parameters<
      typeof exportArchive
    >[1]);
    // 30^8 paths: once by its name, once for the files and once for what docker could load.
    expect(asked()).toBeLessThanOrEqual(1 + 2 * indexes.length);
  });

  it('is refused before the answer begins when they are nested too deeply', async () => {
    const indexes = nest(24, 2, describeBytes(types.ociLayer, Buffer.from('absent')));
    for (const index of indexes) await pushManifest(client, 'local/deep', index.digest, index);
    const answer = await exportOf(`name=deep@${indexes.at(-1)?.digest}`);
    expect([answer.status, answer.codes]).toEqual([400, ['MANIFEST_INVALID']]);
    expect(answer.body.toString()).toContain('nested deeper than 9 levels');
  });

  it('skips children with an unsupported digest algorithm', async () => {
    const image = buildImage('beside a foreign child');
    for (const bytes of [image.config, ...image.layers]) await pushBlob(client, 'local/foreign', bytes);
    await pushManifest(client, 'local/foreign', image.manifest.digest, image.manifest);
    const platform = { os: 'linux', architecture: 'amd64' };
    const foreign = { mediaType: types.ociImage, digest: `blake3:${'a'.repeat(64)}`, size: 7, platform };
    const index = indexManifest([foreign, { ...describeManifest(image.manifest), platform }]);
    await pushManifest(client, 'local/foreign', '1', index);
    const exported = await exportOf('name=foreign:1');
    expect(exported.status).toBe(200);
    const imported = await client.post('/api/v1/repositories/copy/import?image=foreign', { body: exported.body });
    expect(imported.json()).toMatchObject({ images: [{ image: 'foreign', digest: index.digest }] });
  });
});

describe('an export of sha512 content', () => {
  const config = Buffer.from(
    JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } }),
  );
  const layer = Buffer.from('a layer that is named by sha512');
  const manifest = manifestOf(types.ociImage, {
    config: describeBytes(types.ociConfig, config, 'sha512'),
    layers: [describeBytes('application/vnd.oci.image.layer.v1.tar', layer, 'sha512')],
  });
  let answer: Answer;
  beforeAll(async () => {
    for (const bytes of [config, layer]) await pushBlob(client, 'local/long', bytes, 'sha512');
    await pushManifest(client, 'local/long', manifest.sha512, manifest);
    answer = await exportOf(`name=long@${manifest.sha512}`);
  });

  it('is a tar of the announced length that tar unpacks', async () => {
    expect([answer.status, answer.header('content-length')]).toEqual([200, String(answer.body.length)]);
    const folder = path.join(started.folder, 'unpacked');
    await mkdir(folder);
    await writeFile(path.join(folder, 'a.tar'), answer.body);
    const run = promisify(execFile);
    const { stdout, stderr } = await run('tar', ['-xvf', 'a.tar'], { cwd: folder });
    expect(stderr).toBe('');
    const blobs = [config, layer, manifest.bytes].map((bytes) => blobFile(bytes, 'sha512'));
    expect(stdout.trim().split('\n').toSorted()).toEqual(
      ['index.json', 'manifest.json', 'oci-layout', ...blobs].toSorted(),
    );
    const sums = await run('sha512sum', blobs, { cwd: folder });
    expect(sums.stdout.split('\n').filter((line) => line !== '')).toEqual(
      blobs.map((file) => `${file.slice('blobs/sha512/'.length)}  ${file}`),
    );
  });

  it('can be imported again unchanged', async () => {
    const imported = await client.post('/api/v1/repositories/copy/import?image=long&tag=1', { body: answer.body });
    expect(imported.json()).toMatchObject({
      images: [{ image: 'long', digest: manifest.sha512 }],
      blobs: { total: 2 },
    });
    expect((await exportOf(`name=long@${manifest.sha512}`, 'copy')).body.equals(answer.body)).toBe(true);
  });
});

describe('an import of nested indexes', () => {
  it('accepts seven levels of thirty equal children each', async () => {
    const image = buildImage('at the bottom');
    const indexes = nest(7, 30, describeManifest(image.manifest));
    const manifests = [image.manifest, ...indexes].map(({ bytes }) => bytes);
    const files = [...manifests, image.config, ...image.layers].map((bytes) => [blobFile(bytes), bytes] as const);
    const tops = layoutFiles([describeTop(indexes.at(-1) as Manifest, refName('nested:1'))]);
    const body = await tarOf([...entriesOf(Object.fromEntries(files)), ...entriesOf(tops)]);
    const imported = await client.post('/api/v1/repositories/local/import', { body });
    expect(imported.json()).toMatchObject({
      images: [{ platforms: ['linux/amd64'], digest: indexes.at(-1)?.digest }],
      manifests: { total: 8 },
      blobs: { total: 3 },
    });
  });

  it('refuses indexes with more references in total than the limit', async () => {
    const image = buildImage('shared by many');
    const children = Array.from({ length: 2000 }, () => describeManifest(image.manifest));
    const wide = indexManifest(children);
    const tops = Array.from({ length: 120 }, (_, n) =>
      indexManifest([describeManifest(wide)], { annotations: { n: `${n}` } }),
    );
    const manifests = [image.manifest, wide, ...tops].map(({ bytes }) => bytes);
    const files = [...manifests, image.config, ...image.layers].map((bytes) => [blobFile(bytes), bytes] as const);
    const index = layoutFiles(tops.map((top, n) => describeTop(top, refName(`many:${n}`))));
    const body = await tarOf([...entriesOf(Object.fromEntries(files)), ...entriesOf(index)]);
    const answer = await client.post('/api/v1/repositories/local/import', { body });
    expect([answer.status, answer.codes]).toEqual([400, ['ARCHIVE_INVALID']]);
    expect(answer.body.toString()).toContain('more than 200000 references');
  });
});
