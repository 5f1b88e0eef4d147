import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { intersect, reachOf, reachOfImages } from '../../../src/access/rules/reach.js';
import { RuleSet } from '../../../src/access/rules/rules.js';
import type { Principal, Reach } from '../../../src/ports/access/access.js';
import type { AccessLimit, AccessRule, Permission } from '../../../src/protocol/settings/access-config.js';

const letters = fc.string({ unit: fc.constantFrom('a', 'b', '-', '/'), minLength: 1, maxLength: 5 });
const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '-', '/', '*', '**'), minLength: 1, maxLength: 6 });
const allow = fc.uniqueArray(fc.constantFrom<Permission>('pull', 'push', 'admin'), { minLength: 1, maxLength: 2 });
const rule: fc.Arbitrary<AccessRule> = fc.record({
  names: fc.option(fc.array(pattern, { minLength: 1, maxLength: 3 }), { nil: undefined, freq: 8 }),
  users: fc.constantFrom(['ann'], ['ben']),
  allow,
});
const limit: fc.Arbitrary<AccessLimit> = fc.record({ names: fc.array(pattern, { minLength: 1, maxLength: 2 }), allow });

function expectSound({ prefixes, has }: Reach, images: readonly string[]): void {
  expect(prefixes).toEqual([...prefixes].sort());
  for (const one of prefixes)
    for (const other of prefixes) if (one !== other) expect(one.startsWith(other)).toBe(false);
  for (const image of images.filter(has)) expect(prefixes.some((prefix) => image.startsWith(prefix))).toBe(true);
}

describe('the reach of a principal', () => {
  it('agrees with permits() for every image, under any rules and limits', () => {
    const images = fc.array(letters, { maxLength: 20 });
    const rules = fc.array(rule, { maxLength: 6 });
    const limits = fc.option(fc.array(limit, { maxLength: 3 }), { nil: undefined });
    fc.assert(
      fc.property(rules, limits, images, fc.constantFrom('a', 'a-b'), (list, limitList, names, repository) => {
        const principal: Principal = { id: 'ann', groups: [], via: 'basic', limits: limitList };
        const set = new RuleSet(list);
        const reach = set.reach(principal, repository);
        expectSound(reach, names);
        for (const image of names) {
          expect([image, reach.has(image)]).toEqual([image, set.permits(principal, 'pull', { repository, image })]);
        }
      }),
    );
  });

  it.each<[patterns: string[], prefixes: string[]]>([
    [['**'], ['']],
    [['docker/**'], ['']],
    [['*/team/*'], ['']],
    [
      ['docker/team/**', 'docker/team/app', 'docker/base'],
      ['base', 'team/'],
    ],
    [['docker/a*', 'docker/ab/**', 'docker-2/x/**'], ['a']],
    [['other/**', 'docke'], []],
  ])('of the patterns %j has the prefixes %j', (patterns, prefixes) => {
    expect(reachOf(patterns, 'docker').prefixes).toEqual(prefixes);
  });

  it('intersects with another by the longer of their prefixes', () => {
    const shared = intersect(
      reachOf(['docker/team/**', 'docker/base'], 'docker'),
      reachOf(['docker/team/a/*'], 'docker'),
    );
    expect([shared.prefixes, shared.has('team/a/x'), shared.has('team/b')]).toEqual([['team/a/'], true, false]);
    expect(intersect(reachOfImages(['a', 'b']), reachOfImages(['b', 'c'])).has('b')).toBe(true);
    expect(intersect(reachOfImages(['a']), reachOfImages(['c'])).prefixes).toEqual([]);
  });
});
