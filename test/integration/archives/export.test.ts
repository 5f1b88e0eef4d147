import { once } from 'node:events';
import { readdir, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { extract } from 'tar-stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { blobFile, buildImage, type BuiltImage } from '../../support/content/archives.js';
import { Client, type Answer } from '../../support/clients/client.js';
import {
  describeBytes,
  describeManifest,
  digest,
  indexManifest,
  manifestOf,
  pushBlob,
  pushManifest,
  someBytes,
  types,
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
      { name: 'all', type: 'virtual', members: ['copy', 'local'] },
    ],
  });
  client = new Client(started.url);
});
afterAll(async () => {
  await client.close();
  await started.close();
});

function ask(query: string, repository = 'local'): Promise<Answer> {
  return client.get(`/api/v1/repositories/${repository}/export?${query}`);
}

async function push(name: string, reference: string, { manifest, config, layers }: BuiltImage): Promise<void> {
  for (const bytes of [config, ...layers]) await pushBlob(client, name, bytes);
  await pushManifest(client, name, reference, manifest);
}

/** The files of a tar, by path and in its order. */
async function unpack(tar: Buffer): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const parser = extract();
  parser.end(tar);
  for await (const entry of parser) {
    expect(entry.header.mtime.getTime()).toBe(0);
    const chunks: Buffer[] = [];
    for await (const chunk of entry as AsyncIterable<Buffer>) chunks.push(chunk);
    files.set(entry.header.name, Buffer.concat(chunks));
  }
  return files;
}

function json(files: ReadonlyMap<string, Buffer>, name: string): unknown {
  return JSON.parse(String(files.get(name)));
}

const names = (name: string, ref: string): object => ({
  annotations: { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': ref },
});

describe('an export', () => {
  const image = buildImage('exported');
  beforeAll(() => push('local/team/app', '1.2', image));

  it('is an OCI layout that docker load accepts, with an announced size and always the same bytes', async () => {
    const answer = await ask('name=team/app:1.2');
    expect([answer.status, answer.header('content-type')]).toEqual([200, 'application/x-tar']);
    expect(answer.header('content-disposition')).toBe('attachment; filename="team-app-1.2.tar"');
    expect(answer.header('content-length')).toBe(String(answer.body.length));
    const files = await unpack(answer.body);
    const blobs = [...image.layers, image.config, image.manifest.bytes].map((bytes) => blobFile(bytes)).toSorted();
    expect([...files.keys()]).toEqual(['oci-layout', 'index.json', 'manifest.json', ...blobs]);
    for (const bytes of [...image.layers, image.config, image.manifest.bytes]) {
      expect(files.get(blobFile(bytes))?.equals(bytes)).toBe(true);
    }
    expect(json(files, 'oci-layout')).toEqual({ imageLayoutVersion: '1.0.0' });
    expect(json(files, 'index.json')).toMatchObject({
      manifests: [{ ...describeManifest(image.manifest), ...names('local/team/app:1.2', '1.2') }],
    });
    expect(json(files, 'manifest.json')).toEqual([
      {
        Config: blobFile(image.config),
        RepoTags: ['local/team/app:1.2'],
        Layers: image.layers.map((bytes) => blobFile(bytes)),
      },
    ]);
    expect((await ask('image=team/app&reference=1.2')).body.equals(answer.body)).toBe(true);
  });

  it('can be imported again unchanged', async () => {
    const { body } = await ask('name=team/app:1.2');
    const imported = await client.post('/api/v1/repositories/local/import', { body });
    expect(imported.json()).toMatchObject({
      images: [{ image: 'team/app', tags: ['1.2'], digest: image.manifest.digest }],
      blobs: { total: 3, already_present: 3 },
    });
    await client.post('/api/v1/repositories/copy/import?image=team/app', { body });
    expect((await ask('name=team/app:1.2&as=local/team/app:1.2', 'copy')).body.equals(body)).toBe(true);
  });

  it.each([
    ['as another name', 'name=team/app:1.2&as=other/name:7', 'other/name:7', '7'],
    [
      'as another name without a tag',
      'name=team/app:1.2&as=localhost:5000/other',
      'localhost:5000/other:latest',
      'latest',
    ],
  ])('gets its name %s', async (_name, query, full, ref) => {
    const files = await unpack((await ask(query)).body);
    expect(json(files, 'index.json')).toMatchObject({ manifests: [names(full, ref)] });
    expect(json(files, 'manifest.json')).toMatchObject([{ RepoTags: [full] }]);
  });

  it('by digest contains no name', async () => {
    const files = await unpack((await ask(`name=team/app@${image.manifest.digest}`)).body);
    expect(json(files, 'index.json')).toMatchObject({ manifests: [describeManifest(image.manifest)] });
    expect(json(files, 'manifest.json')).toMatchObject([{ RepoTags: [] }]);
  });

  it('of several images contains shared blobs once, and full names', async () => {
    const other = buildImage('exported beside');
    await push('local/team/other', 'latest', other);
    await push('local/team/app', 'again', image);
    const answer = await ask('name=team/app:1.2&name=team/app:again&name=team/other');
    expect(answer.header('content-disposition')).toContain('"local.tar"');
    const files = await unpack(answer.body);
    expect(files.size).toBe(3 + 2 * 4);
    const full = ['local/team/app:1.2', 'local/team/app:again', 'local/team/other:latest'];
    expect(json(files, 'index.json')).toMatchObject({ manifests: full.map((name) => names(name, name)) });
    expect(json(files, 'manifest.json')).toMatchObject([{ RepoTags: full.slice(0, 2) }, { RepoTags: full.slice(2) }]);
  });

  it('works through a virtual repository', async () => {
    const files = await unpack((await ask('name=team/app:1.2', 'all')).body);
    expect(json(files, 'manifest.json')).toMatchObject([{ RepoTags: ['all/team/app:1.2'] }]);
  });
});

describe('an export of several platforms', () => {
  const [amd, arm, old] = [buildImage('amd64'), buildImage('arm64'), buildImage('arm')];
  const on = (built: BuiltImage, architecture: string, more: object = {}): ReturnType<typeof describeBytes> => ({
    ...describeManifest(built.manifest),
    platform: { os: 'linux', architecture, ...more },
  });
  const absent = buildImage('absent');
  const index = indexManifest([
    on(arm, 'arm64', { variant: 'v8' }),
    on(amd, 'amd64'),
    on(old, 'arm'),
    on(absent, 's390x'),
  ]);
  beforeAll(async () => {
    for (const built of [amd, arm, old]) await push('local/multi', built.manifest.digest, built);
    await pushManifest(client, 'local/multi', '1', index);
  });

  it('contains all stored platforms, and linux/amd64 for docker load', async () => {
    const files = await unpack((await ask('name=multi:1')).body);
    expect(json(files, 'index.json')).toMatchObject({ manifests: [describeManifest(index)] });
    for (const built of [amd, arm, old]) expect(files.has(blobFile(built.manifest.bytes))).toBe(true);
    expect(json(files, 'manifest.json')).toMatchObject([{ Config: blobFile(amd.config) }]);
  });

  it.each([
    ['linux/arm64', arm],
    ['linux/arm64/v8', arm],
    ['linux/amd64', amd],
    ['linux/amd64/v1', amd],
    ['linux/arm/v7', old],
    ['linux/arm', old],
  ])('contains only the image for %s when this platform is requested', async (platform, built) => {
    const files = await unpack((await ask(`name=multi:1&platform=${platform}`)).body);
    expect(json(files, 'index.json')).toMatchObject({ manifests: [describeManifest(built.manifest)] });
    expect(json(files, 'manifest.json')).toMatchObject([{ Config: blobFile(built.config) }]);
    expect(files.size).toBe(3 + 4);
  });

  it.each(['linux/s390x', 'windows/amd64', 'linux/amd64/v3', 'linux/arm/v6'])('is refused for %s', async (platform) => {
    const answer = await ask(`name=multi:1&platform=${platform}`);
    expect([answer.status, answer.codes]).toEqual([404, ['MANIFEST_UNKNOWN']]);
  });
});

describe('an export of an index with several variants of a platform', () => {
  const names = ['amd64/v3', 'amd64', 'arm/v5', 'arm/v7', 'arm64/v9'] as const;
  const built = new Map(names.map((name) => [name, buildImage(name)]));
  const index = indexManifest(
    [...built].map(([name, image]) => {
      const [architecture, variant] = name.split('/');
      return { ...describeManifest(image.manifest), platform: { os: 'linux', architecture, variant } };
    }),
  );
  beforeAll(async () => {
    for (const image of built.values()) await push('local/variants', image.manifest.digest, image);
    await pushManifest(client, 'local/variants', '1', index);
  });

  it.each([
    ['', 'amd64'],
    ['linux/amd64', 'amd64'],
    ['linux/amd64/v3', 'amd64/v3'],
    ['linux/arm', 'arm/v7'],
    ['linux/arm/v5', 'arm/v5'],
    ['linux/arm64', 'arm64/v9'],
  ] as const)('loads the one that engines choose for the platform "%s"', async (platform, name) => {
    const query = platform === '' ? 'name=variants:1' : `name=variants:1&platform=${platform}`;
    const files = await unpack((await ask(query)).body);
    expect(json(files, 'manifest.json')).toMatchObject([{ Config: blobFile(built.get(name)?.config ?? Buffer.of()) }]);
  });
});

describe('an export of what docker cannot load', () => {
  const config = Buffer.from('{}');
  const foreign = describeBytes(types.foreignLayer, Buffer.from('elsewhere'));
  const artifact = manifestOf(types.ociImage, { config: describeBytes(types.empty, config), layers: [] });
  const windows = manifestOf(types.ociImage, { config: describeBytes(types.ociConfig, config), layers: [foreign] });

  it.each<[string, Manifest]>([
    ['an artifact', artifact],
    ['an image with a layer that is fetched from elsewhere', windows],
  ])('has no manifest.json: %s', async (_name, manifest) => {
    await pushBlob(client, 'local/odd', config);
    await pushManifest(client, 'local/odd', 'odd', manifest);
    const files = await unpack((await ask('name=odd:odd')).body);
    expect([...files.keys()].toSorted()).toEqual(
      ['oci-layout', 'index.json', blobFile(config), blobFile(manifest.bytes)].toSorted(),
    );
  });
});

describe('an export is refused', () => {
  it.each([
    ['', 400, 'OPTIONS_INVALID'],
    ['name=nothing:1', 404, 'MANIFEST_UNKNOWN'],
    ['name=No', 400, 'NAME_INVALID'],
    ['name=a:-', 400, 'TAG_INVALID'],
    ['name=a@sha256:0', 400, 'DIGEST_INVALID'],
    ['name=a&platform=linux', 400, 'OPTIONS_INVALID'],
    ['name=a&as=%0a', 400, 'OPTIONS_INVALID'],
    ['name=a&name=b&as=c', 400, 'OPTIONS_INVALID'],
    ['name=a&'.repeat(101), 400, 'OPTIONS_INVALID'],
  ])('for %j with %i %s', async (query, status, code) => {
    const answer = await ask(query);
    expect([answer.status, answer.codes]).toEqual([status, [code]]);
  });

  it('when a layer is missing', async () => {
    const lacking = buildImage('lacking');
    await push('local/lacking', '1', lacking);
    await client.delete(`/v2/local/lacking/blobs/${digest(lacking.layers[0] ?? '')}`);
    const answer = await ask('name=lacking:1');
    expect([answer.status, answer.codes]).toEqual([404, ['BLOB_UNKNOWN']]);
  });
});

describe('an export of damaged bytes', () => {
  async function fileOf(bytes: Buffer): Promise<string> {
    const hex = digest(bytes).slice('sha256:'.length);
    const found = (await readdir(started.folder, { recursive: true })).find((file) => file.endsWith(hex));
    return path.join(started.folder, found ?? '');
  }

  it('never looks complete', async () => {
    const built = buildImage('damaged');
    await push('local/damaged', '1', built);
    const [layer = Buffer.alloc(0)] = built.layers;
    await writeFile(await fileOf(layer), someBytes('not the layer', layer.length));
    await expect(ask('name=damaged:1')).rejects.toThrow(/terminated|other side closed|closed/i);
    expect(started.log).toContainEqual(expect.objectContaining({ message: 'sending a blob failed' }));
  });

  it('fails before the first byte is sent when a file is too short', async () => {
    const built = buildImage('shortened');
    await push('local/shortened', '1', built);
    const file = await fileOf(built.layers[0] ?? Buffer.alloc(0));
    await truncate(file, 10);
    // What was looked at just now is remembered for a second.
    await expect.poll(async () => (await ask('name=shortened:1').catch(() => undefined))?.status).toBe(404);
  });
});

describe('a client that disconnects', () => {
  it('ends the export', async () => {
    const layers = [someBytes('a large layer', 30_000_000)];
    const config = Buffer.from('{"os":"linux","architecture":"amd64"}');
    const manifest = manifestOf(types.ociImage, {
      config: describeBytes(types.ociConfig, config),
      layers: layers.map((bytes) => describeBytes(types.ociLayer, bytes)),
    });
    await push('local/large', '1', { manifest, config, layers });
    const response = await fetch(`${started.url}/api/v1/repositories/local/export?name=large:1`);
    const ended = once(started.registry.events, 'request');
    const reader = Readable.fromWeb(response.body as never);
    await once(reader, 'readable');
    reader.destroy();
    const [event] = (await ended) as [{ op: string }];
    expect(event.op).toBe('archive.export');
  });
});

describe('an export of what clients rarely push', () => {
  const layer = Buffer.from('a layer');
  const config = Buffer.from('{}');
  const described = { ...describeBytes(types.ociLayer, layer), annotations: { odd: 1 }, platform: 'none' };
  const artifact = { artifactType: 'example/signature', blobs: [described] };
  const image = { config: describeBytes(types.ociConfig, config), layers: [described] };
  it.each([
    ['an artifact manifest of ORAS 1.0', types.ociArtifact, artifact, [layer]],
    ['an image whose layer has odd annotations', types.ociImage, image, [config, layer]],
  ])('has the content of %s, and can be imported', async (what, type, document, contents) => {
    const name = `rare/${what.length}`;
    for (const bytes of contents) await pushBlob(client, `local/${name}`, bytes);
    const manifest = manifestOf(type, document);
    await pushManifest(client, `local/${name}`, 'v1', manifest);
    const archive = await ask(`name=${name}:v1`);
    const files = await unpack(archive.body);
    for (const bytes of [manifest.bytes, ...contents]) {
      const hex = digest(bytes).slice('sha256:'.length);
      expect(files.get(`blobs/sha256/${hex}`)?.equals(bytes)).toBe(true);
    }
    const imported = await client.post(`/api/v1/repositories/copy/import?image=${name}&tag=v1`, {
      headers: { 'Content-Type': 'application/x-tar' },
      body: archive.body,
    });
    expect(imported.status, imported.body.toString()).toBe(201);
    const pulled = await client.get(`/v2/copy/${name}/manifests/v1`);
    expect([pulled.header('content-type'), pulled.body.equals(manifest.bytes)]).toEqual([type, true]);
    for (const bytes of contents) {
      expect((await client.get(`/v2/copy/${name}/blobs/${digest(bytes)}`)).body.equals(bytes)).toBe(true);
    }
  });
});
