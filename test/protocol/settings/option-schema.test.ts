import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { describeProblems, strictOptions } from '../../../src/protocol/settings/option-schema.js';

const schema = strictOptions({
  tagTtlRules: z.array(z.string()).optional(),
  tagTtlSeconds: z.number().optional(),
  host: z.string().optional(),
  maxCacheBytes: z.number().optional(),
  access: z.string().optional(),
});

function problemsOf(value: unknown): string[] {
  const checked = z.object({ list: z.array(schema) }).safeParse({ list: [value] });
  return checked.success ? [] : describeProblems(checked.error).map(({ path, problem }) => `${path}: ${problem}`);
}

describe('an unknown option', () => {
  it.each([
    ['tagTTL', 'tagTtlSeconds'],
    ['tag_ttl_seconds', 'tagTtlSeconds'],
    ['cacheMaxBytes', 'maxCacheBytes'],
    ['hots', 'host'],
    ['acces', 'access'],
  ])('%s is reported with the suggestion %s', (name, expected) => {
    expect(problemsOf({ [name]: 1 })).toEqual([
      `list[0].${name}: unknown option "${name}": did you mean "${expected}"?`,
    ]);
  });

  it.each(['retention', 'x', 'a\nb', '', 'h'.repeat(1000)])('%j is reported without a suggestion', (name) => {
    expect(problemsOf({ [name]: 1 })).toEqual([`list[0].${name}: unknown option ${JSON.stringify(name)}`]);
  });

  it('is reported together with others and with wrong values', () => {
    expect(problemsOf({ hots: 1, 'b\nc': 2, access: 3 }).toSorted()).toEqual([
      'list[0].access: Invalid input: expected string, received number',
      'list[0].b\nc: unknown option "b\\nc"',
      'list[0].hots: unknown option "hots": did you mean "host"?',
    ]);
  });
});
