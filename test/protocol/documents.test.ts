import { describe, expect, it } from 'vitest';
import { z } from 'zod/mini';
import { parseIndex, parseSaved } from '../../src/protocol/manifests/archive.js';
import { RegistryError } from '../../src/protocol/errors.js';
import { JsonLimitError, parseJson } from '../../src/protocol/json.js';
import { decodeRepository } from '../../src/protocol/tables/management.js';
import { maxManifestBytes, parseManifest } from '../../src/protocol/manifests/manifest.js';
import { listOf, maxDescriptors } from '../../src/protocol/manifests/schemas.js';
import { readTags } from '../../src/upstream/upstream-lists.js';
import { describeBytes, digest, types } from '../support/content/content.js';

const limits = { maxDepth: 4, maxValues: 20, maxMembers: 3 };
const bytesOf = (text: string): Buffer => Buffer.from(text);

function refusal(action: () => unknown): RegistryError {
  try {
    action();
  } catch (error) {
    if (error instanceof RegistryError) return error;
    throw error;
  }
  throw new Error('the action did not throw');
}

/** Returns a manifest of the maximum size that repeats one layer. */
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
  ])('refuses %s before parsing it', (text, message) => {
    expect(() => parseJson(bytesOf(text), limits)).toThrow(new JsonLimitError(message));
  });

  it.each(['', '{', '"', '"\\', '[1,]', '{"a":"\xff'])('throws the error of JSON.parse for %j', (text) => {
    expect(() => parseJson(Buffer.from(text, 'latin1'), limits)).toThrow(Error);
    expect(() => parseJson(Buffer.from(text, 'latin1'), limits)).not.toThrow(JsonLimitError);
  });
});

describe('listOf', () => {
  it('stops after five invalid items', () => {
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

  it('checks no item of a list that is too long', () => {
    let checked = 0;
    const item = z.custom(() => checked++ >= 0);
    const found = listOf(item, 10).safeParse(Array.from({ length: 11 }, () => 0));
    expect([checked, found.error?.issues.length]).toEqual([0, 1]);
  });
});

describe('a manifest of 4 MiB', () => {
  it.each<[string, Buffer, number]>([
    ['with empty layers', filledManifest('{}'), 413],
    ['with numbers as layers', filledManifest('0'), 413],
    [
      'with more descriptors than an image may have',
      filledManifest(JSON.stringify(describeBytes('a', Buffer.from('x')))),
      400,
    ],
    ['with large invalid layers', filledManifest(JSON.stringify({ annotations: { a: 'x'.repeat(300) } })), 400],
    ['with nested lists', bytesOf(`{"layers":${'['.repeat(4_000_000)}`), 413],
  ])('%s is refused with a short error', (_name, bytes, status) => {
    const error = refusal(() => parseManifest(bytes, types.ociImage));
    expect([error.code, error.status]).toEqual(['MANIFEST_INVALID', status]);
    expect(JSON.stringify(error.details).length).toBeLessThan(2000);
  });

  it('whose annotations are not strings is refused with a single problem', () => {
    const annotations = Object.fromEntries(Array.from({ length: 9000 }, (_, n) => [`key ${n}`, n]));
    const config = describeBytes(types.ociConfig, Buffer.from('{}'));
    const bytes = bytesOf(JSON.stringify({ schemaVersion: 2, config, layers: [], annotations }));
    expect(refusal(() => parseManifest(bytes, types.ociImage)).detail).toEqual([
      { path: 'annotations', problem: 'must be an object of strings' },
    ]);
  });

  it('with 100,000 annotations is refused before parsing', () => {
    const annotations = Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`key ${n}`, 'x']));
    const bytes = bytesOf(JSON.stringify({ schemaVersion: 2, layers: [], annotations }));
    const message = 'the manifest is too complex: an object has more than 10000 members';
    expect(refusal(() => parseManifest(bytes, types.ociImage))).toMatchObject({ status: 413, message });
  });

  it('with the maximum number of descriptors is accepted', () => {
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

describe('documents in archives', () => {
  it.each<[string, () => unknown, string, number]>([
    [
      'an index of empty entries',
      () => parseIndex(bytesOf(`{"manifests":[${'{},'.repeat(200_000)}{}]}`), 'index.json'),
      'SIZE_INVALID',
      413,
    ],
    [
      'an index of invalid entries',
      () => parseIndex(bytesOf(`{"manifests":[${'7,'.repeat(9000)}7]}`), 'index.json'),
      'ARCHIVE_INVALID',
      400,
    ],
    [
      'an archive with too many images',
      () => parseSaved(bytesOf(`[${'{"Config":"a"},'.repeat(1000)}{"Config":"a"}]`)),
      'SIZE_INVALID',
      413,
    ],
    [
      'an image with too many layers',
      () => parseSaved(bytesOf(`[{"Config":"a","Layers":[${'"x",'.repeat(10_000)}"x"]}]`)),
      'SIZE_INVALID',
      413,
    ],
    [
      'an image whose tags are not strings',
      () => parseSaved(bytesOf(`[{"Config":"a","RepoTags":[${'7,'.repeat(250_000)}7]}]`)),
      'ARCHIVE_INVALID',
      400,
    ],
  ])('such as %s are refused with a short error', (_name, parse, code, status) => {
    const error = refusal(parse);
    expect([error.code, error.status]).toEqual([code, status]);
    expect(JSON.stringify(error.details).length).toBeLessThan(2000);
  });
});

describe('documents of the management API', () => {
  it('are refused with at most fifty problems', () => {
    const unknown = Object.fromEntries(Array.from({ length: 3000 }, (_, n) => [`no_option_${n}`, n]));
    const error = refusal(() =>
      decodeRepository({ package_type: 'docker', repo_type: 'local', name: 'x', ...unknown }),
    );
    expect((error.detail as unknown[]).length).toBe(50);
  });
});

describe('readTags', () => {
  it('ignores invalid tags in the list of an upstream', () => {
    expect(readTags({ tags: ['v1', ':', 7, null, 'v2', 'x'.repeat(129)] })).toEqual(['v1', 'v2']);
  });
});
