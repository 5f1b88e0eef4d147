import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatNextLink,
  formatUploadRange,
  matchesEntityTag,
  parseContentRange,
  parsePageSize,
  parseRange,
} from '../../src/protocol/headers.js';
import { refusalOf } from '../support/clients/refusal.js';
import { titled } from '../support/shown.js';

describe('parseContentRange', () => {
  it('parses <start>-<end>', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (start, more) => {
        expect(parseContentRange(`${start}-${start + more}`)).toEqual({ start, end: start + more });
      }),
    );
  });

  it.each(
    titled([
      '',
      '-',
      '0',
      '0-',
      '-1',
      '1-0',
      'bytes 0-1',
      'bytes=0-1',
      'bytes 0-1/2',
      '0-1/2',
      '0-1/*',
      ' 0-1',
      '0-1 ',
      '0 - 1',
      '+0-1',
      '0--1',
      '0-1-2',
      '0x0-0x1',
      '0-1e3',
      '0.0-1',
      'a-b',
      '0-1,2-3',
      `0-${'9'.repeat(40)}`,
      `0-${'9'.repeat(100_000)}`,
    ]),
  )('refuses %s', (_title, text) => {
    const refusal = refusalOf(() => parseContentRange(text));
    expect(refusal).toMatchObject({ code: 'RANGE_INVALID', status: 416 });
    expect(JSON.stringify(refusal.detail).length).toBeLessThan(1000);
  });
});

describe('formatProgress', () => {
  it.each([
    [0, '202', '0-0'],
    [0, 'status', '0--1'],
    [1, '202', '0-0'],
    [1, 'status', '0-0'],
    [512, '202', '0-511'],
    [512, 'status', '0-511'],
  ] as const)('formats %i bytes in a %s response as %s', (size, answer, expected) => {
    expect(formatUploadRange(size, answer)).toBe(expected);
  });

  it('returns a range whose end plus 1 is the next offset', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 40 }), fc.constantFrom('202', 'status'), (size, answer) => {
        const { start, end } = parseContentRange(formatUploadRange(size, answer));
        expect([start, end + 1]).toEqual([0, size]);
      }),
    );
  });

  it('never returns 0--1 for a 202, because Docker fails on it', () => {
    fc.assert(
      fc.property(fc.nat(), (size) => {
        expect(formatUploadRange(size, '202')).toMatch(/^0-[0-9]+$/);
      }),
    );
  });
});

/** Applies one well-formed range as RFC 9110, 14.1.2 defines it. Returns `undefined` if no byte is in it. */
function modelRange(first: number | undefined, last: number | undefined, size: number): [number, number] | undefined {
  const bytes = Array.from({ length: size }, (_, i) => i).filter((i) =>
    first === undefined ? i >= size - (last ?? 0) : i >= first && i <= (last ?? Infinity),
  );
  const [start, end] = [bytes[0], bytes.at(-1)];
  return start === undefined || end === undefined ? undefined : [start, end];
}

function outcome(header: string, size: number): [number, number] | undefined {
  try {
    const range = parseRange(header, size);
    if (range === undefined) throw new Error(`${header} was ignored`);
    return [range.start, range.end];
  } catch (error) {
    if (error instanceof Error && error.message.includes('ignored')) throw error;
    const refusal = refusalOf(() => parseRange(header, size));
    expect(refusal).toMatchObject({
      code: 'RANGE_INVALID',
      status: 416,
      headers: { 'Content-Range': `bytes */${size}` },
    });
    return undefined;
  }
}

describe('parseRange', () => {
  it.each([
    ['bytes=500-1499', [500, 1499]],
    ['bytes=500-', [500, 2047]],
    ['bytes=-500', [1548, 2047]],
    ['bytes=2000-5000', [2000, 2047]],
    ['bytes=0-', [0, 2047]],
    ['bytes=0-0', [0, 0]],
    ['bytes=-1', [2047, 2047]],
    ['bytes=-2048', [0, 2047]],
    ['bytes=2047-', [2047, 2047]],
    ['bytes=0-99999999999999999999', [0, 2047]],
    ['bytes=500-0', undefined],
    ['bytes=5000-10000', undefined],
    ['bytes=2048-', undefined],
    ['bytes=-0', undefined],
    ['bytes=99999999999999999999-', undefined],
  ] as const)('parses %s for 2048 bytes', (header, expected) => {
    expect(outcome(header, 2048)).toEqual(expected);
  });

  it('returns the whole content for a longer suffix (RFC 9110, 14.1.2)', () => {
    expect(outcome('bytes=-5000', 2048)).toEqual([0, 2047]);
  });

  it('returns undefined without a Range', () => {
    expect(parseRange(undefined, 2048)).toBeUndefined();
  });

  it.each(
    titled([
      '',
      'bytes',
      'bytes=',
      'bytes=abc',
      'bytes=1',
      'bytes=0x0-0x9',
      'bytes=1e1-1e2',
      'items=0-10',
      'seconds=1-2',
      'bytes=0-10,20-30',
      'bytes=0-0,-1',
      'bytes=0-10, 20-30, 40-50',
      `bytes=${'0-1,'.repeat(1000)}0-1`,
    ]),
  )('returns undefined for %s', (_title, header) => {
    expect(parseRange(header, 2048)).toBeUndefined();
  });

  it('ignores several ranges instead of returning one of them or 416', () => {
    const one = fc.tuple(fc.nat(50), fc.nat(50)).map(([start, more]) => `${start}-${start + more}`);
    fc.assert(
      fc.property(fc.array(one, { minLength: 2, maxLength: 5 }), (ranges) => {
        expect(parseRange(`bytes=${ranges.join(',')}`, 200)).toBeUndefined();
      }),
    );
  });

  it('agrees with a model for every single range', () => {
    const offset = fc.integer({ min: 0, max: 80 });
    const spec = fc.oneof(
      fc.tuple(offset, offset),
      fc.tuple(offset, fc.constant(undefined)),
      fc.tuple(fc.constant(undefined), offset),
    );
    fc.assert(
      fc.property(spec, fc.integer({ min: 1, max: 60 }), ([first, last], size) => {
        expect(outcome(`bytes=${first ?? ''}-${last ?? ''}`, size)).toEqual(modelRange(first, last, size));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('matchesEntityTag', () => {
  it.each([
    [undefined, false],
    ['', false],
    ['"x"', true],
    ['W/"x"', true],
    ['x', true],
    ['*', true],
    ['"a", "x"', true],
    ['"a" ,W/"x", "b"', true],
    ['"y"', false],
    ['"xx"', false],
    ['"x', false],
    ['"a","b"', false],
    ['""', false],
  ])('returns for If-None-Match %j: %s', (header, expected) => {
    expect(matchesEntityTag(header, 'x')).toBe(expected);
  });
});

describe('formatNextLink', () => {
  it('keeps all values for clients that cut the header at the first ";"', () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string({ minLength: 1 }),
          fc.string({
            unit: fc.constantFrom(
              ';',
              '<',
              '>',
              '"',
              '+',
              ' ',
              '%',
              '&',
              '=',
              '#',
              '?',
              '\0',
              '\n',
              'ä',
              '日',
              '😀',
              'a',
              '1',
            ),
          }),
          { maxKeys: 4 },
        ),
        (values) => {
          const query = new URLSearchParams(values);
          const link = formatNextLink('/v2/a/tags/list', query);
          const url = /^<([^<>;\s"]+)>; rel="next"$/.exec(link)?.[1] ?? '';
          const [path, ...rest] = url.split('?');
          expect([path, rest.length]).toEqual(['/v2/a/tags/list', 1]);
          expect([...new URLSearchParams(rest[0])]).toEqual([...query]);
          expect(url).toMatch(/^[\x21-\x7e]+$/);
          expect(rest[0]).not.toContain('+');
        },
      ),
    );
  });
});

describe('parsePageSize', () => {
  it.each([
    [null, 100],
    ['0', 0],
    ['1', 1],
    ['007', 7],
    ['100', 100],
    ['101', 100],
    ['999999999999', 100],
  ])('returns for %j with a maximum of 100: %i', (text, expected) => {
    expect(parsePageSize(text, 100)).toBe(expected);
  });

  it.each(titled(['', ' ', '-1', '+1', '1.5', '1e3', '0x10', 'abc', 'NaN', '１', `x${'1'.repeat(100_000)}`]))(
    'refuses %s',
    (_title, text) => {
      const refusal = refusalOf(() => parsePageSize(text, 100));
      expect(refusal).toMatchObject({ code: 'PAGINATION_NUMBER_INVALID', status: 400 });
      expect(JSON.stringify(refusal.detail).length).toBeLessThan(1000);
    },
  );
});
