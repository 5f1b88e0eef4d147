import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDigest } from '../../../src/protocol/digest.js';
import { maxManifestBytes, parseManifest } from '../../../src/protocol/manifests/manifest.js';
import {
  describeBytes,
  describeManifest,
  digest,
  imageManifest,
  indexManifest,
  manifestOf,
  types,
} from '../../support/content/content.js';
import { refusalOf } from '../../support/clients/refusal.js';

const config = describeBytes(types.ociConfig, Buffer.from('config'));
const layer = describeBytes(types.ociLayer, Buffer.from('layer'));
const image = { schemaVersion: 2, config, layers: [layer] };
const index = { schemaVersion: 2, manifests: [] };

function parse(document: object | string, contentType?: string): ReturnType<typeof parseManifest> {
  return parseManifest(Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)), contentType);
}

describe('parseManifest: what no client could pull', () => {
  const child = describeManifest(manifestOf(types.ociImage, image));

  it.each([
    ['an image that lists manifests too', { ...image, manifests: [child] }, types.ociImage, '"manifests"'],
    ['an index with a config', { ...index, config }, types.ociIndex, '"config"'],
    ['an index with layers', { ...index, layers: [layer] }, types.dockerIndex, '"layers"'],
    ['a byte order mark', `\uFEFF${JSON.stringify(image)}`, types.ociImage, 'byte order mark'],
  ])('%s is refused in a push, and accepted from an upstream', (_title, document, contentType, problem) => {
    const bytes = Buffer.from(typeof document === 'string' ? document : JSON.stringify(document));
    const refusal = refusalOf(() => parseManifest(bytes, contentType));
    expect([refusal.code, refusal.message]).toEqual(['MANIFEST_INVALID', expect.stringContaining(problem)]);
    expect(parseManifest(bytes, contentType, undefined, { lenient: true }).mediaType).toBe(contentType);
  });

  it('empty fields of the other kind are accepted', () => {
    expect(parse({ ...image, manifests: [] }, types.ociImage).mediaType).toBe(types.ociImage);
    expect(parse({ ...index, config: null, layers: [] }, types.ociIndex).mediaType).toBe(types.ociIndex);
  });
});

describe('parseManifest: the media type', () => {
  it.each([
    ['the Content-Type', image, types.ociImage, types.ociImage],
    ['the Content-Type', image, types.dockerImage, types.dockerImage],
    ['the Content-Type', index, types.ociIndex, types.ociIndex],
    ['the Content-Type', index, types.dockerIndex, types.dockerIndex],
    ['the Content-Type without its parameters', image, `${types.ociImage}; charset=utf-8`, types.ociImage],
    ['the Content-Type in any case', image, types.ociImage.toUpperCase(), types.ociImage],
    ['the mediaType without a Content-Type', { ...image, mediaType: types.dockerImage }, undefined, types.dockerImage],
    ['both when they agree', { ...index, mediaType: types.dockerIndex }, types.dockerIndex, types.dockerIndex],
    ['the structure with config and layers', image, undefined, types.ociImage],
    ['the structure with manifests', index, undefined, types.ociIndex],
  ])('is that of %s', (_title, document, contentType, expected) => {
    expect(parse(document, contentType).mediaType).toBe(expected);
  });

  it.each([
    ['Content-Type and mediaType differ', { ...image, mediaType: types.dockerImage }, types.ociImage],
    ['unknown type', image, 'application/json'],
    ['unknown type, in the body', { ...image, mediaType: 'text/plain' }, undefined],
    ['a malformed Content-Type', image, 'nonsense'],
    ['an empty Content-Type', image, ''],
    ['an index sent as an image', index, types.ociImage],
    ['an image sent as an index', image, types.ociIndex],
    ['neither a type nor a known structure', { schemaVersion: 2 }, undefined],
    ['an image sent as an artifact manifest', image, types.ociArtifact],
    ['schema 1', { schemaVersion: 1, name: 'a', tag: 'b', fsLayers: [], history: [] }, undefined],
    ['schema 1 by type', { ...image }, 'application/vnd.docker.distribution.manifest.v1+json'],
    ['signed schema 1', { schemaVersion: 1 }, 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
    ['schema 1 with the structure of schema 2', { ...image, schemaVersion: 1 }, types.dockerImage],
  ])('is refused: %s', (_title, document, contentType) => {
    expect(refusalOf(() => parse(document, contentType))).toMatchObject({ code: 'MANIFEST_INVALID', status: 400 });
  });
});

describe('parseManifest: the document', () => {
  it.each([
    ['an empty body', ''],
    ['invalid JSON', '{'],
    ['an array', '[]'],
    ['null', 'null'],
    ['a number', '2'],
    ['a string', '"manifest"'],
    ['trailing text', `${JSON.stringify(image)}x`],
    ['no schemaVersion', JSON.stringify({ config, layers: [] })],
    ['schemaVersion 3', JSON.stringify({ ...image, schemaVersion: 3 })],
    ['schemaVersion as text', JSON.stringify({ ...image, schemaVersion: '2' })],
    ['no config', JSON.stringify({ schemaVersion: 2, layers: [] })],
    ['no layers', JSON.stringify({ schemaVersion: 2, config })],
    ['an object as layers', JSON.stringify({ ...image, layers: {} })],
    ['a string as a layer', JSON.stringify({ ...image, layers: ['x'] })],
    ['a layer without a digest', JSON.stringify({ ...image, layers: [{ mediaType: 'a/b', size: 1 }] })],
    ['a layer with a malformed digest', JSON.stringify({ ...image, layers: [{ ...layer, digest: 'sha256:x' }] })],
    ['a digest with a path traversal', JSON.stringify({ ...image, layers: [{ ...layer, digest: 'sha256:../../x' }] })],
    ['a negative size', JSON.stringify({ ...image, layers: [{ ...layer, size: -1 }] })],
    ['a size as text', JSON.stringify({ ...image, layers: [{ ...layer, size: '1' }] })],
    ['a fractional size', JSON.stringify({ ...image, layers: [{ ...layer, size: 1.5 }] })],
    ['no media type', JSON.stringify({ ...image, config: { ...config, mediaType: undefined } })],
    ['annotations that are not strings', JSON.stringify({ ...image, annotations: { a: 1 } })],
    ['annotations in a list', JSON.stringify({ ...image, annotations: ['a'] })],
    ['a string as the subject', JSON.stringify({ ...image, subject: 'sha256:x' })],
    ['a subject with a malformed digest', JSON.stringify({ ...image, subject: { ...layer, digest: 'sha256:x' } })],
    ['an artifactType that is not a string', JSON.stringify({ ...image, artifactType: 1 })],
  ])('is refused: %s', (_title, text) => {
    expect(refusalOf(() => parse(text, types.ociImage))).toMatchObject({ code: 'MANIFEST_INVALID', status: 400 });
  });

  it('is refused: bytes that are not UTF-8', () => {
    const bytes = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
    expect(refusalOf(() => parseManifest(bytes, types.ociImage)).code).toBe('MANIFEST_INVALID');
  });

  it('is refused with the problem and its path', () => {
    const { detail } = refusalOf(() => parse({ ...image, layers: [layer, { ...layer, size: -1 }] }, types.ociImage));
    expect(detail).toEqual([{ path: 'layers.1.size', problem: expect.any(String) }]);
  });

  it('is refused with a short detail, however many problems it has', () => {
    const layers = Array.from({ length: 50_000 }, () => 'x');
    const { detail } = refusalOf(() => parse({ ...image, layers }, types.ociImage));
    expect(JSON.stringify(detail).length).toBeLessThan(10_000);
  });

  it.each([
    ['unknown members', { ...image, custom: { deep: [1, null] }, config: { ...config, custom: true } }, types.ociImage],
    ['no layers', { ...image, layers: [] }, types.ociImage],
    ['no children', index, types.ociIndex],
    [
      'any media types',
      { ...image, config: { ...config, mediaType: 'x/y' }, layers: [{ ...layer, mediaType: 'a' }] },
      types.ociImage,
    ],
    [
      'children of any type',
      { ...index, manifests: [{ ...layer, mediaType: 'application/x-whatever' }] },
      types.ociIndex,
    ],
    ['null for absent fields, as Go programs write it', { ...image, subject: null, annotations: null }, types.ociImage],
    [
      'data, urls and platforms',
      { ...index, manifests: [{ ...layer, data: 'e30=', urls: ['http://x'], platform: {} }] },
      types.ociIndex,
    ],
    ['an unknown digest algorithm', { ...image, layers: [{ ...layer, digest: 'blake9+x:abc=' }] }, types.ociImage],
    ['several algorithms', { ...image, layers: [layer, { ...layer, digest: digest('x', 'sha512') }] }, types.ociImage],
    ['an empty blob', { ...image, layers: [{ ...layer, size: 0 }] }, types.ociImage],
  ])('is accepted with %s', (_title, document, contentType) => {
    expect(parse(document, contentType).mediaType).toBe(contentType);
  });

  it('keeps its bytes unchanged', () => {
    const bytes = Buffer.from(` ${JSON.stringify(image, null, 3)}\n\n`);
    const parsed = parseManifest(bytes, types.ociImage);
    expect([parsed.bytes, parsed.digest]).toEqual([bytes, digest(bytes)]);
  });

  it('may have 4 MiB', () => {
    expect(maxManifestBytes).toBe(4_194_304);
  });
});

describe('parseManifest: the digest', () => {
  const { bytes, digest: sha256, sha512 } = imageManifest('x');

  it.each([
    ['sha256 without a digest in the URL', undefined, sha256],
    ['sha256', sha256, sha256],
    ['sha512', sha512, sha512],
  ])('is checked with its own algorithm: %s', (_title, text, digestFound) => {
    const expected = text === undefined ? undefined : parseDigest(text);
    expect(parseManifest(bytes, types.ociImage, expected).digest).toBe(digestFound);
  });

  it.each([
    ['two additional spaces', Buffer.concat([bytes, Buffer.from('  ')])],
    ['invalid JSON', Buffer.from('nonsense')],
    ['an empty body', Buffer.alloc(0)],
  ])('is checked before the document: %s', (_title, other) => {
    const refusal = refusalOf(() => parseManifest(other, types.ociImage, parseDigest(sha256)));
    expect(refusal).toMatchObject({
      code: 'DIGEST_INVALID',
      status: 400,
      detail: { expected: sha256, found: digest(other) },
    });
  });
});

describe('parseManifest: the facts', () => {
  it.each([
    ['an image: its artifactType', { ...image, artifactType: 'a/b' }, types.ociImage, 'a/b'],
    ['an image without artifactType: the type of its config', image, types.ociImage, types.ociConfig],
    [
      'an image with an empty artifactType: the type of its config',
      { ...image, artifactType: '' },
      types.ociImage,
      types.ociConfig,
    ],
    ['an index: its artifactType', { ...index, artifactType: 'a/b' }, types.ociIndex, 'a/b'],
    ['an index without artifactType: none', index, types.ociIndex, undefined],
    ['an index with an empty artifactType: none', { ...index, artifactType: '' }, types.ociIndex, undefined],
    ['a Docker image: the type of its config', image, types.dockerImage, types.ociConfig],
  ])('include the artifact type of %s', (_title, document, contentType, expected) => {
    expect(parse(document, contentType).artifactType).toBe(expected);
  });

  it('include the subject, with any algorithm, and the annotations', () => {
    const subject = { ...layer, digest: 'sha384:abc' };
    const parsed = parse({ ...index, subject, annotations: { a: '1', '': 'ä' } }, types.ociIndex);
    expect([parsed.subject, parsed.annotations]).toEqual(['sha384:abc', { a: '1', '': 'ä' }]);
  });

  it('include config and layers once each, and their total size', () => {
    const parsed = parse({ ...image, layers: [layer, layer, config] }, types.ociImage);
    expect(parsed.references).toEqual([
      { digest: config.digest, kind: 'blob', optional: false },
      { digest: layer.digest, kind: 'blob', optional: false },
    ]);
    expect(parsed.contentBytes).toBe(2 * config.size + 2 * layer.size);
  });

  it('mark foreign layers and those with urls as optional, unless another descriptor requires them', () => {
    const [foreign, nondistributable, elsewhere, both] = ['a', 'b', 'c', 'd'].map((text) =>
      describeBytes('x/y', Buffer.from(text)),
    );
    const layers = [
      { ...foreign, mediaType: types.foreignLayer },
      { ...nondistributable, mediaType: types.nondistributableLayer },
      { ...elsewhere, urls: ['https://example.com/layer'] },
      { ...both, urls: ['https://example.com/layer'] },
      { ...both, urls: [] },
    ];
    const optional = parse({ ...image, layers }, types.ociImage).references.map((reference) => reference.optional);
    expect(optional).toEqual([false, true, true, true, false]);
  });

  it('include the children of an index, as manifests or blobs, without a size', () => {
    const child = describeManifest(imageManifest('child'));
    const parsed = parseManifest(indexManifest([child]).bytes, undefined);
    expect(parsed.references).toEqual([{ digest: child.digest, kind: 'either', optional: false }]);
    expect(parsed.contentBytes).toBe(0);
  });

  it('do not include the subject among the references, nor digests with unsupported algorithms', () => {
    const parsed = parse({ ...image, subject: layer, layers: [{ ...layer, digest: 'blake3:abc' }] }, types.ociImage);
    expect(parsed.references.map((reference) => reference.digest)).toEqual([config.digest]);
  });
});

describe('parseManifest: arbitrary input', () => {
  it('is accepted or refused with MANIFEST_INVALID', () => {
    const members = fc.dictionary(
      fc.constantFrom(
        'schemaVersion',
        'mediaType',
        'config',
        'layers',
        'manifests',
        'subject',
        'annotations',
        'artifactType',
        '__proto__',
      ),
      fc.oneof(
        fc.constantFrom<unknown>(2, types.ociImage, types.ociIndex, config, [layer], {}),
        fc.jsonValue({ maxDepth: 2 }),
      ),
    );
    fc.assert(
      fc.property(members, fc.constantFrom(undefined, types.ociImage, types.ociIndex), (document, contentType) => {
        const bytes = Buffer.from(JSON.stringify(document));
        try {
          expect(parseManifest(bytes, contentType).bytes).toBe(bytes);
        } catch {
          expect(refusalOf(() => parseManifest(bytes, contentType)).code).toBe('MANIFEST_INVALID');
        }
      }),
      { numRuns: 300 },
    );
  });

  it('is accepted from the builders of these tests', () => {
    expect(parseManifest(manifestOf(types.ociImage, { config, layers: [] }).bytes, types.ociImage).mediaType).toBe(
      types.ociImage,
    );
  });
});
