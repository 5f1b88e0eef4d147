import { describe, expect, it } from 'vitest';
import {
  decodeRepository,
  encodeRepository,
  encodeTime,
  problemsFound,
} from '../../../src/protocol/tables/management.js';
import type { Problem } from '../../../src/protocol/settings/option-schema.js';
import { refusalOf } from '../../support/clients/refusal.js';
import { localConfig } from '../../support/storage/local-config.js';

const document = { name: 'a', package_type: 'docker', repo_type: 'local' };
const config = localConfig('a');

describe('encodeRepository', () => {
  it('returns a repository in snake case', () => {
    expect(encodeRepository({ config, origin: 'managed', createdAt: 0, updatedAt: 1500 })).toEqual({
      name: 'a',
      package_type: 'docker',
      repo_type: 'local',
      sparse: 'indexes',
      trash_seconds: 604_800,
      immutable_tags: [],
      mutable_tags: [],
      description: '',
      origin: 'managed',
      created_at: '1970-01-01T00:00:00.000Z',
      updated_at: '1970-01-01T00:00:01.500Z',
    });
  });

  it('is the inverse of decodeRepository, so that a document can be read, edited and put back', () => {
    const shown = encodeRepository({ config, origin: 'managed', createdAt: 0, updatedAt: 0 });
    expect(decodeRepository(shown)).toEqual(config);
    expect(decodeRepository(shown, { name: 'a', before: undefined })).toEqual(config);
  });
});

describe('decodeRepository', () => {
  it('fills in the defaults', () => {
    expect(decodeRepository(document)).toEqual(config);
  });

  it.each([
    [{ tag_ttl: 1 }, 'tag_ttl: unknown option "tag_ttl": did you mean "tag_ttl_seconds"?'],
    [{ tagTtlSeconds: 1 }, 'tagTtlSeconds: unknown option "tagTtlSeconds": did you mean "tag_ttl_seconds"?'],
    [{ type: 'remote' }, 'type: unknown option "type": did you mean "repo_type"?'],
    [{ tag_ttl_seconds: '5m' }, 'tag_ttl_seconds: must be a number of seconds'],
  ])('reports problems with the options as the API spells them: %j', (added, expected) => {
    const remote = { name: 'a', package_type: 'docker', repo_type: 'remote', url: 'https://a.example' };
    const refusal = expect.objectContaining({
      detail: expect.arrayContaining([
        { path: expected.split(': ', 1)[0], problem: expected.slice(expected.indexOf(': ') + 2) },
      ]) as unknown,
    }) as unknown;
    expect(() => decodeRepository({ ...remote, ...added })).toThrow(refusal);
  });

  it('takes the name from the URL if the document has none', () => {
    expect(
      decodeRepository({ package_type: 'docker', repo_type: 'local', sparse: false }, { name: 'a', before: undefined }),
    ).toEqual({
      ...config,
      sparse: false,
    });
  });

  it.each<[string, unknown, string[]]>([
    ['a string', 'x', ['']],
    ['null', null, ['']],
    ['a list', [document], ['']],
    ['an empty object', {}, ['package_type', 'repo_type']],
    ['no package_type', { name: 'a', repo_type: 'local' }, ['package_type']],
    ['another package_type', { ...document, package_type: 'npm' }, ['package_type']],
    ['no repo_type', { name: 'a', package_type: 'docker' }, ['repo_type']],
    ['an unknown repo_type', { ...document, repo_type: 'x' }, ['repo_type']],
    ['no name', { package_type: 'docker', repo_type: 'local' }, ['name']],
    ['a bad name', { ...document, name: 'A/B' }, ['name']],
    ['an unknown option in snake case', { ...document, tag_ttl_seconds: 1 }, ['tag_ttl_seconds']],
    ['an option in camel case', { ...document, packageType: 'docker' }, ['packageType']],
    ['type, as it is called in code', { ...document, type: 'local' }, ['type']],
    [
      'several problems',
      { ...document, sparse: 'x', package_type: 1, description: 2, a_b: 3 },
      ['a_b', 'description', 'package_type', 'sparse'],
    ],
  ])('refuses %s', (_title, value, paths) => {
    const refusal = refusalOf(() => decodeRepository(value));
    expect(refusal).toMatchObject({ code: 'OPTIONS_INVALID', status: 400 });
    expect((refusal.detail as Problem[]).map(({ path }) => path).sort()).toEqual(expect.arrayContaining(paths));
    if (paths.length > 2) expect(refusal.detail).toHaveLength(paths.length);
  });

  it('refuses another name than the one in the URL', () => {
    const { detail } = refusalOf(() => decodeRepository(document, { name: 'b', before: undefined }));
    expect((detail as Problem[]).map(({ path }) => path)).toEqual(['name']);
  });

  it.each([[['virtual', { toString: 1 }]], [{ toString: 1 }], [7], [null]])('refuses %j as a repo_type', (type) => {
    const { detail } = refusalOf(() => decodeRepository({ ...document, package_type: 'docker', repo_type: type }));
    expect((detail as Problem[]).map(({ path }) => path)).toContain('repo_type');
  });

  it('sets no options through __proto__', () => {
    const sneaky = JSON.parse('{"package_type":"docker","__proto__":{"name":"a","type":"local"}}') as unknown;
    expect(refusalOf(() => decodeRepository(sneaky)).code).toBe('OPTIONS_INVALID');
    const unknown = JSON.parse('{"name":"a","package_type":"docker","repo_type":"local","__proto__":{}}') as unknown;
    expect(refusalOf(() => decodeRepository(unknown)).code).toBe('OPTIONS_INVALID');
  });

  it('reports other problems together with an unknown repo_type', () => {
    const { detail } = refusalOf(() => decodeRepository({ name: 'A', package_type: 'npm', repo_type: 'x' }));
    expect((detail as Problem[]).map(({ path }) => path).sort()).toEqual(['name', 'package_type', 'repo_type']);
  });
});

describe('encodeTime and problemsFound', () => {
  it('encodeTime returns RFC 3339 in UTC', () => {
    expect(encodeTime(Date.UTC(2026, 0, 2, 3, 4, 5, 6))).toBe('2026-01-02T03:04:05.006Z');
  });

  it('problemsFound returns a 400 with the problems in detail', () => {
    const problems = [{ path: 'name', problem: 'is bad' }];
    expect(problemsFound(problems)).toMatchObject({ code: 'OPTIONS_INVALID', status: 400, detail: problems });
  });
});
