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
import * as arbitrary from '../support/content/arbitraries.js';
import { digest } from '../support/content/content.js';
import { refusalOf } from '../support/clients/refusal.js';
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
  ])('accepts %s', (text) => {
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

  it('accepts all names that the grammar generates', () => {
    fc.assert(
      fc.property(arbitrary.name, (text) => {
        expect(parseName(text)).toBe(text);
      }),
    );
  });

  it('accepts the same names as the grammar of the specification', () => {
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
  it.each(['a', 'docker-internal', 'a.b_c__d', 'a'.repeat(128)])('accepts %s', (text) => {
    expect(parseRepositoryName(text)).toBe(text);
  });

  it.each(titled(['', 'a/b', 'A', '-a', 'a-', '..', 'a'.repeat(129)]))('refuses %s', (_title, text) => {
    expect(refusalOf(() => parseRepositoryName(text))).toMatchObject({ code: 'NAME_INVALID', status: 400 });
  });
});

describe('parseTag', () => {
  it.each(
    titled(['a', 'A', '_', '0', 'v1.0', '_.-', 'latest', '1.0_x', `sha256-${'a'.repeat(64)}.sig`, 'x'.repeat(128)]),
  )('accepts %s', (_title, text) => {
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
  it('parses a tag, also one with the form of the fallback tag of a digest', () => {
    const tag = `sha256-${'a'.repeat(64)}`;
    expect(parseReference(tag)).toEqual({ tag });
  });

  it.each([
    ['sha256:baddigeststring', 'DIGEST_INVALID'],
    [':', 'DIGEST_INVALID'],
    ['latest:1', 'DIGEST_INVALID'],
    ['', 'TAG_INVALID'],
    ['a@b', 'TAG_INVALID'],
  ])('treats text with a colon as a digest: %j is %s', (text, code) => {
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
  it('accepts a UUID', () => {
    fc.assert(
      fc.property(arbitrary.session, (text) => {
        expect(parseSessionId(text)).toBe(text);
      }),
    );
  });

  it.each(
    titled(['', 'x', '..', '0B9C0B9C-0000-4000-8000-000000000000', '0'.repeat(36), 'a'.repeat(5000), digest('')]),
  )('refuses %s as an unknown upload', (_title, text) => {
    expect(refusalOf(() => parseSessionId(text))).toMatchObject({ code: 'BLOB_UPLOAD_UNKNOWN', status: 404 });
  });
});
