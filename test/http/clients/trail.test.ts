import { describe, expect, it } from 'vitest';
import { readTrail } from '../../../src/http/clients/trail.js';
import { refusalOf } from '../../support/clients/refusal.js';

describe('readTrail', () => {
  it.each<[string | undefined, string[]]>([
    [undefined, []],
    ['', []],
    ['1.1 one', ['one']],
    ['1.1 one, 1.0 two', ['one', 'two']],
    ['1.1 one,HTTP/2 two:8080 (a comment)', ['one', 'two:8080']],
    [' 1.1   one ', ['one']],
    ['nonsense', []],
    [',,', []],
    ['1.1 self2', ['self2']],
  ])('parses Via: %s', (via, expected) => {
    expect(readTrail(via, 'self')).toEqual(expected);
  });

  it.each(['1.1 self', '1.1 one, 1.1 self', '1.1 self, 1.1 one', '1.1 one,1.0 self (a comment),1.1 two'])(
    'detects the loop in %s',
    (via) => {
      const refusal = refusalOf(() => readTrail(via, 'self'));
      expect(refusal).toMatchObject({ code: 'UNAVAILABLE', status: 508 });
    },
  );

  it('accepts twenty registries in a row, and treats twenty-one as a loop', () => {
    const hops = (count: number): string => Array.from({ length: count }, (_, i) => `1.1 hop-${i}`).join(', ');
    expect(readTrail(hops(20), 'self')).toHaveLength(20);
    expect(refusalOf(() => readTrail(hops(21), 'self')).status).toBe(508);
  });
});
