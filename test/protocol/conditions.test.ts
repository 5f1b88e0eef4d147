import { describe, expect, it } from 'vitest';
import { isMet, parseCondition, type ConditionHeaders } from '../../src/protocol/conditions.js';
import { digestOf } from '../../src/protocol/digest.js';
import { refusalOf } from '../support/clients/refusal.js';

const a = digestOf(Buffer.from('a'));
const b = digestOf(Buffer.from('b'));

const met: readonly [ConditionHeaders, ('a' | 'b' | 'absent')[]][] = [
  [{ 'if-match': '*' }, ['a', 'b']],
  [{ 'if-match': `"${a}"` }, ['a']],
  [{ 'if-match': `"${a}","${b}"` }, ['a', 'b']],
  [{ 'if-match': ` "${b}" ,, "other" ` }, ['b']],
  [{ 'if-match': '"a,b"' }, []],
  [{ 'if-match': '""' }, []],
  [{ 'if-match': `W/"${a}"` }, []],
  [{ 'if-none-match': '*' }, ['absent']],
  [{ 'if-none-match': `"${a}"` }, ['b', 'absent']],
  [{ 'if-none-match': `W/"${a}", "${b}"` }, ['absent']],
  [{ 'if-match': '*', 'if-none-match': `"${a}"` }, ['b']],
  [{ 'if-match': `"${a}"`, 'if-none-match': '*' }, []],
];

describe('isMet()', () => {
  it.each(met)('holds for %j exactly when the content is %j', (headers, expected) => {
    const condition = parseCondition(headers);
    const found = Object.entries({ a, b, absent: undefined })
      .filter(([, present]) => condition !== undefined && isMet(condition, present))
      .map(([name]) => name);
    expect(found).toEqual(expected);
  });
});

describe('parseCondition()', () => {
  it('returns undefined without the headers', () => {
    expect(parseCondition({})).toBeUndefined();
    expect(parseCondition({ 'if-match': undefined, 'if-none-match': undefined })).toBeUndefined();
  });

  const malformed = ['', ' ', ',', a, `"${a}`, `${a}"`, `w/"${a}"`, `W/ "${a}"`, `"${a}" "${b}"`, `*, "${a}"`, '**'];
  it.each([...malformed, `"a b"`, `'${a}'`, Array(101).fill('"x"').join()])('refuses %j with 400', (text) => {
    for (const name of ['if-match', 'if-none-match'] as const) {
      const refusal = refusalOf(() => parseCondition({ [name]: text }));
      expect(refusal).toMatchObject({ code: 'HEADER_INVALID', status: 400 });
      expect(refusal.message.toLowerCase()).toContain(`invalid ${name}: expected * or up to 100 entity tags`);
    }
  });

  it('takes time in proportion to the length of the header', () => {
    for (const text of [','.repeat(100_000), '"'.repeat(100_001), `W/${'"x"'.repeat(30_000)}`]) {
      expect(refusalOf(() => parseCondition({ 'if-match': text })).code).toBe('HEADER_INVALID');
    }
  });
});
