import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  algorithmOf,
  digestOf,
  formatDigest,
  hexOf,
  isAlgorithm,
  isDescriptorDigest,
  parseAlgorithm,
  parseDigest,
} from '../../src/protocol/digest.js';
import * as arbitrary from '../support/content/arbitraries.js';
import { refusalOf } from '../support/clients/refusal.js';
import { shown, titled } from '../support/shown.js';

const hex64 = 'a0'.repeat(32);
const hex128 = 'a0'.repeat(64);

describe('parseDigest', () => {
  it('accepts sha256 and sha512 digests, from which algorithmOf and hexOf return the parts', () => {
    fc.assert(
      fc.property(arbitrary.digest, (text) => {
        const digest = parseDigest(text);
        expect(`${algorithmOf(digest)}:${hexOf(digest)}`).toBe(text);
      }),
    );
  });

  it.each(
    titled([
      '',
      ':',
      'sha256',
      'sha256:',
      `:${hex64}`,
      hex64,
      'sha256:baddigeststring',
      `sha256:${hex64.toUpperCase()}`,
      `SHA256:${hex64}`,
      `sha256:${hex64.slice(1)}`,
      `sha256:${hex64}0`,
      `sha256:${hex128}`,
      `sha512:${hex64}`,
      `sha512:${hex128}0`,
      `sha384:${'a'.repeat(96)}`,
      `md5:${'a'.repeat(32)}`,
      `blake3:${hex64}`,
      `sha256:${hex64}\n`,
      ` sha256:${hex64}`,
      `sha256:sha256:${hex64}`,
      `sha256:../${hex64.slice(3)}`,
      `sha256:${'g'.repeat(64)}`,
      `constructor:${hex64}`,
      `__proto__:${hex64}`,
      `sha256:${'a'.repeat(5_000_000)}`,
    ]),
  )('refuses %s', (_title, text) => {
    const refusal = refusalOf(() => parseDigest(text));
    expect(refusal).toMatchObject({ code: 'DIGEST_INVALID', status: 400 });
    expect(JSON.stringify(refusal.detail).length).toBeLessThan(2000);
  });
});

describe('isDescriptorDigest', () => {
  const cases = [
    [`sha256:${hex64}`, true],
    [`sha512:${hex128}`, true],
    [`blake3:${hex64}`, true],
    ['sha384:AbC=_-', true],
    ['multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8', true],
    ['sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564', true],
    ['a.b_c-d+e:1', true],
    [`sha256:${hex64.toUpperCase()}`, false],
    [`sha256:${hex64}0`, false],
    ['sha512:0', false],
    ['sha384', false],
    ['sha384:', false],
    [':abc', false],
    ['Sha384:abc', false],
    ['a..b:abc', false],
    ['sha384:a/b', false],
    ['sha384:a b', false],
    [`sha384:${'a'.repeat(600)}`, false],
  ] as const;
  it.each(cases.map(([text, expected]) => [shown(text), expected, text] as const))(
    'returns for %s: %s',
    (_, expected, text) => {
      expect(isDescriptorDigest(text)).toBe(expected);
    },
  );
});

describe('parseAlgorithm', () => {
  it.each(['sha256', 'sha512'])('accepts %s', (text) => {
    expect(parseAlgorithm(text)).toBe(text);
    expect(isAlgorithm(text)).toBe(true);
  });

  it.each(titled(['', 'sha384', 'SHA256', 'md5', 'blake3', 'sha256 ', 'toString', 'x'.repeat(100_000)]))(
    'refuses %s',
    (_title, text) => {
      const refusal = refusalOf(() => parseAlgorithm(text));
      expect(refusal).toMatchObject({ code: 'DIGEST_INVALID', status: 400 });
      expect(JSON.stringify(refusal.detail).length).toBeLessThan(1000);
      expect(isAlgorithm(text)).toBe(false);
    },
  );
});

describe('digestOf', () => {
  it('returns the known digests of no bytes and of the empty descriptor', () => {
    expect(digestOf(Buffer.alloc(0))).toBe('sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(digestOf(Buffer.from('{}'))).toBe('sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a');
  });

  it('returns the same as formatDigest, in a form that parseDigest accepts', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.constantFrom('sha256' as const, 'sha512' as const), (bytes, algorithm) => {
        const digest = digestOf(bytes, algorithm);
        expect(parseDigest(digest)).toBe(formatDigest(algorithm, createHash(algorithm).update(bytes)));
        expect(algorithmOf(digest)).toBe(algorithm);
      }),
    );
  });
});
