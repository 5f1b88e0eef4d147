import { describe, expect, it } from 'vitest';
import { repositoryConfigSchema } from '../../../src/protocol/settings/repository-config.js';
import { describeProblems, type Problem } from '../../../src/protocol/settings/option-schema.js';

function problemsOf(document: unknown): Problem[] {
  const { error } = repositoryConfigSchema.safeParse(document);
  return error === undefined ? [] : describeProblems(error);
}

describe('repositoryConfigSchema', () => {
  it('fills in the defaults', () => {
    expect(repositoryConfigSchema.parse({ name: 'a', type: 'local' })).toEqual({
      name: 'a',
      type: 'local',
      sparse: 'indexes',
      trashSeconds: 604_800,
      immutableTags: [],
      mutableTags: [],
      description: '',
    });
  });

  it('keeps the given values', () => {
    const config = {
      name: 'a-b.c',
      type: 'local',
      sparse: false,
      trashSeconds: 60,
      description: 'for the team',
      immutableTags: ['v*'],
      mutableTags: ['v*-rc*'],
    };
    expect(repositoryConfigSchema.parse(config)).toEqual(config);
  });

  it.each([true, false, 'indexes'])('accepts sparse: %s', (sparse) => {
    expect(repositoryConfigSchema.parse({ name: 'a', type: 'local', sparse })).toMatchObject({ sparse });
  });

  it.each([
    ['no name', { type: 'local' }, ['name']],
    ['a bad name', { name: 'A', type: 'local' }, ['name']],
    ['a name of two parts', { name: 'a/b', type: 'local' }, ['name']],
    ['an empty name', { name: '', type: 'local' }, ['name']],
    ['a name that means the parent folder', { name: '..', type: 'local' }, ['name']],
    ['a long name', { name: 'a'.repeat(129), type: 'local' }, ['name']],
    ['no type', { name: 'a' }, ['type']],
    ['an unknown type', { name: 'a', type: 'distant' }, ['type']],
    ['an unknown option', { name: 'a', type: 'local', color: 'red' }, ['color']],
    ['two unknown options', { name: 'a', type: 'local', color: 'red', size: 1 }, ['color', 'size']],
    ['sparse as text', { name: 'a', type: 'local', sparse: 'true' }, ['sparse']],
    ['a long description', { name: 'a', type: 'local', description: 'x'.repeat(1001) }, ['description']],
    [
      'problems in all options',
      { name: 'A', type: 'local', sparse: 1, description: 2, color: 3 },
      ['name', 'sparse', 'description', 'color'],
    ],
  ])('refuses %s', (_title, document, paths) => {
    const problems = problemsOf(document);
    expect(problems.map(({ path }) => path).sort()).toEqual([...paths].sort());
    for (const { problem } of problems) expect(problem.length).toBeGreaterThan(5);
  });

  it.each([
    ['a text', 'local'],
    ['null', null],
    ['a list', []],
  ])('refuses %s as a whole', (_title, document) => {
    expect(problemsOf(document).map(({ path }) => path)).toContain('');
  });

  it('reports other problems together with an unknown type', () => {
    expect(problemsOf({ name: 'A', type: 'distant', color: 'red' }).map(({ path }) => path)).toEqual(
      expect.arrayContaining(['name', 'type']),
    );
  });
});
