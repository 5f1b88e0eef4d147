import { describe, expect, it } from 'vitest';
import { describeProvenance } from '../../src/http/provenance.js';
import type { Provenance } from '../../src/ports/metadata/images.js';

const now = 1_000_000;

describe('describeProvenance', () => {
  it.each<[string, Provenance | undefined, Record<string, string>]>([
    ['no provenance', undefined, {}],
    ['a hit', { repository: 'hub', cache: 'hit' }, { 'X-Cache': 'hit', 'X-Cache-Repository': 'hub' }],
    [
      'a miss that was checked just now',
      { repository: 'hub', cache: 'miss', checkedAt: now },
      { 'X-Cache': 'miss', 'X-Cache-Repository': 'hub', Age: '0' },
    ],
    [
      'an age in whole seconds',
      { repository: 'hub', cache: 'hit', checkedAt: now - 1999 },
      { 'X-Cache': 'hit', 'X-Cache-Repository': 'hub', Age: '1' },
    ],
    [
      'a clock that was set back',
      { repository: 'hub', cache: 'hit', checkedAt: now + 5000 },
      { 'X-Cache': 'hit', 'X-Cache-Repository': 'hub', Age: '0' },
    ],
    [
      'a stale response',
      { repository: 'hub', cache: 'stale', checkedAt: now - 60_000, reason: 'upstream up.example failed: (429)' },
      {
        'X-Cache': 'stale',
        'X-Cache-Repository': 'hub',
        Age: '60',
        Warning: '299 - "stale: upstream up.example failed: (429)"',
      },
    ],
    [
      'a stale response without a reason',
      { repository: 'hub', cache: 'stale' },
      { 'X-Cache': 'stale', 'X-Cache-Repository': 'hub', Warning: '299 - "stale: the upstream is unavailable"' },
    ],
  ])('returns the headers for %s', (_title, provenance, expected) => {
    expect(describeProvenance(provenance, now)).toEqual(expected);
  });

  it('replaces characters of the reason that are invalid in a header', () => {
    const reason = `a "quote", a \\, a line\r\nSet-Cookie: x, ${'é'.repeat(1000)}`;
    const { Warning = '' } = describeProvenance({ repository: 'hub', cache: 'stale', reason }, now);
    expect(Warning).toMatch(/^299 - "[ -!#-[\]-~]*"$/);
    expect(Warning.length).toBeLessThan(600);
  });
});
