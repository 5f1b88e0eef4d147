import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, type Answer } from '../../support/clients/client.js';
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
  type Manifest,
} from '../../support/content/content.js';
import { exchangeRaw, rawHead } from '../../support/clients/raw.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';

let server: TestRegistry;
let client: Client;

beforeAll(async () => {
  server = await startRegistry({
    repositories: [
      { name: 'local', type: 'local', sparse: true },
      { name: 'plain', type: 'local' },
      { name: 'strict', type: 'local', sparse: false },
    ],
  });
  client = new Client(server.url);
});
afterAll(async () => {
  await client.close();
  await server.close();
});

const url = (name: string, reference: string): string => `/v2/${name}/manifests/${reference}`;

/** Checks a pull of this manifest by each of its references. */
async function expectServed(name: string, reference: string, { type, bytes }: Manifest, found: string): Promise<void> {
  for (const method of ['GET', 'HEAD'] as const) {
    const answer = await client.send(method, url(name, reference));
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({
      'content-type': type,
      'content-length': String(bytes.length),
      'docker-content-digest': found,
      etag: `"${found}"`,
    });
    expect(answer.body.equals(method === 'GET' ? bytes : Buffer.alloc(0))).toBe(true);
  }
}

function expectPushed(answer: Answer, name: string, found: string): void {
  expect(answer.status).toBe(201);
  expect(answer.headers).toMatchObject({
    location: url(name, found),
    'docker-content-digest': found,
    'content-length': '0',
  });
}

const config = describeBytes(types.ociConfig, Buffer.from('{}'));
const layer = describeBytes(types.ociLayer, Buffer.from('layer'));
const dockerConfig = { ...config, mediaType: 'application/vnd.docker.container.image.v1+json' };
const kinds: readonly [string, Manifest][] = [
  ['an OCI image', manifestOf(types.ociImage, { config, layers: [layer] })],
  ['an OCI index', manifestOf(types.ociIndex, { manifests: [{ ...layer, mediaType: types.ociImage }] })],
  ['a Docker image', manifestOf(types.dockerImage, { config: dockerConfig, layers: [] })],
  ['a Docker list', manifestOf(types.dockerIndex, { manifests: [] })],
  [
    'an artifact',
    manifestOf(types.ociImage, {
      artifactType: 'application/vnd.example',
      config: { ...config, mediaType: types.empty },
      layers: [layer],
    }),
  ],
  ['an artifact index', manifestOf(types.ociIndex, { artifactType: 'application/vnd.example', manifests: [] })],
  [
    'a Helm chart',
    manifestOf(types.ociImage, {
      config: { ...config, mediaType: 'application/vnd.cncf.helm.config.v1+json' },
      layers: [layer],
    }),
  ],
  [
    'a BuildKit cache (an index of blobs)',
    manifestOf(types.ociIndex, {
      manifests: [layer, { ...config, mediaType: 'application/vnd.buildkit.cacheconfig.v0' }],
    }),
  ],
  [
    'foreign layers',
    manifestOf(types.dockerImage, {
      config: dockerConfig,
      layers: [{ ...layer, mediaType: types.foreignLayer, urls: ['https://example.com/x'] }],
    }),
  ],
  ['embedded data', manifestOf(types.ociImage, { config: { ...config, data: 'e30=' }, layers: [] })],
  [
    'unknown fields',
    manifestOf(types.ociImage, {
      config: { ...config, 'org.example.x': [1] },
      layers: [layer],
      'org.example': { y: null },
    }),
  ],
  [
    'annotations with arbitrary text',
    manifestOf(types.ociImage, { config, layers: [], annotations: { 'a b': '日本語 \u0000 "\\', '': '' } }),
  ],
  [
    'an algorithm that the registry cannot verify',
    manifestOf(types.ociImage, { config, layers: [{ ...layer, digest: `blake3:${'a'.repeat(64)}` }] }),
  ],
];

describe.each(kinds)('a manifest: %s', (_title, manifest) => {
  it('is returned byte for byte by tag, sha256 and sha512', async () => {
    const name = 'local/kinds';
    expectPushed(await pushManifest(client, name, 'latest', manifest), name, manifest.digest);
    expectPushed(await pushManifest(client, name, manifest.digest, manifest), name, manifest.digest);
    expectPushed(await pushManifest(client, name, manifest.sha512, manifest), name, manifest.sha512);
    await expectServed(name, 'latest', manifest, manifest.digest);
    await expectServed(name, manifest.digest, manifest, manifest.digest);
    await expectServed(name, manifest.sha512, manifest, manifest.sha512);
  });
});

describe('the bytes and the type of a manifest', () => {
  const spaced = Buffer.from(`\n  ${JSON.stringify({ schemaVersion: 2, config, layers: [] }, null, '\t')}\r\n\n`);

  it.each([
    ['with parameters', `${types.ociImage}; charset=utf-8`, types.ociImage],
    ['in capitals', types.ociImage.toUpperCase(), types.ociImage],
    ['absent', undefined, types.ociImage],
    ['of a Docker image', types.dockerImage, types.dockerImage],
  ])('are kept verbatim when Content-Type is %s', async (_title, contentType, expected) => {
    const answer = await client.put(url('local/bytes', 'spaced'), {
      body: spaced,
      ...(contentType === undefined ? {} : { headers: { 'Content-Type': contentType } }),
    });
    expectPushed(answer, 'local/bytes', digest(spaced));
    const served = await client.get(url('local/bytes', 'spaced'));
    expect([served.header('content-type'), served.body.equals(spaced)]).toEqual([expected, true]);
  });

  it('are accepted without a Content-Length', async () => {
    const { bytes, type, digest: expected } = imageManifest('chunked', { annotations: { x: 'y'.repeat(100_000) } });
    const parts = [bytes.subarray(0, 10), bytes.subarray(10, 70_000), bytes.subarray(70_000)];
    const answer = await client.put(url('local/bytes', expected), {
      headers: { 'Content-Type': type },
      body: Readable.from(parts),
    });
    expectPushed(answer, 'local/bytes', expected);
    await expectServed('local/bytes', expected, { type, bytes, digest: expected, sha512: '' }, expected);
  });

  it.each([
    undefined,
    '*/*',
    'application/json',
    types.dockerImage,
    `${types.ociIndex}, ${types.dockerIndex}`,
    'text/html;q=0.9, nonsense',
  ])('do not depend on Accept: %s', async (accept) => {
    const manifest = imageManifest('accept');
    await pushManifest(client, 'local/bytes', 'accept', manifest);
    const answer = await client.get(url('local/bytes', 'accept'), accept === undefined ? {} : { Accept: accept });
    expect([answer.status, answer.header('content-type'), answer.body.equals(manifest.bytes)]).toEqual([
      200,
      manifest.type,
      true,
    ]);
  });

  it('do not depend on Accept in several header lines', async () => {
    await pushManifest(client, 'local/bytes', 'accept', imageManifest('accept'));
    const answer = await client.head(url('local/bytes', 'accept'), { Accept: [types.ociIndex, types.dockerImage] });
    expect([answer.status, answer.header('content-type')]).toEqual([200, types.ociImage]);
  });

  it('are not sent again to a client that has them', async () => {
    const manifest = imageManifest('cached');
    await pushManifest(client, 'local/bytes', 'cached', manifest);
    for (const reference of ['cached', manifest.digest]) {
      for (const tag of [`"${manifest.digest}"`, manifest.digest, `W/"${manifest.digest}"`]) {
        for (const method of ['GET', 'HEAD'] as const) {
          const answer = await client.send(method, url('local/bytes', reference), {
            headers: { 'If-None-Match': tag },
          });
          expect([answer.status, answer.body.length, answer.header('docker-content-digest')]).toEqual([
            304,
            0,
            manifest.digest,
          ]);
        }
      }
    }
  });

  it('are found by a percent-encoded reference', async () => {
    const manifest = imageManifest('encoded');
    expectPushed(
      await pushManifest(client, 'local/bytes', manifest.digest.replace(':', '%3A'), manifest),
      'local/bytes',
      manifest.digest,
    );
    await expectServed('local/bytes', manifest.digest.replace(':', '%3a'), manifest, manifest.digest);
  });
});

describe('a tag', () => {
  it('moves with a second push, and its previous manifest stays available by digest', async () => {
    const [one, two] = [imageManifest('one'), imageManifest('two')];
    await pushManifest(client, 'local/moved', 'latest', one);
    await pushManifest(client, 'local/moved', 'latest', two);
    await expectServed('local/moved', 'latest', two, two.digest);
    await expectServed('local/moved', one.digest, one, one.digest);
    await pushManifest(client, 'local/moved', 'latest', one);
    await expectServed('local/moved', 'latest', one, one.digest);
  });

  it.each([
    ['sha256', (m: Manifest) => m.digest],
    ['sha512', (m: Manifest) => m.sha512],
  ])(
    'can be one of several set by a single push by %s, which answers with that digest',
    async (algorithm, digestOf) => {
      const manifest = imageManifest(`several ${algorithm}`);
      const name = `local/several-${algorithm}`;
      const found = digestOf(manifest);
      const answer = await pushManifest(client, name, `${found}?tag=a&tag=B&tag=1.0_x`, manifest);
      expectPushed(answer, name, found);
      expect(answer.header('oci-tag').split(/, */).sort()).toEqual(['1.0_x', 'B', 'a']);
      for (const tag of ['a', 'B', '1.0_x']) await expectServed(name, tag, manifest, found);
      expect((await client.get(`/v2/${name}/tags/list`)).json()).toEqual({ name, tags: ['1.0_x', 'B', 'a'] });
    },
  );

  it('can be one of at least ten set by one push, and a repeated tag counts once', async () => {
    const manifest = imageManifest('ten');
    const tags = Array.from({ length: 20 }, (_, i) => `tag-${i}`);
    const query = [...tags, 'tag-0'].map((tag) => `tag=${tag}`).join('&');
    const answer = await pushManifest(client, 'local/ten', `${manifest.digest}?${query}`, manifest);
    expect(answer.header('oci-tag').split(/, */).sort()).toEqual([...tags].sort());
  });

  it('is not announced when the push asked for none', async () => {
    const answer = await pushManifest(client, 'local/ten', 'plain', imageManifest('ten'));
    expect(answer.headers['oci-tag']).toBeUndefined();
  });

  it('moves from a sha512 push to sha256 with a push by tag', async () => {
    const manifest = imageManifest('both');
    await pushManifest(client, 'local/both', `${manifest.sha512}?tag=x`, manifest);
    await expectServed('local/both', 'x', manifest, manifest.sha512);
    await pushManifest(client, 'local/both', 'x', manifest);
    await expectServed('local/both', 'x', manifest, manifest.digest);
  });

  it('may look like a digest or a signature', async () => {
    const manifest = imageManifest('fallback');
    const dashed = manifest.digest.replace(':', '-');
    for (const tag of [dashed, `${dashed}.sig`, `${dashed}.att`, `${dashed}.sbom`]) {
      expect((await client.get(url('local/fallback', tag))).codes).toEqual(['MANIFEST_UNKNOWN']);
      await pushManifest(client, 'local/fallback', tag, manifest);
      await expectServed('local/fallback', tag, manifest, manifest.digest);
    }
  });

  it('moves atomically under many concurrent pushes', async () => {
    const manifests = Array.from({ length: 10 }, (_, i) => imageManifest(`race ${i}`));
    await Promise.all(manifests.map((manifest) => pushManifest(client, 'local/race', 'latest', manifest)));
    const { body } = await client.get(url('local/race', 'latest'));
    expect(manifests.map(({ digest }) => digest)).toContain(digest(body));
    await Promise.all(
      manifests.map((manifest) => expectServed('local/race', manifest.digest, manifest, manifest.digest)),
    );
  });

  it('accepts the same content from many concurrent pushes', async () => {
    const manifest = imageManifest('crowd');
    await Promise.all(Array.from({ length: 10 }, (_, i) => pushManifest(client, 'local/crowd', `t${i}`, manifest)));
    expect((await client.get('/v2/local/crowd/tags/list')).json()).toMatchObject({ tags: { length: 10 } });
  });
});

describe('the subject of a manifest', () => {
  const subject = describeManifest(imageManifest('never pushed'));
  const withSubject: readonly [string, Manifest][] = [
    ['an image', imageManifest('with subject', { subject })],
    ['an index', indexManifest([], { subject })],
    [
      'an image whose subject has another algorithm',
      imageManifest('sha384', { subject: { ...subject, digest: 'sha384:abc' } }),
    ],
    [
      'an image whose subject is by sha512',
      imageManifest('sha512', { subject: { ...subject, digest: digest('x', 'sha512') } }),
    ],
  ];

  it.each(withSubject)(
    'of %s is never checked and always announced: by tag, by digest, and on a repeated push',
    async (_title, manifest) => {
      const expected = (JSON.parse(manifest.bytes.toString()) as { subject: { digest: string } }).subject.digest;
      for (const name of ['local/subject', 'strict/subject']) {
        if (name.startsWith('strict')) await pushParts(name, manifest);
        for (const reference of [
          'tag',
          'tag',
          manifest.digest,
          manifest.digest,
          manifest.sha512,
          `${manifest.digest}?tag=x`,
        ]) {
          const answer = await pushManifest(client, name, reference, manifest);
          expect(answer.header('oci-subject')).toBe(expected);
        }
      }
    },
  );

  it('is not announced for a manifest without a subject', async () => {
    const answer = await pushManifest(client, 'local/subject', 'none', imageManifest('none'));
    expect(answer.headers['oci-subject']).toBeUndefined();
  });
});

/** Pushes the blobs that `imageManifest` references. */
async function pushParts(name: string, manifest: Manifest): Promise<void> {
  const { layers = [] } = JSON.parse(manifest.bytes.toString()) as { layers?: { digest: string }[] };
  if (layers.length === 0) return;
  const label = ['with subject', 'sha384', 'sha512'].find((text) => layers[0]?.digest === digest(`layer of ${text}`));
  for (const part of ['config', 'layer']) await pushBlob(client, name, Buffer.from(`${part} of ${label}`));
}

describe('the content that a manifest references', () => {
  const missing = [digest('config of sparse'), digest('layer of sparse')];

  it('may be missing when sparse is true, and does not become visible', async () => {
    const child = describeManifest(imageManifest('absent child'));
    await pushManifest(client, 'local/sparse', 'image', imageManifest('sparse'));
    await pushManifest(client, 'local/sparse', 'index', indexManifest([child]));
    for (const blob of missing) expect((await client.head(`/v2/local/sparse/blobs/${blob}`)).status).toBe(404);
    expect((await client.head(url('local/sparse', child.digest))).status).toBe(404);
  });

  it('may be missing below an index by default, but not in an image, with an error for each missing digest', async () => {
    const put = (manifest: Manifest): Promise<Answer> =>
      client.put(url('plain/app', 'latest'), { headers: { 'Content-Type': manifest.type }, body: manifest.bytes });
    const image = imageManifest('sparse');
    const refused = await put(image);
    expect(refused.status).toBe(400);
    expect((refused.json() as { errors: object[] }).errors).toEqual(
      missing.map((blob) => ({
        code: 'MANIFEST_BLOB_UNKNOWN',
        message: expect.stringMatching(/upload/) as unknown,
        detail: { digest: blob },
      })),
    );
    expect((await client.head(url('plain/app', 'latest'))).status).toBe(404);
    expect((await client.head(url('plain/app', image.digest))).status).toBe(404);

    expect((await put(indexManifest([describeManifest(image)]))).status).toBe(201);
    // A blob below an index, as in a BuildKit cache.
    expect((await put(indexManifest([describeBytes(types.ociLayer, Buffer.from('not here'))]))).status).toBe(201);

    for (const part of ['config', 'layer']) await pushBlob(client, 'plain/app', Buffer.from(`${part} of sparse`));
    expect((await put(image)).status).toBe(201);
    // The same manifest again after one of its layers was deleted.
    await client.delete(`/v2/plain/app/blobs/${missing[1] ?? ''}`);
    expect((await put(image)).body.toString()).toContain(missing[1]);
  });

  it('must include the empty config of an artifact by default', async () => {
    const empty = Buffer.from('{}');
    const artifact = manifestOf(types.ociImage, {
      artifactType: 'application/vnd.example',
      config: { ...describeBytes(types.empty, empty), data: 'e30=' },
      layers: [describeBytes(types.empty, empty)],
    });
    const put = (): Promise<Answer> =>
      client.put(url('plain/artifact', 'x'), { headers: { 'Content-Type': artifact.type }, body: artifact.bytes });
    expect((await put()).codes).toEqual(['MANIFEST_BLOB_UNKNOWN']);
    await pushBlob(client, 'plain/artifact', empty);
    expect((await put()).status).toBe(201);
  });

  it('must be complete when sparse is false, and MANIFEST_BLOB_UNKNOWN lists everything that is missing', async () => {
    const put = (manifest: Manifest): Promise<Answer> =>
      client.put(url('strict/app', 'latest'), { headers: { 'Content-Type': manifest.type }, body: manifest.bytes });
    const refused = await put(imageManifest('sparse'));
    expect([refused.status, ...new Set(refused.codes)]).toEqual([400, 'MANIFEST_BLOB_UNKNOWN']);
    for (const blob of missing) expect(refused.body.toString()).toContain(blob);
    expect((await client.head(url('strict/app', 'latest'))).status).toBe(404);

    await pushBlob(client, 'strict/app', Buffer.from('config of sparse'));
    const second = await put(imageManifest('sparse'));
    expect(second.status).toBe(400);
    expect(second.body.toString()).not.toContain(missing[0]);
    expect(second.body.toString()).toContain(missing[1]);

    // The blob exists in another image, but not in this one.
    await pushBlob(client, 'strict/elsewhere', Buffer.from('layer of sparse'));
    expect((await put(imageManifest('sparse'))).status).toBe(400);

    await pushBlob(client, 'strict/app', Buffer.from('layer of sparse'));
    expect((await put(imageManifest('sparse'))).status).toBe(201);
    expect((await put(indexManifest([describeManifest(imageManifest('sparse'))]))).status).toBe(201);
    expect((await put(indexManifest([describeManifest(imageManifest('absent'))]))).codes).toContain(
      'MANIFEST_BLOB_UNKNOWN',
    );
  });

  it.each([
    [100, undefined],
    [101, '; 100 of 101 digests are listed'],
    [9_000, '; 100 of 9000 digests are listed'],
  ])('reports %i missing digests with at most 100 errors and their total in the message', async (count, more) => {
    const layers = Array.from({ length: count - 1 }, (_, i) => describeBytes(types.ociLayer, Buffer.from(`none ${i}`)));
    const manifest = manifestOf(types.ociImage, {
      config: describeBytes(types.ociConfig, Buffer.from('none')),
      layers,
    });
    const answer = await client.put(url('strict/many', 'latest'), {
      headers: { 'Content-Type': manifest.type },
      body: manifest.bytes,
    });
    expect([answer.status, answer.codes]).toEqual([400, Array.from({ length: 100 }, () => 'MANIFEST_BLOB_UNKNOWN')]);
    if (more === undefined) expect(answer.body.toString()).not.toContain('digests are listed');
    else expect(answer.body.toString()).toContain(more);
  });

  it('is reported with one error for each missing digest (end-7a)', async () => {
    const manifest = imageManifest('each');
    const answer = await client.put(url('strict/each', 'latest'), {
      headers: { 'Content-Type': manifest.type },
      body: manifest.bytes,
    });
    expect(answer.codes).toEqual(['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN']);
  });

  it.each([
    ['a foreign layer', { ...layer, mediaType: types.foreignLayer }],
    ['a nondistributable layer', { ...layer, mediaType: types.nondistributableLayer }],
    ['a layer with urls', { ...layer, urls: ['https://example.com/layer'] }],
    ['a layer with an unknown algorithm', { ...layer, digest: 'sha384:abc' }],
  ])('may be absent even when sparse is false: %s', async (title, absent) => {
    const label = `exempt ${title}`;
    await pushBlob(client, 'strict/exempt', Buffer.from(`config of ${label}`));
    await pushManifest(client, 'strict/exempt', 'latest', imageManifest(label, { layers: [absent] }));
  });

  it('may be blobs in an index, as in a BuildKit cache', async () => {
    const cache = Buffer.from('cache layer');
    await pushBlob(client, 'strict/cache', cache);
    await pushManifest(client, 'strict/cache', 'cache', indexManifest([describeBytes(types.ociLayer, cache)]));
  });

  it('never includes the subject', async () => {
    const subject = describeManifest(imageManifest('never pushed'));
    await pushManifest(client, 'strict/subject-only', 'x', indexManifest([], { subject }));
  });
});

describe('DELETE of a manifest', () => {
  it('removes a tag with 202 and keeps the manifest and its other tags', async () => {
    const manifest = imageManifest('untagged');
    await pushManifest(client, 'local/deleted', `${manifest.digest}?tag=a&tag=b`, manifest);
    const answer = await client.delete(url('local/deleted', 'a'));
    expect([answer.status, answer.header('content-length')]).toEqual([202, '0']);
    for (const method of ['HEAD', 'GET', 'DELETE'] as const) {
      expect((await client.send(method, url('local/deleted', 'a'))).status).toBe(404);
    }
    await expectServed('local/deleted', 'b', manifest, manifest.digest);
    await expectServed('local/deleted', manifest.digest, manifest, manifest.digest);
    await client.delete(url('local/deleted', 'b'));
    await expectServed('local/deleted', manifest.digest, manifest, manifest.digest);
    expect((await client.get('/v2/local/deleted/tags/list')).json()).toEqual({ name: 'local/deleted', tags: [] });
  });

  it('removes a manifest and all its tags at once with 202, and keeps the others', async () => {
    const [gone, kept] = [imageManifest('gone'), imageManifest('kept')];
    await pushManifest(client, 'local/gone', `${gone.digest}?tag=a&tag=b`, gone);
    await pushManifest(client, 'local/gone', 'c', kept);
    await pushManifest(client, 'local/gone-elsewhere', 'a', gone);
    expect((await client.delete(url('local/gone', gone.digest))).status).toBe(202);
    for (const reference of [gone.digest, 'a', 'b']) {
      for (const method of ['HEAD', 'GET', 'DELETE'] as const) {
        const answer = await client.send(method, url('local/gone', reference));
        expect([answer.status, method === 'HEAD' ? '' : answer.codes[0]]).toEqual([
          404,
          method === 'HEAD' ? '' : 'MANIFEST_UNKNOWN',
        ]);
      }
    }
    expect((await client.get('/v2/local/gone/tags/list')).json()).toEqual({ name: 'local/gone', tags: ['c'] });
    await expectServed('local/gone', 'c', kept, kept.digest);
    await expectServed('local/gone-elsewhere', 'a', gone, gone.digest);
    await pushManifest(client, 'local/gone', 'again', gone);
    await expectServed('local/gone', 'again', gone, gone.digest);
    expect((await client.head(url('local/gone', 'a'))).status).toBe(404);
  });

  it("removes one algorithm's digest without affecting what was pushed by the other", async () => {
    const manifest = imageManifest('two digests');
    await pushManifest(client, 'local/digests', `${manifest.digest}?tag=short`, manifest);
    await pushManifest(client, 'local/digests', `${manifest.sha512}?tag=long`, manifest);
    expect((await client.delete(url('local/digests', manifest.digest))).status).toBe(202);
    expect((await client.head(url('local/digests', 'short'))).status).toBe(404);
    await expectServed('local/digests', 'long', manifest, manifest.sha512);
  });

  it('does not restore the previous manifest of a moved tag', async () => {
    await pushManifest(client, 'local/back', 'x', imageManifest('old'));
    await pushManifest(client, 'local/back', 'x', imageManifest('new'));
    await client.delete(url('local/back', imageManifest('old').digest));
    await expectServed('local/back', 'x', imageManifest('new'), imageManifest('new').digest);
    await client.delete(url('local/back', 'x'));
    expect((await client.head(url('local/back', 'x'))).status).toBe(404);
  });
});

it('answers HEAD without a body and keeps the connection open', async () => {
  const manifest = imageManifest('keep-alive');
  await pushManifest(client, 'local/keep-alive', 'x', manifest);
  const head = rawHead('HEAD', url('local/keep-alive', 'x'), { Connection: 'keep-alive' });
  const answer = await exchangeRaw(server.port, head + head + rawHead('GET', '/v2/'));
  const second = answer.body.indexOf('HTTP/1.1 200');
  expect([second, answer.body.endsWith('\r\n\r\n{}')]).toEqual([0, true]);
});

describe('an artifact manifest of ORAS 1.0', () => {
  it('is accepted, needs its blobs, and is listed among the referrers of its subject', async () => {
    const subject = { mediaType: types.ociImage, digest: digest('signed'), size: 6 };
    const blob = Buffer.from('a signature');
    const blobs = [describeBytes('application/octet-stream', blob)];
    const bytes = Buffer.from(
      JSON.stringify({ mediaType: types.ociArtifact, artifactType: 'example/signature', blobs, subject }),
    );
    const send = { headers: { 'Content-Type': types.ociArtifact }, body: bytes };
    const refused = await client.put(url('plain/old', digest(bytes)), send);
    expect([refused.status, refused.json()]).toMatchObject([400, { errors: [{ code: 'MANIFEST_BLOB_UNKNOWN' }] }]);
    await pushBlob(client, 'plain/old', blob);
    const pushed = await client.put(url('plain/old', digest(bytes)), send);
    expect([pushed.status, pushed.header('oci-subject')]).toEqual([201, subject.digest]);
    const pulled = await client.get(url('plain/old', digest(bytes)));
    expect([pulled.header('content-type'), pulled.body.equals(bytes)]).toEqual([types.ociArtifact, true]);
    const listed = await client.get(`/v2/plain/old/referrers/${subject.digest}`);
    expect(listed.json()).toMatchObject({
      manifests: [{ mediaType: types.ociArtifact, digest: digest(bytes), artifactType: 'example/signature' }],
    });
    const untyped = Buffer.from(JSON.stringify({ mediaType: types.ociArtifact, blobs: [] }));
    const answer = await client.put(url('plain/old', 'untyped'), { ...send, body: untyped });
    expect([answer.status, answer.json()]).toMatchObject([400, { errors: [{ code: 'MANIFEST_INVALID' }] }]);
  });
});
