import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  blobFile,
  blobFiles,
  buildImage,
  describeTop,
  entriesOf,
  layoutFiles,
  layoutOf,
  refName,
  savedEntries,
  tarOf,
  zstdStored,
  type TarEntry,
} from '../../support/content/archives.js';
import { Client, type Answer } from '../../support/clients/client.js';
import {
  describeBytes,
  digest,
  indexManifest,
  manifestOf,
  pushBlob,
  someBytes,
  types,
} from '../../support/content/content.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';

interface Report {
  readonly images: readonly Record<string, unknown>[];
  readonly manifests: Record<string, number>;
  readonly blobs: Record<string, number>;
}

let started: TestRegistry;
let client: Client;
beforeAll(async () => {
  started = await startRegistry({
    repositories: [
      { name: 'local', type: 'local' },
      { name: 'strict', type: 'local', sparse: false },
      { name: 'lenient', type: 'local', sparse: true },
      { name: 'all', type: 'virtual', members: ['local', 'strict'], pushTo: 'strict' },
      { name: 'hub', type: 'remote', url: 'http://127.0.0.1:9' },
    ],
    garbageCollection: { graceSeconds: 0, intervalSeconds: 0, uploadExpirySeconds: 60 },
  });
  client = new Client(started.url);
});
afterAll(async () => {
  await client.close();
  await started.close();
});

function send(tar: Buffer | Readable, query = '', repository = 'local'): Promise<Answer> {
  return client.post(`/api/v1/repositories/${repository}/import${query}`, { body: tar });
}

const boundary = 'aBoundary';
function form(parts: readonly { readonly head: string; readonly body: Buffer | string }[]): Buffer {
  const written = parts.flatMap(({ head, body }) => [
    Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; ${head}\r\n\r\n`),
    Buffer.from(body),
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([...written, Buffer.from(`--${boundary}--\r\n`)]);
}
const formHeaders = { 'Content-Type': `multipart/form-data; boundary=${boundary}` };
const filePart = (body: Buffer): { head: string; body: Buffer } => ({ head: 'name="file"; filename="a.tar"', body });
function sendForm(body: Buffer, query = ''): Promise<Answer> {
  return client.post(`/api/v1/repositories/local/import${query}`, { headers: formHeaders, body });
}

async function pullable(name: string, reference: string, image: ReturnType<typeof buildImage>): Promise<void> {
  const pulled = await client.get(`/v2/${name}/manifests/${reference}`);
  expect([pulled.status, pulled.body.equals(image.manifest.bytes)]).toEqual([200, true]);
  for (const bytes of [image.config, ...image.layers]) {
    expect((await client.get(`/v2/${name}/blobs/${digest(bytes)}`)).body.equals(bytes)).toBe(true);
  }
}

describe('an OCI layout', () => {
  const packings: [string, (tar: Buffer) => Buffer][] = [
    ['plain', (tar) => tar],
    ['gzip', (tar) => gzipSync(tar)],
    ['zstd', (tar) => zstdStored(tar)],
  ];

  it.each(packings)(
    'can be imported, %s, as the body and as the file of a form, and the answer lists its content',
    async (kind, pack) => {
      const image = buildImage(`packed ${kind}`);
      const tar = pack(await tarOf(entriesOf(layoutOf(image, `registry.example/team/${kind}:1.2`))));
      const answer = await send(tar);
      expect(answer.status).toBe(201);
      const bytes = image.config.length + 9000;
      const whole = bytes + image.manifest.bytes.length;
      const counted = { total: 3, bytes, already_present: 0, already_present_bytes: 0 };
      expect(answer.json()).toEqual({
        images: [
          {
            name: `local/team/${kind}`,
            image: `team/${kind}`,
            tags: ['1.2'],
            digest: image.manifest.digest,
            media_type: types.ociImage,
            platforms: ['linux/amd64'],
            size_bytes: whole,
          },
        ],
        manifests: { total: 1, bytes: whole - bytes, already_present: 0, already_present_bytes: 0 },
        blobs: counted,
      });
      await pullable(`local/team/${kind}`, '1.2', image);
      const again = (await sendForm(form([filePart(tar)]))).json() as Report;
      expect(again.blobs).toEqual({ ...counted, already_present: 3, already_present_bytes: bytes });
      expect(again.manifests['already_present']).toBe(1);
    },
  );

  it('for several platforms is imported completely, with referrers, also by sha512', async () => {
    const [amd, arm] = [buildImage('amd'), buildImage('arm')];
    const nested = indexManifest([describeTop(arm.manifest, { platform: { os: 'linux', architecture: 'arm64' } })]);
    const attestation = { platform: { os: 'unknown', architecture: 'unknown' } };
    const about = buildImage('about', { subject: describeTop(amd.manifest) });
    const index = indexManifest([
      describeTop(amd.manifest, { platform: { os: 'linux', architecture: 'amd64' } }),
      describeTop(nested),
      describeTop(about.manifest, attestation),
    ]);
    const longer = someBytes('by sha512', 500);
    const other = manifestOf(types.ociImage, {
      config: describeBytes(types.ociConfig, longer, 'sha512'),
      layers: [],
    });
    const files = {
      ...layoutFiles([
        describeTop(index, refName('team/multi:1')),
        describeTop(about.manifest, refName('team/multi')),
        { ...describeBytes(other.type, other.bytes, 'sha512'), ...refName('team/multi:long') },
      ]),
      ...blobFiles(amd, arm, about),
      [blobFile(nested.bytes)]: nested.bytes,
      [blobFile(index.bytes)]: index.bytes,
      [blobFile(longer, 'sha512')]: longer,
      [blobFile(other.bytes, 'sha512')]: other.bytes,
    };
    const answer = await send(await tarOf(entriesOf(files)), '', 'strict');
    expect(answer.status).toBe(201);
    const { images, manifests } = answer.json() as Report;
    expect(images.map(({ tags, platforms }) => [tags, platforms])).toEqual([
      [['1'], ['linux/amd64']],
      [[], ['linux/amd64']],
      [['long'], []],
    ]);
    expect(manifests['total']).toBe(6);
    await pullable('strict/team/multi', arm.manifest.digest, arm);
    expect((await client.get('/v2/strict/team/multi/manifests/1')).header('docker-content-digest')).toBe(index.digest);
    expect((await client.get('/v2/strict/team/multi/manifests/long')).header('docker-content-digest')).toBe(
      other.sha512,
    );
    const referrers = await client.get(`/v2/strict/team/multi/referrers/${amd.manifest.digest}`);
    expect((referrers.json() as { manifests: object[] }).manifests).toHaveLength(1);
  });

  it.each<[string, string, string, string, readonly string[]]>([
    ['a tag in the archive and a requested image', '1.0', '?image=team/asked', 'team/asked', ['1.0']],
    [
      'a requested name instead of the one in the archive',
      'team/own:1',
      '?image=team/asked&tag=a&tag=b',
      'team/asked',
      ['a', 'b'],
    ],
    ['a name in the archive and requested tags', 'team/own:1', '?tag=c', 'team/own', ['c']],
    [
      'a requested name instead of one that is not valid here',
      'Own Build:1.0+5',
      '?image=team/asked&tag=d',
      'team/asked',
      ['d'],
    ],
    ['a requested tag instead of one that is not valid', 'team/own:1.0+5', '?tag=e', 'team/own', ['e']],
    ['a requested image instead of one that is not valid', 'Team/Own:f', '?image=team/asked', 'team/asked', ['f']],
    ['a digest only', 'team/untagged@sha256:0', '', 'team/untagged', []],
    ['a name with our own address', '127.0.0.1:5000/local/team/back:1', '', 'team/back', ['1']],
  ])('is named by %s', async (label, name, query, image, tags) => {
    const built = buildImage(label);
    const answer = await send(await tarOf(entriesOf(layoutOf(built, name))), query);
    expect(answer.status).toBe(201);
    expect((answer.json() as Report).images).toMatchObject([{ image, tags }]);
    await pullable(`local/${image}`, tags[0] ?? built.manifest.digest, built);
  });

  it('gets its name from fields of the form', async () => {
    const tar = await tarOf(entriesOf(layoutOf(buildImage('fields'), 'x')));
    const fields = [
      { head: 'name="image"', body: 'team/fields' },
      { head: 'name="tag"', body: '7' },
    ];
    const answer = await sendForm(form([...fields, filePart(tar)]));
    expect((answer.json() as Report).images).toMatchObject([{ image: 'team/fields', tags: ['7'] }]);
  });

  it('with several names is stored under each', async () => {
    const image = buildImage('names');
    const tops = ['a/x:1', 'a/x:2', 'b/y:1'].map((name) => describeTop(image.manifest, refName(name)));
    const answer = await send(await tarOf(entriesOf({ ...blobFiles(image), ...layoutFiles(tops) })));
    expect((answer.json() as Report).images).toMatchObject([
      { image: 'a/x', tags: ['1', '2'] },
      { image: 'b/y', tags: ['1'] },
    ]);
    await pullable('local/a/x', '2', image);
    await pullable('local/b/y', '1', image);
  });

  it('may lack a layer that the image already has, also through a virtual repository', async () => {
    const image = buildImage('lacking');
    const [layer = Buffer.alloc(0)] = image.layers;
    await pushBlob(client, 'local/team/lacking', layer);
    const { [blobFile(layer)]: _, ...files } = layoutOf(image, 'team/lacking:1');
    expect((await send(await tarOf(entriesOf(files)), '', 'strict')).codes).toEqual(['MANIFEST_BLOB_UNKNOWN']);
    const answer = await send(await tarOf(entriesOf(files)), '', 'all');
    expect(answer.status).toBe(201);
    await pullable('strict/team/lacking', '1', image);
    await pullable('all/team/lacking', '1', image);
  });

  it('may lack a layer only where sparse is true', async () => {
    const image = buildImage('without a layer');
    const [layer = Buffer.alloc(0)] = image.layers;
    const { [blobFile(layer)]: _, ...files } = layoutOf(image, 'team/without:1');
    const tar = await tarOf(entriesOf(files));
    for (const repository of ['strict', 'local']) {
      const refused = await send(tar, '', repository);
      expect([refused.status, refused.codes]).toEqual([400, ['MANIFEST_BLOB_UNKNOWN']]);
      expect(refused.body.toString()).toContain(digest(layer));
    }
    expect((await send(tar, '', 'lenient')).status).toBe(201);
    expect((await client.get('/v2/lenient/team/without/manifests/1')).status).toBe(200);
  });

  it('may lack a platform unless sparse is false', async () => {
    const [amd, arm] = [buildImage('one of two'), buildImage('two of two')];
    const index = indexManifest([describeTop(amd.manifest), describeTop(arm.manifest)]);
    const top = describeTop(index, refName('team/sparse:1'));
    const tar = await tarOf(
      entriesOf({ ...blobFiles(amd), [blobFile(index.bytes)]: index.bytes, ...layoutFiles([top]) }),
    );
    const refused = await send(tar, '', 'strict');
    expect([refused.status, refused.codes]).toEqual([400, ['MANIFEST_BLOB_UNKNOWN']]);
    expect(refused.body.toString()).toContain(arm.manifest.digest);
    expect((await send(tar)).status).toBe(201);
  });
});

describe('an archive of docker save', () => {
  it('gets a manifest with its config and layers unchanged', async () => {
    const image = buildImage('saved');
    const answer = await send(await tarOf(savedEntries(image, ['team/saved:1', 'docker.io/team/saved:2'])));
    expect(answer.status).toBe(201);
    expect((answer.json() as Report).images).toMatchObject([
      { image: 'team/saved', tags: ['1', '2'], media_type: types.dockerImage, platforms: ['linux/amd64'] },
    ]);
    const manifest = (await client.get('/v2/local/team/saved/manifests/1')).json() as Record<string, unknown>;
    expect(manifest['config']).toMatchObject({ digest: digest(image.config) });
    const layerType = 'application/vnd.docker.image.rootfs.diff.tar';
    expect(manifest['layers']).toEqual(image.layers.map((bytes) => describeBytes(layerType, bytes)));
    for (const bytes of image.layers) {
      expect((await client.get(`/v2/local/team/saved/blobs/${digest(bytes)}`)).body.equals(bytes)).toBe(true);
    }
  });

  it('may have links to a layer before and after it', async () => {
    const image = buildImage('linked');
    const [first, second] = ['a', 'b'].map((letter) => `${letter.repeat(64)}/layer.tar`) as [string, string];
    const config = 'config.json';
    const saved = [{ Config: config, RepoTags: ['team/linked:1'], Layers: [first, second] }];
    const answer = await send(
      await tarOf([
        { name: first, type: 'symlink', linkname: `../${'c'.repeat(64)}/layer.tar` },
        { name: second, bytes: image.layers[1] ?? '' },
        { name: `${'d'.repeat(64)}/layer.tar`, type: 'link', linkname: second },
        { name: `${'c'.repeat(64)}/layer.tar`, bytes: image.layers[0] ?? '' },
        { name: config, bytes: image.config },
        { name: 'manifest.json', bytes: JSON.stringify(saved) },
      ]),
    );
    expect(answer.status).toBe(201);
  });

  it('may name its files with a leading "./"', async () => {
    const image = buildImage('dotted');
    const entries = savedEntries(image, ['team/dotted:1']).map((entry) =>
      entry.name === 'manifest.json'
        ? { ...entry, bytes: String(entry.bytes).replaceAll(/[0-9a-f]{64}/g, './$&') }
        : entry,
    );
    expect((await send(await tarOf(entries))).status).toBe(201);
    await expect(client.get('/v2/local/team/dotted/manifests/1')).resolves.toMatchObject({ status: 200 });
  });

  it('may have compressed layers that are named after their digest', async () => {
    const image = buildImage('packed layers');
    const packed = image.layers.map((bytes) => gzipSync(bytes));
    const names = packed.map((bytes) => `${digest(bytes).slice(7)}.tar.gz`);
    const saved = [{ Config: digest(image.config), RepoTags: ['team/packed:1'], Layers: names }];
    const entries = [
      { name: digest(image.config), bytes: image.config },
      ...packed.map((bytes, index) => ({ name: names[index] ?? '', bytes })),
      { name: 'manifest.json', bytes: JSON.stringify(saved) },
    ];
    expect((await send(await tarOf(entries))).status).toBe(201);
    const manifest = (await client.get('/v2/local/team/packed/manifests/1')).json() as Record<string, unknown>;
    const layerType = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
    expect(manifest['layers']).toEqual(packed.map((bytes) => describeBytes(layerType, bytes)));
  });
});

/** All that an import could leave: what is in the images, on the way, and in the store. */
async function remains(): Promise<object> {
  await started.registry.collectGarbage();
  const images = await Promise.all(
    ['local', 'strict'].map(async (name) => (await client.get(`/api/v1/repositories/${name}/images`)).json()),
  );
  return { images, files: await filesBelow(started.folder) };
}

async function filesBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true });
  return entries.filter((path) => /^(?:blobs|staged)\//.test(path)).toSorted();
}

describe('a broken or hostile archive', () => {
  const image = buildImage('hostile');
  const other = buildImage('hostile too');
  const good = entriesOf(layoutOf(image, 'evil/app:1'));
  const layer = image.layers[0] ?? Buffer.alloc(0);
  const changed = Buffer.from(layer).fill(7, 0, 10);
  const withFile = (entry: TarEntry): TarEntry[] => [entry, ...good];
  const replaced = (path: string, bytes: Buffer | string): TarEntry[] =>
    good.map((entry) => (entry.name === path ? { ...entry, bytes } : entry));
  const top = describeTop(image.manifest, refName('evil/app:1'));
  const layout = (tops: readonly object[]): TarEntry[] =>
    entriesOf({ ...blobFiles(image, other), ...layoutFiles(tops) });
  const saved = (change: object): TarEntry[] => {
    const entries = savedEntries(image, ['evil/app:1']);
    const document = entries.find(({ name }) => name === 'manifest.json');
    const [first] = JSON.parse(String(document?.bytes)) as object[];
    return [
      ...entries.filter((entry) => entry !== document),
      { name: 'manifest.json', bytes: JSON.stringify([{ ...first, ...change }]) },
    ];
  };
  const deep = (): TarEntry[] => {
    let inner = describeTop(image.manifest);
    const files: TarEntry[] = [];
    for (let depth = 0; depth < 10; depth++) {
      const index = indexManifest([inner]);
      files.push({ name: blobFile(index.bytes), bytes: index.bytes });
      inner = describeTop(index);
    }
    return [
      ...entriesOf(blobFiles(image)),
      ...files,
      ...entriesOf(layoutFiles([{ ...inner, ...refName('evil/app:1') }])),
    ];
  };

  it.each<[string, string, () => TarEntry[] | Buffer, string?]>([
    ['a path with .. at its start', 'ARCHIVE_INVALID', () => withFile({ name: '../x', bytes: 'x' })],
    ['a path with .. inside', 'ARCHIVE_INVALID', () => withFile({ name: 'blobs/../../x', bytes: 'x' })],
    ['an absolute path', 'ARCHIVE_INVALID', () => withFile({ name: '/etc/passwd', bytes: 'x' })],
    ['a path that is too long', 'ARCHIVE_INVALID', () => withFile({ name: `${'a/'.repeat(600)}b`, bytes: 'x' })],
    ['a symbolic link', 'ARCHIVE_INVALID', () => withFile({ name: 'x', type: 'symlink', linkname: 'index.json' })],
    ['a hard link', 'ARCHIVE_INVALID', () => withFile({ name: 'x', type: 'link', linkname: 'index.json' })],
    [
      'a link that leaves the archive',
      'ARCHIVE_INVALID',
      () => withFile({ name: 'a/layer.tar', type: 'symlink', linkname: '../../x' }),
    ],
    [
      'an absolute link',
      'ARCHIVE_INVALID',
      () => withFile({ name: 'a/layer.tar', type: 'symlink', linkname: '/etc/passwd' }),
    ],
    ['a device', 'ARCHIVE_INVALID', () => withFile({ name: 'x', type: 'character-device' })],
    ['a pipe', 'ARCHIVE_INVALID', () => withFile({ name: 'x', type: 'fifo' })],
    ['a sparse file', 'ARCHIVE_INVALID', () => withFile({ name: 'x', bytes: 'x', pax: { 'GNU.sparse.major': '1' } })],
    [
      'too many attributes',
      'ARCHIVE_INVALID',
      () => withFile({ name: 'x', pax: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`k${i}`, 'v'])) }),
    ],
    [
      'two different files with one path',
      'ARCHIVE_INVALID',
      () => [...good, { name: 'x', bytes: '1' }, { name: './x', bytes: '2' }],
    ],
    ['a layer of another digest', 'DIGEST_INVALID', () => replaced(blobFile(layer), changed)],
    ['a manifest of another digest', 'DIGEST_INVALID', () => replaced(blobFile(image.manifest.bytes), '{}')],
    ['a blob whose name is not a digest', 'DIGEST_INVALID', () => withFile({ name: 'blobs/sha256/abc', bytes: 'x' })],
    [
      'a blob of an unknown algorithm',
      'DIGEST_INVALID',
      () => withFile({ name: `blobs/md5/${'0'.repeat(32)}`, bytes: 'x' }),
    ],
    ['a missing layer', 'MANIFEST_BLOB_UNKNOWN', () => good.filter(({ name }) => name !== blobFile(layer))],
    ['a missing config', 'MANIFEST_BLOB_UNKNOWN', () => good.filter(({ name }) => name !== blobFile(image.config))],
    ['a missing manifest', 'ARCHIVE_INVALID', () => good.filter(({ name }) => name !== blobFile(image.manifest.bytes))],
    ['no index.json', 'ARCHIVE_INVALID', () => good.filter(({ name }) => name !== 'index.json')],
    ['no oci-layout', 'ARCHIVE_INVALID', () => good.filter(({ name }) => name !== 'oci-layout')],
    [
      'another version of the layout',
      'ARCHIVE_INVALID',
      () => replaced('oci-layout', '{"imageLayoutVersion":"2.0.0"}'),
    ],
    ['an index.json that is not JSON', 'ARCHIVE_INVALID', () => replaced('index.json', '{')],
    [
      'an index.json with an invalid descriptor',
      'ARCHIVE_INVALID',
      () => replaced('index.json', '{"manifests":[{"digest":1}]}'),
    ],
    ['an index.json without manifests', 'ARCHIVE_INVALID', () => replaced('index.json', '{"manifests":[]}')],
    ['a large index.json', 'SIZE_INVALID', () => replaced('index.json', ' '.repeat(4 * 1024 * 1024 + 1))],
    [
      'two manifests for one tag',
      'ARCHIVE_INVALID',
      () => layout([top, describeTop(other.manifest, refName('evil/app:1'))]),
    ],
    [
      'two manifests for the requested tag',
      'OPTIONS_INVALID',
      () => layout([top, describeTop(other.manifest)]),
      '?tag=1&image=x',
    ],
    ['an entry of another size', 'SIZE_INVALID', () => layout([{ ...top, size: 1 }])],
    ['an entry of another type', 'MANIFEST_INVALID', () => layout([{ ...top, mediaType: types.ociIndex }])],
    ['an entry that is not a manifest', 'MANIFEST_INVALID', () => layout([describeBytes(types.ociLayer, layer)])],
    ['an invalid name', 'NAME_INVALID', () => layout([describeTop(image.manifest, refName('Evil/App:1'))])],
    ['an invalid tag', 'TAG_INVALID', () => layout([describeTop(image.manifest, refName('evil/app:-'))])],
    ['no name, and no requested name', 'OPTIONS_INVALID', () => layout([describeTop(image.manifest)])],
    ['indexes that are nested too deeply', 'ARCHIVE_INVALID', deep],
    [
      'a missing saved layer',
      'ARCHIVE_INVALID',
      () => savedEntries(image, ['evil/app:1']).filter(({ bytes }) => bytes !== layer),
    ],
    [
      'a saved layer of another digest',
      'DIGEST_INVALID',
      () =>
        savedEntries(image, ['evil/app:1']).map((entry) =>
          entry.bytes === layer ? { ...entry, bytes: changed } : entry,
        ),
    ],
    [
      'a compressed saved layer that is not named by digest',
      'DIGEST_INVALID',
      () =>
        savedEntries(image, ['evil/app:1']).map((entry) =>
          entry.bytes === layer ? { ...entry, bytes: gzipSync(layer) } : entry,
        ),
    ],
    ['fewer saved layers than diff ids', 'ARCHIVE_INVALID', () => saved({ Layers: [] })],
    ['a missing saved config', 'ARCHIVE_INVALID', () => saved({ Config: 'x.json' })],
    [
      'a saved config of another digest',
      'DIGEST_INVALID',
      () => [...saved({ Config: `${'0'.repeat(64)}.json` }), { name: `${'0'.repeat(64)}.json`, bytes: image.config }],
    ],
    [
      'links that form a cycle',
      'ARCHIVE_INVALID',
      () => [
        ...saved({ Layers: ['a/layer.tar', 'b/layer.tar'] }),
        { name: 'a/layer.tar', type: 'symlink', linkname: '../b/layer.tar' },
        { name: 'b/layer.tar', type: 'symlink', linkname: '../a/layer.tar' },
      ],
    ],
    ['a saved image without a name', 'OPTIONS_INVALID', () => savedEntries(image, null)],
    ['no entries', 'ARCHIVE_INVALID', () => []],
    ['no bytes', 'ARCHIVE_INVALID', () => Buffer.alloc(0)],
    ['bytes that are not a tar archive', 'ARCHIVE_INVALID', () => someBytes('noise', 5000)],
    ['an invalid requested image', 'NAME_INVALID', () => good, '?image=No'],
    ['an invalid requested tag', 'TAG_INVALID', () => good, '?tag=-'],
    ['two requested images', 'OPTIONS_INVALID', () => good, '?image=a&image=b'],
  ])('with %s is refused with %s and leaves nothing', async (_name, code, make, query = '') => {
    const made = make();
    const tar = Buffer.isBuffer(made) ? made : await tarOf(made);
    const before = await remains();
    const answer = await send(tar, query);
    expect([answer.codes[0], answer.status]).toEqual([code, code === 'SIZE_INVALID' && tar.length > 4e6 ? 413 : 400]);
    expect(await remains()).toEqual(before);
  });

  it.each([0.1, 0.5, 0.9])(
    'that ends after %d of its bytes, of the gzip data or of the request leaves nothing',
    async (part) => {
      const large = buildImage('cut');
      const files = layoutOf(large, 'evil/cut:1');
      const tar = await tarOf(entriesOf({ ...files, pad: someBytes('pad', 2_000_000) }));
      const before = await remains();
      const at = Math.floor(tar.length * part);
      expect((await send(tar.subarray(0, at))).codes).toEqual(['ARCHIVE_INVALID']);
      const packed = gzipSync(tar);
      expect((await send(packed.subarray(0, Math.floor(packed.length * part)))).codes).toEqual(['ARCHIVE_INVALID']);
      for (const headers of [{}, formHeaders]) {
        const body = headers === formHeaders ? form([filePart(tar)]) : tar;
        const ended = once(started.registry.events, 'request');
        const req = request(`${started.url}/api/v1/repositories/local/import`, {
          method: 'POST',
          headers: { ...headers, 'Content-Length': body.length },
        });
        req.on('error', () => {});
        req.write(body.subarray(0, at), () => req.destroy());
        await ended;
      }
      expect(await remains()).toEqual(before);
    },
  );

  it.each<[string, Buffer]>([
    ['no file', form([{ head: 'name="image"', body: 'x' }])],
    ['two files', form([filePart(Buffer.from('a')), filePart(Buffer.from('b'))])],
    ['a field after its file', form([filePart(Buffer.alloc(1024)), { head: 'name="image"', body: 'x' }])],
    ['a missing end', form([filePart(Buffer.alloc(1024))]).subarray(0, 500)],
    ['an empty body', Buffer.alloc(0)],
  ])('in a form with %s is refused and leaves nothing', async (_name, body) => {
    const before = await remains();
    const answer = await sendForm(body);
    expect([answer.status, answer.codes]).toEqual([400, ['ARCHIVE_INVALID']]);
    expect(await remains()).toEqual(before);
  });

  it.each<[string, readonly string[], readonly string[]]>([
    ['a misspelled field', ['tags'], ['tags']],
    ['a field in another case', ['Image'], ['Image']],
    ['a parameter of the export', ['tag', 'reference'], ['reference']],
    ['several unknown fields', ['a', 'b', 'a'], ['a', 'b']],
    ['a long name', ['x'.repeat(99)], ['x'.repeat(99)]],
  ])('in a form with %s is refused by name and leaves nothing', async (_title, names, unknown) => {
    const before = await remains();
    const fields = names.map((name) => ({ head: `name="${name}"`, body: 'x' }));
    const image = buildImage('unknown field');
    const answer = await sendForm(form([...fields, filePart(await tarOf(entriesOf(layoutOf(image, 'team/odd:1'))))]));
    expect(answer.status).toBe(400);
    expect(answer.json()).toMatchObject({
      errors: [
        {
          code: 'OPTIONS_INVALID',
          message: `unknown form field "${unknown[0]}": archive.import takes image, tag and one file`,
          detail: unknown.map((path) => ({ path, problem: 'is unknown' })),
        },
      ],
    });
    expect(await remains()).toEqual(before);
  });

  it('in a form whose type has no boundary is refused', async () => {
    const headers = { 'Content-Type': 'multipart/form-data' };
    expect((await client.post('/api/v1/repositories/local/import', { headers, body: 'x' })).codes).toEqual([
      'ARCHIVE_INVALID',
    ]);
  });

  it('is refused before all of it was sent', async () => {
    const tar = await tarOf([{ name: '/etc/passwd', bytes: 'x' }]);
    const long = Readable.from(
      Array.from({ length: 500 }, (_, index) => (index === 0 ? tar : Buffer.alloc(64 * 1024))),
    );
    expect((await send(long)).codes).toEqual(['ARCHIVE_INVALID']);
    expect(await filesBelow(started.folder)).not.toContainEqual(expect.stringMatching(/^staged\/./));
  });
});

describe('an import', () => {
  it('is refused by a read-only registry, which still exports images', async () => {
    const own = await startRegistry({ access: 'read-only' });
    const other = new Client(own.url);
    try {
      const answer = await other.post('/api/v1/repositories/local/import', { body: await tarOf([]) });
      expect([answer.status, answer.codes]).toEqual([403, ['DENIED']]);
      expect((await other.get('/api/v1/repositories/local/export?name=a:1')).codes).toEqual(['MANIFEST_UNKNOWN']);
    } finally {
      await other.close();
      await own.close();
    }
  });

  it('is refused to a web page of another origin', async () => {
    const headers = { Origin: 'http://evil.example', ...formHeaders };
    const answer = await client.post('/api/v1/repositories/local/import', { headers, body: form([]) });
    expect([answer.status, answer.codes]).toEqual([403, ['DENIED']]);
  });

  it.each([
    ['hub', 405, 'UNSUPPORTED'],
    ['nobody', 404, 'NAME_UNKNOWN'],
  ])('into %s is answered by %i %s', async (repository, status, code) => {
    const answer = await send(await tarOf([]), '', repository);
    expect([answer.status, answer.codes]).toEqual([status, [code]]);
  });
});
