import { describe, expect, it } from 'vitest';
import { parseConfigFile } from '../../src/command/config-file.js';
import { parseQuantity } from '../../src/command/units.js';

describe('parseQuantity', () => {
  it.each([
    ['tagTtlSeconds', '5m', 300],
    ['tagTtlSeconds', '250ms', 0.25],
    ['tagTtlSeconds', '1.5h', 5400],
    ['tagTtlSeconds', '30 d', 2_592_000],
    ['maxCacheBytes', '100GB', 100e9],
    ['maxCacheBytes', '64MiB', 67_108_864],
    ['maxCacheBytes', '0.3kB', 300],
    ['maxCacheBytes', '2 TiB', 2 ** 41],
    ['minBytesPerSecond', '1kB', 1000],
  ])('converts %s: %s', (option, text, value) => {
    expect(parseQuantity(option, text)).toEqual({ value });
  });

  it.each([
    ['tagTtlSeconds', '5'],
    ['tagTtlSeconds', '5 minutes'],
    ['tagTtlSeconds', '5M'],
    ['tagTtlSeconds', '5MB'],
    ['tagTtlSeconds', '-5m'],
    ['tagTtlSeconds', 'm'],
    ['maxCacheBytes', '5m'],
    ['maxCacheBytes', '1e9B'],
    ['maxCacheBytes', '10Gb'],
    ['maxCacheBytes', '1 toString'],
  ])('rejects %s: %s and lists the accepted forms', (option, text) => {
    const units = option.endsWith('Seconds') ? 'ms, s, m, h, d' : 'B, kB, MB, GB, TB, KiB, MiB, GiB, TiB';
    expect(parseQuantity(option, text)).toEqual({
      problem: expect.stringContaining(`"${text}" must be a number`) as string,
    });
    expect(parseQuantity(option, text)).toEqual({
      problem: expect.stringContaining(`with a unit (${units})`) as string,
    });
  });

  it('returns undefined for other options', () => {
    expect(parseQuantity('description', '5m')).toBeUndefined();
  });
});

describe('units in a configuration file', () => {
  it('are converted in options and in values of variables, but not under names that users choose', () => {
    const text = 'a: { ttlSeconds: 5m, maxBytes: "${SIZE}" }\nhosts: { rackSeconds: 5m }\nlist: [{ ttlSeconds: 1h }]';
    expect(parseConfigFile(text, { SIZE: '1GiB' })).toEqual({
      settings: {
        a: { ttlSeconds: 300, maxBytes: 2 ** 30 },
        hosts: { rackSeconds: '5m' },
        list: [{ ttlSeconds: 3600 }],
      },
      problems: [],
    });
  });

  it('are reported with their path if they are invalid, and an unset variable is reported only once', () => {
    const { problems } = parseConfigFile('a: { ttlSeconds: 5x, maxBytes: "${UNSET}" }', {});
    expect(problems.map(({ path }) => path)).toEqual(['a.ttlSeconds', 'a.maxBytes']);
    expect(problems[0]?.problem).toBe(
      '"5x" must be a number of seconds, or a number with a unit (ms, s, m, h, d): "5m"',
    );
  });
});
