import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Client } from '../../support/clients/client.js';
import {
  describeBytes,
  describeManifest,
  digest,
  imageManifest,
  indexManifest,
  manifestOf,
  pushBlob,
  pushManifest,
  types,
} from '../../support/content/content.js';
import { Cleanups, startRemote, type RemoteScene } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
const page = '<script>alert(1)</script>';
const layer = Buffer.from(page);
const config = Buffer.from(
  JSON.stringify({
    architecture: 'arm64',
    variant: 'v8',
    os: 'linux',
    config: { Entrypoint: ['/app'], Env: ['A=1'], Labels: { maintainer: 'ana' }, ExposedPorts: { '80/tcp': {} } },
    history: [{ created_by: 'COPY . .' }, { created_by: 'ENV A=1', empty_layer: true }],
  }),
);
const image = manifestOf(types.ociImage, {
  config: describeBytes(types.ociConfig, config),
  layers: [describeBytes(types.ociLayer, layer)],
  annotations: { 'org.example': 'x' },
});
const other = imageManifest('another platform');
const attestation = manifestOf(types.ociImage, {
  config: describeBytes(types.ociConfig, config),
  layers: [
    { ...describeBytes('application/vnd.in-toto+json', layer), annotations: { 'in-toto.io/predicate-type': 'p' } },
  ],
});
const index = indexManifest([
  { ...describeManifest(image), platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
  { ...describeManifest(other), platform: { os: 'linux', architecture: 'amd64' } },
  {
    ...describeManifest(attestation),
    platform: { os: 'unknown', architecture: 'unknown' },
    annotations: {
      'vnd.docker.reference.type': 'attestation-manifest',
      'vnd.docker.reference.digest': image.digest,
    },
  },
]);
const signature = imageManifest('signature', { subject: describeManifest(image), artifactType: 'a/signature' });
let scene: RemoteScene;
let client: Client;

const read = async (place: string): Promise<unknown> => (await client.get(`/api/v1/repositories/${place}`)).json();

beforeAll(async () => {
  scene = await startRemote(
    cleanups,
    { pins: ['team/*', 'app:v*'] },
    {
      others: () => [
        { name: 'all', type: 'virtual', members: ['local', 'hub'], pushTo: 'local' },
        { name: 'near', type: 'remote', url: 'http://127.0.0.1:1', cache: false },
        { name: 'fixed', type: 'local', sparse: true, immutableTags: ['v*'] },
      ],
    },
  );
  ({ client } = scene);
  for (const blob of [layer, config]) await pushBlob(client, 'local/app', blob);
  await pushManifest(client, 'local/app', 'single', image);
  await pushManifest(client, 'local/app', other.digest, other);
  await pushManifest(client, 'local/app', attestation.digest, attestation);
  await pushManifest(client, 'local/app', 'multi', index);
  await pushManifest(client, 'local/app', signature.digest, signature);
  await pushManifest(client, 'local/app', `${image.digest.replace(':', '-')}.sig`, imageManifest('by cosign'));
  await client.post(`/v2/local/copy/blobs/uploads/?mount=${digest(layer)}&from=local/app`);
  await pushManifest(client, 'fixed/app', 'v1', other);
  for (const tag of ['v1', 'latest', 'multi']) scene.fault.images.addImage('app', tag);
  for (const tag of ['v1', 'latest', 'multi']) await client.get(`/v2/hub/app/manifests/${tag}`);
});
afterAll(() => cleanups.run());

describe('the images of a cache and of a virtual repository', () => {
  it('show stored content, with freshness and pins, without a request to the upstream', async () => {
    scene.fault.images.addImage('app', 'never-pulled');
    const asked = scene.fault.requests.length;
    const { tags } = (await read('hub/images/app/tags')) as { tags: Record<string, string>[] };
    expect(tags.map(({ name }) => name)).toEqual(['latest', 'multi', 'v1']);
    const [latest, , v1] = tags;
    expect(Date.parse(latest?.['fresh_until'] ?? '')).toBeGreaterThan(Date.parse(latest?.['checked_at'] ?? ''));
    expect(latest).not.toHaveProperty('pinned_by');
    expect(v1).toMatchObject({ pinned_by: ['app:v*'] });
    expect(await read('hub/images')).toMatchObject({ images: [{ repository: 'hub', name: 'app', tags: 3 }] });
    expect(await read('hub/images/app/manifest?reference=v1')).toMatchObject({ type: 'image', tags: ['v1'] });
    expect(await read('hub/images/app/summary')).toMatchObject({ tags: 3, untagged: 0 });
    expect(scene.fault.requests.length).toBe(asked);
  });

  it('are merged, with the member of each row; the first member of the virtual repository wins', async () => {
    const { tags } = (await read('all/images/app/tags')) as { tags: { name: string; member: string }[] };
    const shown = tags.filter(({ name }) => !name.endsWith('.sig')).map(({ name, member }) => `${name} ${member}`);
    expect(shown).toEqual(['latest hub', 'multi local', 'single local', 'v1 hub']);
    expect(await read('all/images/app/manifest?reference=multi')).toMatchObject({ member: 'local', type: 'index' });
    expect(await read('all/images/app/manifest?reference=v1')).toMatchObject({ member: 'hub' });
    expect(await read('all/images/app/summary')).toMatchObject({ members: ['local', 'hub'] });
    const { images } = (await read('all/images')) as { images: { name: string; member: string }[] };
    expect(images).toMatchObject([{ repository: 'all', name: 'app', member: 'local' }]);
  });

  it('are listed once over all repositories', async () => {
    const list = async (query: string): Promise<string[]> => {
      const answer = await client.get(`/api/v1/images${query}`);
      const { images } = answer.json() as { images: { repository: string; name: string }[] };
      return images.map(({ repository, name }) => `${repository}/${name}`);
    };
    expect(await list('')).toEqual(['fixed/app', 'hub/app', 'local/app']);
    expect(await list('?q=local')).toEqual(['local/app']);
    expect(await list('?repository=hub')).toEqual(['hub/app']);
    const first = await client.get('/api/v1/images?n=1');
    expect(first.next).toBe('/api/v1/images?n=1&last=fixed%2Fapp');
    const sorted = await client.get('/api/v1/images?n=1&sort=-tags');
    const rest = (await client.get(sorted.next ?? '')).json() as { images: { tags: number }[] };
    expect(rest.images).toHaveLength(1);
    expect(rest.images[0]?.tags).toBeLessThanOrEqual((sorted.json() as typeof rest).images[0]?.tags ?? 0);
  });

  it('show which pattern makes a tag immutable', async () => {
    expect(await read('fixed/images/app/tags')).toMatchObject({ tags: [{ name: 'v1', immutable: 'v*' }] });
  });
});

describe('GET …/images/:image/manifest', () => {
  it('describes an image: config, layers with their commands, referrers and signatures of cosign', async () => {
    expect(await read('local/images/app/manifest?reference=single')).toMatchObject({
      digest: image.digest,
      type: 'image',
      tags: ['single'],
      named_by: [index.digest],
      platforms: [{ platform: 'linux/arm64/v8', digest: image.digest, stored: true }],
      config: {
        digest: digest(config),
        entrypoint: ['/app'],
        env: ['A=1'],
        labels: { maintainer: 'ana' },
        exposed_ports: ['80/tcp'],
      },
      layers: [{ digest: digest(layer), size_bytes: layer.length, created_by: 'COPY . .', elsewhere: 1 }],
      referrers: [
        { digest: signature.digest, artifact_type: 'a/signature' },
        { tag: expect.stringMatching(/\.sig$/) as string },
      ],
      annotations: { 'org.example': 'x' },
      raw: image.bytes.toString(),
    });
  });

  it('describes an index: platforms and attestations, which are not shown as platforms', async () => {
    const shown = (await read(`local/images/app/manifest?reference=${index.digest}`)) as { platforms: object[] };
    expect(shown).toMatchObject({
      type: 'index',
      platforms: [
        { platform: 'linux/arm64/v8', digest: image.digest, stored: true },
        { platform: 'linux/amd64', digest: other.digest, stored: true },
      ],
      attestations: [{ digest: attestation.digest, about: image.digest, predicate_types: ['p'] }],
      layers: [],
    });
    const { tags } = (await read('local/images/app/tags?q=multi')) as { tags: object[] };
    expect(tags).toMatchObject([{ platforms: ['linux/arm64/v8', 'linux/amd64'] }]);
  });
});

describe('GET …/images/:image/blob', () => {
  it('downloads a blob that no browser runs', async () => {
    const answer = await client.get(`/api/v1/repositories/local/images/app/blob?digest=${digest(layer)}`);
    expect([answer.status, answer.body.toString()]).toEqual([200, page]);
    expect(answer.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-disposition': `attachment; filename="${digest(layer).replace(':', '-')}"`,
      'content-security-policy': expect.stringContaining('sandbox') as string,
      'x-content-type-options': 'nosniff',
      'content-length': String(layer.length),
    });
  });

  it('refuses blobs over 32 MiB', async () => {
    const large = Buffer.alloc(32 * 1024 * 1024 + 1);
    await pushBlob(client, 'local/large', large);
    const manifest = manifestOf(types.ociImage, {
      config: describeBytes(types.ociConfig, config),
      layers: [describeBytes(types.ociLayer, large)],
    });
    await pushManifest(client, 'local/large', 'v1', manifest);
    const answer = await client.get(`/api/v1/repositories/local/images/large/blob?digest=${digest(large)}`);
    expect([answer.status, answer.codes]).toEqual([413, ['SIZE_INVALID']]);
  });
});

describe('a refused request', () => {
  it.each([
    ['an unknown image', 'local/images/absent/tags', 404, 'NAME_UNKNOWN'],
    ['an image of a pass-through repository', 'near/images/app/tags', 404, 'NAME_UNKNOWN'],
    ['an unknown repository', 'absent/images', 404, 'NAME_UNKNOWN'],
    ['a long search', `local/images?q=${'x'.repeat(201)}`, 400, 'OPTIONS_INVALID'],
    ['an unknown order', 'local/images?sort=color', 400, 'OPTIONS_INVALID'],
    ['an order of images for tags', 'local/images/app/tags?sort=tags', 400, 'OPTIONS_INVALID'],
    ['a flag that is not a boolean', 'local/images/app/tags?untagged=yes', 400, 'OPTIONS_INVALID'],
    ['a flag that is not a boolean', 'local/images?unique=1', 400, 'OPTIONS_INVALID'],
    ['a page that is not a number', 'local/images/app/tags?n=x', 400, 'PAGINATION_NUMBER_INVALID'],
    ['a forged cursor', 'local/images?cursor=abc', 400, 'PAGINATION_NUMBER_INVALID'],
    ['an unknown parameter', 'local/images?order=name', 400, 'OPTIONS_INVALID'],
    ['the summary of an unknown image', 'local/images/absent/summary', 404, 'NAME_UNKNOWN'],
    ['an unknown manifest', 'local/images/app/manifest?reference=absent', 404, 'MANIFEST_UNKNOWN'],
    ['a malformed reference', 'local/images/app/manifest?reference=a%20b', 400, 'TAG_INVALID'],
    ['a history without a tag', 'local/images/app/history', 400, 'TAG_INVALID'],
    ['a history after a name', 'local/images/app/history?tag=v1&last=x', 400, 'OPTIONS_INVALID'],
    ['the history of an unknown image', 'local/images/absent/history?tag=v1', 404, 'NAME_UNKNOWN'],
    ['a blob without a digest', 'local/images/app/blob', 400, 'DIGEST_INVALID'],
    ['a blob of another image', `local/images/large/blob?digest=${digest(layer)}`, 404, 'BLOB_UNKNOWN'],
  ])('names the problem: %s', async (_name, place, status, code) => {
    const answer = await client.get(`/api/v1/repositories/${place}`);
    expect([answer.status, answer.codes]).toEqual([status, [code]]);
  });

  it('is that of a cursor of a list in another order', async () => {
    const { next = '' } = await client.get('/api/v1/images?n=1&sort=size');
    const answer = await client.get(next.replace('sort=size', 'sort=tags'));
    expect([answer.status, answer.codes]).toEqual([400, ['PAGINATION_NUMBER_INVALID']]);
  });
});
