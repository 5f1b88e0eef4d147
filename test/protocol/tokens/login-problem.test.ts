import { describe, expect, it } from 'vitest';
import { shownName } from '../../../src/protocol/tokens/login-problem.js';

describe('shownName', () => {
  it.each([
    ['alice', 'alice'],
    ['José@example', 'José@example'],
    ['a\r\nlevel=error x', 'a\\u{d}\\u{a}level=error x'],
    ['\u001b[31mred', '\\u{1b}[31mred'],
    ['abc\u202efdp', 'abc\\u{202e}fdp'],
    ['a\0b', 'a\\u{0}b'],
    [`aat_0123456789abcdef_${'s'.repeat(43)}`, 'aat_0123456789abcdef…'],
    [`aat_0123${'s'.repeat(43)}`, 'aat_0123…'],
    ['x eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.abc', 'x eyJ…'],
  ])('returns for %j: %s', (name, expected) => {
    expect(shownName(name)).toBe(expected);
  });

  it('returns at most 200 characters', () => {
    expect(shownName('x'.repeat(100_000))).toHaveLength(200);
    expect(shownName('\n'.repeat(200))).toHaveLength(200);
  });
});
