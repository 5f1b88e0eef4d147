import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decide,
  type ImageFacts,
  type ManifestFacts,
  type TagFacts,
} from '../../../src/operations/retention/retention-rules.js';
import { digestOf, type Digest } from '../../../src/protocol/digest.js';
import { parseTag } from '../../../src/protocol/names.js';
import { matchesPattern } from '../../../src/protocol/patterns.js';
import { retentionSchema, type RetentionPolicy } from '../../../src/protocol/settings/retention-config.js';

const now = 1_000_000;
const digest = (name: string): Digest => digestOf(Buffer.from(name));
const policyOf = (policy: object): RetentionPolicy =>
  retentionSchema.parse({ policies: [{ names: ['**'], ...policy }] }).policies[0] as RetentionPolicy;
const tag = (name: string, pushedAt: number, rest: Partial<TagFacts> = {}): TagFacts => {
  return { name: parseTag(name), digest: digest(name), pushedAt, ...rest };
};
const manifest = (name: string, rest: Partial<ManifestFacts> = {}): ManifestFacts => {
  return { digest: digest(name), lastUsedAt: 0, bytes: 1, references: [], ...rest };
};
const tagsOf = (policy: RetentionPolicy, tags: readonly TagFacts[]): (string | undefined)[] =>
  decide(policy, { tags, manifests: [] }, now).doomed.map((one) => one.tag);
const names = new Map<string, string>();
const manifestsOf = (policy: RetentionPolicy, facts: ImageFacts): string[] => {
  for (const name of ['a', 'b', 'c', 'index', 'sig']) names.set(digest(name), name);
  return decide(policy, facts, now)
    .doomed.filter(({ kind }) => kind === 'manifest')
    .map((one) => names.get(one.digest) ?? one.digest);
};

describe('retention of tags', () => {
  const tags = [tag('latest', 1), tag('v1', 2), tag('v2', 3), tag('ci-1', 4), tag('ci-2', 5), tag('ci-3', 6)];

  it.each([
    { policy: {}, gone: [] },
    { policy: { keep: [{ tags: ['latest', 'v*'] }] }, gone: ['ci-1', 'ci-2', 'ci-3'] },
    { policy: { keep: [{ tags: ['**'], newest: 2 }] }, gone: ['latest', 'v1', 'v2', 'ci-1'] },
    { policy: { keep: [{ tags: ['ci-*'], newest: 1 }, { tags: ['v*'] }] }, gone: ['latest', 'ci-1', 'ci-2'] },
    { policy: { keep: [{ tags: ['**'], usedWithinSeconds: 999 }] }, gone: [] },
    { policy: { keep: [{ tags: ['**'], usedWithinSeconds: 0 }] }, gone: tags.map(({ name }) => name) },
    { policy: { keep: [{ tags: ['none'] }] }, gone: tags.map(({ name }) => name) },
  ])('deletes $gone by $policy', ({ policy, gone }) => {
    expect(
      tagsOf(
        policyOf(policy),
        tags.map((one) => ({ ...one, pushedAt: now - 1000 + one.pushedAt })),
      ),
    ).toEqual(gone);
  });

  it('keeps tags that were pulled recently, and immutable ones', () => {
    const policy = policyOf({ keep: [{ tags: ['**'], usedWithinSeconds: 100 }] });
    const old = [tag('pulled', 1, { pulledAt: now - 5000 }), tag('fixed', 1, { immutable: 'f*' }), tag('old', 1)];
    expect(tagsOf(policy, old)).toEqual(['old']);
  });

  it('keeps all tags that were pushed at the same time as the last one of the newest', () => {
    const same = [tag('a', 5), tag('b', 5), tag('c', 5), tag('d', 1)];
    expect(tagsOf(policyOf({ keep: [{ tags: ['**'], newest: 1 }] }), same)).toEqual(['d']);
  });

  it('reports the share of the tags that it deletes', () => {
    const { share } = decide(policyOf({ keep: [{ tags: ['v*'] }] }), { tags, manifests: [] }, now);
    expect(share).toBeCloseTo(4 / 6);
  });

  it('agrees with a model in both directions', () => {
    const line = fc.record(
      {
        tags: fc.constantFrom(['**'], ['a*'], ['b*', 'c']),
        newest: fc.integer({ min: 1, max: 4 }),
        usedWithinSeconds: fc.integer({ min: 0, max: 60 }),
      },
      { requiredKeys: ['tags'] },
    );
    const facts = fc.uniqueArray(
      fc.record({
        name: fc.constantFrom('a', 'a1', 'a2', 'b', 'b1', 'c', 'd').map(parseTag),
        pushedAt: fc.integer({ min: now - 60_000, max: now }),
        pulledAt: fc.option(fc.integer({ min: now - 60_000, max: now }), { nil: undefined }),
        immutable: fc.option(fc.constant('x'), { nil: undefined, freq: 5 }),
      }),
      { selector: ({ name }) => name },
    );
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 3 }), facts, (keep, given) => {
        const all = given.map((one) => ({ ...one, digest: digest(one.name) }));
        const gone = new Set(tagsOf(policyOf({ keep }), all));
        for (const one of all) {
          const stays = keep.some(({ tags: patterns, newest = Infinity, usedWithinSeconds = Infinity }) => {
            const matching = all.filter(({ name }) => patterns.some((pattern) => matchesPattern(pattern, name)));
            const rank = matching.filter(({ pushedAt }) => pushedAt > one.pushedAt).length;
            const used = Math.max(one.pushedAt, one.pulledAt ?? 0) >= now - usedWithinSeconds * 1000;
            return matching.includes(one) && rank < newest && used;
          });
          expect(gone.has(one.name)).toBe(!stays && one.immutable === undefined);
        }
      }),
      { numRuns: 300, seed: 14 },
    );
  });
});

describe('retention of untagged manifests', () => {
  const policy = policyOf({ untagged: { keepSeconds: 100 } });
  const young = now - 5000;

  it.each<{ what: string; facts: ImageFacts; gone: string[] }>([
    {
      what: 'keeps tagged ones',
      facts: { tags: [tag('a', 1)], manifests: [manifest('a'), manifest('b')] },
      gone: ['b'],
    },
    {
      what: 'keeps young ones',
      facts: { tags: [], manifests: [manifest('a', { lastUsedAt: young }), manifest('b')] },
      gone: ['b'],
    },
    {
      what: 'keeps the manifests of a tagged index',
      facts: {
        tags: [tag('index', 1)],
        manifests: [manifest('index', { references: [digest('a')] }), manifest('a'), manifest('b')],
      },
      gone: ['b'],
    },
    {
      what: 'deletes an index before its manifests',
      facts: { tags: [], manifests: [manifest('a'), manifest('index', { references: [digest('a')] })] },
      gone: ['index', 'a'],
    },
    {
      what: 'keeps referrers with their subject',
      facts: { tags: [tag('a', 1)], manifests: [manifest('a'), manifest('sig', { subject: digest('a') })] },
      gone: [],
    },
    {
      what: 'deletes referrers with their subject, and those without one',
      facts: {
        tags: [],
        manifests: [
          manifest('a'),
          manifest('sig', { subject: digest('a') }),
          manifest('b', { subject: digest('none') }),
        ],
      },
      gone: ['a', 'b', 'sig'],
    },
  ])('$what', ({ facts, gone }) => {
    expect(manifestsOf(policy, facts)).toEqual(gone);
  });

  it('deletes an old manifest together with its last tag', () => {
    const both = policyOf({ keep: [{ tags: ['v*'] }], untagged: { keepSeconds: 100 } });
    const facts = {
      tags: [tag('a', 1), tag('v1', 1, { digest: digest('b') })],
      manifests: [manifest('a'), manifest('b')],
    };
    expect(manifestsOf(both, facts)).toEqual(['a']);
  });

  it('deletes nothing without a rule for them', () => {
    expect(manifestsOf(policyOf({ keep: [{ tags: ['**'] }] }), { tags: [], manifests: [manifest('a')] })).toEqual([]);
  });
});

describe('retention policies', () => {
  it.each([
    ['no policies', { policies: [] }, 'policies'],
    ['an empty keep', { policies: [{ names: ['**'], keep: [] }] }, 'policies,0,keep'],
    ['no names', { policies: [{ names: [] }] }, 'policies,0,names'],
    ['newest: 0', { policies: [{ names: ['**'], keep: [{ tags: ['**'], newest: 0 }] }] }, 'policies,0,keep,0,newest'],
    ['a share of 2', { policies: [{ names: ['**'], maxShare: 2 }] }, 'policies,0,maxShare'],
    ['a run each second', { everySeconds: 1, policies: [{ names: ['**'] }] }, 'everySeconds'],
    ['an unknown option', { policies: [{ names: ['**'], keeps: [] }] }, 'policies,0'],
  ])('are refused with %s', (_what, settings, path) => {
    const checked = retentionSchema.safeParse(settings);
    expect(checked.error?.issues.map((issue) => issue.path.join())).toEqual([path]);
  });
});
