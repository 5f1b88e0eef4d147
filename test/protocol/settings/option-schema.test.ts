import { describe, expect, it } from 'vitest';
import { z } from 'zod/mini';
import { describeProblems, strictOptions } from '../../../src/protocol/settings/option-schema.js';

const schema = strictOptions({
  tagTtlRules: z.optional(z.array(z.string())),
  tagTtlSeconds: z.optional(z.number()),
  host: z.optional(z.string()),
  maxCacheBytes: z.optional(z.number()),
  access: z.optional(z.string()),
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
      'list[0].access: must be a string',
      'list[0].b\nc: unknown option "b\\nc"',
      'list[0].hots: unknown option "hots": did you mean "host"?',
    ]);
  });
});

describe('a wrong value', () => {
  const values = z.object({
    list: z.array(z.string()),
    settings: z.object({}),
    mode: z.enum(['follow', 'pass']),
    isOn: z.boolean(),
    size: z.number().check(z.minimum(1), z.maximum(9)),
    ttl: z.number('must be a number of seconds'),
  });
  const right = { list: [], settings: {}, mode: 'pass', isOn: true, size: 5, ttl: 1 };

  it.each([
    ['list', undefined, 'is required'],
    ['list', 'a', 'must be a list'],
    ['settings', 1, 'must be an object'],
    ['mode', 'skip', 'must be "follow" or "pass"'],
    ['isOn', 'yes', 'must be true or false'],
    ['size', 0, 'must be at least 1'],
    ['size', 10, 'must be at most 9'],
    ['ttl', '5m', 'must be a number of seconds'],
  ])('%s: %j is reported as: %s', (name, value, problem) => {
    const { error } = values.safeParse({ ...right, [name]: value });
    expect(error && describeProblems(error)).toEqual([{ path: name, problem }]);
  });
});
