import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatReference,
  parseName,
  parseReference,
  parseRepositoryName,
  parseSessionId,
  parseTag,
} from '../../src/protocol/names.js';
import * as arbitrary from '../support/arbitraries.js';
import { digest } from '../support/content.js';
import { refusalOf } from '../support/refusal.js';
import { titled } from '../support/shown.js';

describe('parseName', () => {
  it.each([
    'a',
    '0',
    'a/b',
    'a.b',
    'a_b',
    'a__b',
    'a-b',
    'a-----b',
    'local/blobs/uploads',
    'v2/manifests/tags/list',
    '1/2/3/4/5',
    'a'.repeat(255),
  ])('takes %s', (text) => {
    expect(parseName(text)).toBe(text);
  });

  it.each(
    titled([
      '',
      '/',
      'a/',
      '/a',
      'a//b',
      'A',
      'a/B',
      'a..b',
      'a._b',
      'a___b',
      'a-_b',
      '.a',
      'a.',
      '_a',
      'a_',
      '-a',
      'a-',
      'a/.',
      'a/..',
      '../a',
      'a b',
      'a+b',
      'a:b',
      'a\\b',
      'a\0b',
      'a\n',
      'ä',
      'a%2fb',
      'a'.repeat(256),
      `${'a/'.repeat(127)}ab`,
      'a-'.repeat(5_000_000),
    ]),
  )('refuses %s', (_title, text) => {
    const refusal = refusalOf(() => parseName(text));
    expect(refusal).toMatchObject({ code: 'NAME_INVALID', status: 400 });
    expect(JSON.stringify(refusal.detail).length).toBeLessThan(2000);
  });

  it('takes all that the grammar makes', () => {
    fc.assert(
      fc.property(arbitrary.name, (text) => {
        expect(parseName(text)).toBe(text);
      }),
    );
  });

  it('takes what the grammar of the spec takes, and nothing else', () => {
    const grammar = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/;
    const nearName = fc.string({ unit: fc.constantFrom(...'ab0._-/A '.split('')), maxLength: 12 });
    fc.assert(
      fc.property(nearName, (text) => {
        if (grammar.test(text)) expect(parseName(text)).toBe(text);
        else expect(refusalOf(() => parseName(text)).code).toBe('NAME_INVALID');
      }),
      { numRuns: 1000 },
    );
  });
});

describe('parseRepositoryName', () => {
  it.each(['a', 'docker-internal', 'a.b_c__d', 'a'.repeat(128)])('takes %s', (text) => {
    expect(parseRepositoryName(text)).toBe(text);
  });

  it.each(titled(['', 'a/b', 'A', '-a', 'a-', '..', 'a'.repeat(129)]))('refuses %s', (_title, text) => {
    expect(refusalOf(() => parseRepositoryName(text))).toMatchObject({ code: 'NAME_INVALID', status: 400 });
  });
});

describe('parseTag', () => {
  it.each(
    titled(['a', 'A', '_', '0', 'v1.0', '_.-', 'latest', '1.0_x', `sha256-${'a'.repeat(64)}.sig`, 'x'.repeat(128)]),
  )('takes %s', (_title, text) => {
    expect(parseTag(text)).toBe(text);
  });

  it.each(
    titled(['', '.a', '-a', 'a+b', 'a/b', 'a b', 'a:b', 'ä', 'a\n', 'a\0', 'x'.repeat(129), 'x'.repeat(5_000_000)]),
  )('refuses %s', (_title, text) => {
    const refusal = refusalOf(() => parseTag(text));
    expect(refusal).toMatchObject({ code: 'TAG_INVALID', status: 400 });
    expect(JSON.stringify(refusal.detail).length).toBeLessThan(2000);
  });
});

describe('parseReference', () => {
  it('reads a tag as it is, also one that looks like the fallback tag of a digest', () => {
    const tag = `sha256-${'a'.repeat(64)}`;
    expect(parseReference(tag)).toEqual({ tag });
  });

  it.each([
    ['sha256:baddigeststring', 'DIGEST_INVALID'],
    [':', 'DIGEST_INVALID'],
    ['latest:1', 'DIGEST_INVALID'],
    ['', 'TAG_INVALID'],
    ['a@b', 'TAG_INVALID'],
  ])('takes %j for a digest if it holds a colon: %s', (text, code) => {
    expect(refusalOf(() => parseReference(text)).code).toBe(code);
  });

  it('is the inverse of formatReference', () => {
    fc.assert(
      fc.property(fc.oneof(arbitrary.tag, arbitrary.digest), (text) => {
        expect(formatReference(parseReference(text))).toBe(text);
      }),
    );
  });
});

describe('parseSessionId', () => {
  it('takes a UUID', () => {
    fc.assert(
      fc.property(arbitrary.session, (text) => {
        expect(parseSessionId(text)).toBe(text);
      }),
    );
  });

  it.each(
    titled(['', 'x', '..', '0B9C0B9C-0000-4000-8000-000000000000', '0'.repeat(36), 'a'.repeat(5000), digest('')]),
  )('does not know %s', (_title, text) => {
    expect(refusalOf(() => parseSessionId(text))).toMatchObject({ code: 'BLOB_UPLOAD_UNKNOWN', status: 404 });
  });
});
