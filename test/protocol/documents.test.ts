import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { parseIndex, parseSaved } from '../../src/protocol/archive.js';
import { RegistryError } from '../../src/protocol/errors.js';
import { JsonLimitError, parseJson } from '../../src/protocol/json.js';
import { decodeRepository } from '../../src/protocol/tables/management.js';
import { maxManifestBytes, parseManifest } from '../../src/protocol/manifest.js';
import { listOf, maxDescriptors } from '../../src/protocol/schemas.js';
import { readTags } from '../../src/upstream/upstream-lists.js';
import { describeBytes, digest, types } from '../support/content.js';

const limits = { maxDepth: 4, maxValues: 20, maxMembers: 3 };
const bytesOf = (text: string): Buffer => Buffer.from(text);

function refusal(action: () => unknown): RegistryError {
  try {
    action();
  } catch (error) {
    if (error instanceof RegistryError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

/** A manifest of as many bytes as one may have, its layers being the same text again and again. */
function filledManifest(layer: string): Buffer {
  const head = '{"schemaVersion":2,"layers":[';
  const count = Math.floor((maxManifestBytes - head.length - 2) / (layer.length + 1));
  return bytesOf(`${head}${Array.from({ length: count }, () => layer).join(',')}]}`);
}

describe('parseJson', () => {
  it.each<[string, unknown]>([
    ['{"a":[1,2,{"b":null}],"c":"[[[[[[{{{{{,,,,"}', { a: [1, 2, { b: null }], c: '[[[[[[{{{{{,,,,' }],
    [String.raw`{"a\"[[[[[[":"\\","b":"\""}`, { 'a"[[[[[[': '\\', b: '"' }],
    ['"é[[[[["', 'é[[[[['],
    ['[[[[]]]]', [[[[]]]]],
    ['7', 7],
    ['[{"a":[1,2,3,4],"b":{},"c":3},4,5,6]', [{ a: [1, 2, 3, 4], b: {}, c: 3 }, 4, 5, 6]],
  ])('parses %s', (text, expected) => {
    expect(parseJson(bytesOf(text), limits)).toEqual(expected);
  });

  it.each([
    ['[[[[[]]]]]', 'it is nested deeper than 4 levels'],
    ['[[[[[', 'it is nested deeper than 4 levels'],
    ['{"a":{"a":{"a":{"a":{', 'it is nested deeper than 4 levels'],
    [`[${'{},'.repeat(9)}{}]`, 'it has more than 20 values'],
    [','.repeat(30), 'it has more than 20 values'],
    ['{"a":1,"b":2,"c":3,"d":4}', 'an object has more than 3 members'],
    ['[{"a":[1,2,3,4,5],"b":{"x":1,"y":2},"c":3,"d":4}]', 'an object has more than 3 members'],
  ])('refuses %s before it is parsed', (text, message) => {
    expect(() => parseJson(bytesOf(text), limits)).toThrow(new JsonLimitError(message));
  });

  it.each(['', '{', '"', '"\\', '[1,]', '{"a":"\xff'])('throws what JSON.parse does for %j', (text) => {
    expect(() => parseJson(Buffer.from(text, 'latin1'), limits)).toThrow(Error);
    expect(() => parseJson(Buffer.from(text, 'latin1'), limits)).not.toThrow(JsonLimitError);
  });
});

describe('a list that is checked', () => {
  it('is checked no further than five faulty items, whatever its length', () => {
    let checked = 0;
    const item = z.custom<string>((value) => {
      checked++;
      return typeof value === 'string';
    });
    const values = ['good', ...Array.from({ length: 9000 }, () => 0)];
    const found = listOf(item).safeParse(values);
    expect([checked, found.error?.issues.length]).toEqual([6, 5]);
    expect(listOf(item).parse(null)).toEqual([]);
  });

  it('is not checked at all when it is too long', () => {
    let checked = 0;
    const item = z.custom(() => checked++ >= 0);
    const found = listOf(item, 10).safeParse(Array.from({ length: 11 }, () => 0));
    expect([checked, found.error?.issues.length]).toEqual([0, 1]);
  });
});

describe('a manifest of 4 MiB', () => {
  it.each<[string, Buffer, number]>([
    ['of empty layers', filledManifest('{}'), 413],
    ['of layers that are nothing', filledManifest('0'), 413],
    [
      'of more descriptors than an image may have',
      filledManifest(JSON.stringify(describeBytes('a', Buffer.from('x')))),
      400,
    ],
    ['of large faulty layers', filledManifest(JSON.stringify({ annotations: { a: 'x'.repeat(300) } })), 400],
    ['of lists in lists', bytesOf(`{"layers":${'['.repeat(4_000_000)}`), 413],
  ])('%s is refused with a few words', (_name, bytes, status) => {
    const error = refusal(() => parseManifest(bytes, types.ociImage));
    expect([error.code, error.status]).toEqual(['MANIFEST_INVALID', status]);
    expect(JSON.stringify(error.details).length).toBeLessThan(2000);
  });

  it('with annotations that are no texts is refused with one problem for them', () => {
    const annotations = Object.fromEntries(Array.from({ length: 9000 }, (_, n) => [`key ${n}`, n]));
    const config = describeBytes(types.ociConfig, Buffer.from('{}'));
    const bytes = bytesOf(JSON.stringify({ schemaVersion: 2, config, layers: [], annotations }));
    expect(refusal(() => parseManifest(bytes, types.ociImage)).detail).toEqual([
      { path: 'annotations', problem: 'must be an object of strings' },
    ]);
  });

  it('with 100,000 annotations is refused before it is parsed', () => {
    const annotations = Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`key ${n}`, 'x']));
    const bytes = bytesOf(JSON.stringify({ schemaVersion: 2, layers: [], annotations }));
    const message = 'the manifest is too large: an object has more than 10000 members';
    expect(refusal(() => parseManifest(bytes, types.ociImage))).toMatchObject({ status: 413, message });
  });

  it('with as many descriptors as an image may have is taken', () => {
    const layers = Array.from({ length: maxDescriptors }, (_, n) => ({
      mediaType: types.ociLayer,
      digest: digest(String(n)),
      size: n,
      annotations: { 'org.opencontainers.image.title': `file ${n}, ${'x'.repeat(180)}` },
    }));
    const config = describeBytes(types.ociConfig, Buffer.from('{}'));
    const bytes = bytesOf(JSON.stringify({ schemaVersion: 2, config, layers }));
    expect(bytes.length).toBeGreaterThan(0.9 * maxManifestBytes);
    expect(bytes.length).toBeLessThan(maxManifestBytes);
    expect(parseManifest(bytes, types.ociImage).references.length).toBe(maxDescriptors + 1);
  });
});

describe('documents of archives', () => {
  it.each<[string, () => unknown, string, number]>([
    [
      'an index of empty entries',
      () => parseIndex(bytesOf(`{"manifests":[${'{},'.repeat(200_000)}{}]}`), 'index.json'),
      'SIZE_INVALID',
      413,
    ],
    [
      'an index of faulty entries',
      () => parseIndex(bytesOf(`{"manifests":[${'7,'.repeat(9000)}7]}`), 'index.json'),
      'ARCHIVE_INVALID',
      400,
    ],
    [
      'more images than an archive may have',
      () => parseSaved(bytesOf(`[${'{"Config":"a"},'.repeat(1000)}{"Config":"a"}]`)),
      'SIZE_INVALID',
      413,
    ],
    [
      'an image of more layers than one may have',
      () => parseSaved(bytesOf(`[{"Config":"a","Layers":[${'"x",'.repeat(10_000)}"x"]}]`)),
      'SIZE_INVALID',
      413,
    ],
    [
      'tags that are no texts',
      () => parseSaved(bytesOf(`[{"Config":"a","RepoTags":[${'7,'.repeat(250_000)}7]}]`)),
      'ARCHIVE_INVALID',
      400,
    ],
  ])('%s are refused with a few words', (_name, parse, code, status) => {
    const error = refusal(parse);
    expect([error.code, error.status]).toEqual([code, status]);
    expect(JSON.stringify(error.details).length).toBeLessThan(2000);
  });
});

describe('documents of the management API', () => {
  it('name fifty problems at most', () => {
    const unknown = Object.fromEntries(Array.from({ length: 3000 }, (_, n) => [`no_option_${n}`, n]));
    const error = refusal(() =>
      decodeRepository({ package_type: 'docker', repo_type: 'local', name: 'x', ...unknown }),
    );
    expect((error.detail as unknown[]).length).toBe(50);
  });
});

describe('lists of an upstream', () => {
  it('leave out what is no tag', () => {
    expect(readTags({ tags: ['v1', ':', 7, null, 'v2', 'x'.repeat(129)] })).toEqual(['v1', 'v2']);
  });
});
