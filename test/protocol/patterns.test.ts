import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matchesAny, matchesPattern, mayMatchImageOf } from '../../src/protocol/patterns.js';

describe('matchesPattern', () => {
  it.each([
    ['library/alpine', 'library/alpine', true],
    ['library/alpine', 'library/alpine2', false],
    ['library/alpine', 'my/library/alpine', false],
    ['', '', true],
    ['', 'a', false],
    ['*', '', true],
    ['*', 'alpine', true],
    ['*', 'library/alpine', false],
    ['library/*', 'library/alpine', true],
    ['library/*', 'library/', true],
    ['library/*', 'library', false],
    ['library/*', 'library/alpine/edge', false],
    ['*/alpine', 'library/alpine', true],
    ['**', 'library/alpine', true],
    ['**', '', true],
    ['library/**', 'library/a/b/c', true],
    ['**/alpine', 'a/b/alpine', true],
    ['**/alpine', 'alpine', false],
    ['a*b*c', 'aXbYbZc', true],
    ['a*b*c', 'aXbYbZ', false],
    ['*:latest', 'alpine:latest', true],
    ['library/alpine:3.*', 'library/alpine:3.19', true],
    ['library/alpine:3.*', 'library/alpine:31', false],
    ['v?', 'v1', false],
    ['v?', 'v?', true],
    ['[a]+(b)', '[a]+(b)', true],
    ['***', 'a/b', true],
  ])('returns for pattern %j and name %j: %j', (pattern, name, matches) => {
    expect(matchesPattern(pattern, name)).toBe(matches);
  });

  it('agrees with an equivalent regular expression', () => {
    const text = (...units: string[]) => fc.string({ unit: fc.constantFrom(...units), maxLength: 8 });
    fc.assert(
      fc.property(text('a', 'b', '/', '*'), text('a', 'b', '/'), (pattern, name) => {
        const expression = pattern.replaceAll(/\*\*|\*/g, (star) => (star === '*' ? '[^/]*' : '.*'));
        expect(matchesPattern(pattern, name)).toBe(new RegExp(`^${expression}$`).test(name));
      }),
      { numRuns: 1000, seed: 4 },
    );
  });

  it('returns for many stars, for which a regular expression would take forever', () => {
    expect(matchesPattern(`${'a*'.repeat(100)}b`, 'a'.repeat(255))).toBe(false);
    expect(matchesPattern(`${'a**'.repeat(100)}b`, 'a'.repeat(255))).toBe(false);
  });
});

describe('matchesAny', () => {
  it('returns whether any of the patterns matches', () => {
    expect(matchesAny(['a', 'b/*'], 'b/c')).toBe(true);
    expect(matchesAny(['a', 'b/*'], 'c')).toBe(false);
    expect(matchesAny([], 'a')).toBe(false);
  });
});

describe('mayMatchImageOf', () => {
  it.each([
    ['local/app', 'local', true],
    ['local/**', 'local', true],
    ['local/*', 'local', true],
    ['local*/app', 'local', true],
    ['*/app', 'local', true],
    ['**', 'local', true],
    ['lo**', 'local', true],
    ['local**', 'local', true],
    ['**/app', 'local', true],
    ['other/**', 'local', false],
    ['local-2/**', 'local', false],
    ['x**', 'local', false],
    // Without a slash or `**`, it matches names of one component only.
    ['local', 'local', false],
    ['*', 'local', false],
    ['', 'local', false],
  ])('returns for pattern %j and repository %j: %j', (pattern, repository, may) => {
    expect(mayMatchImageOf(pattern, repository)).toBe(may);
  });
});
