import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/protocol/digest.js';
import { NegativeCache } from '../../../src/repositories/cache/negative-cache.js';

function create(ttlSeconds: number): { negatives: NegativeCache; advance: (ms: number) => void } {
  let now = 1_000_000;
  return { negatives: new NegativeCache(ttlSeconds, () => now), advance: (ms) => void (now += ms) };
}

describe('NegativeCache', () => {
  it('remembers an absence for its lifetime and no longer', () => {
    const { negatives, advance } = create(30);
    expect(negatives.has('app', 'v1')).toBe(false);
    negatives.note('app', 'v1');
    advance(29_999);
    expect(negatives.has('app', 'v1')).toBe(true);
    advance(2);
    expect(negatives.has('app', 'v1')).toBe(false);
  });

  it('counts from the last time that it recorded an absence, not from the last lookup', () => {
    const { negatives, advance } = create(30);
    negatives.note('app', 'v1');
    advance(20_000);
    expect(negatives.has('app', 'v1')).toBe(true);
    advance(20_000);
    expect(negatives.has('app', 'v1')).toBe(false);
    negatives.note('app', 'v1');
    advance(20_000);
    negatives.note('app', 'v1');
    advance(20_000);
    expect(negatives.has('app', 'v1')).toBe(true);
  });

  it('keeps absences of different images apart', () => {
    const { negatives } = create(30);
    negatives.note('app', 'v1');
    for (const [image, what] of [
      ['app', 'v2'],
      ['app/v1', ''],
      ['ap', 'pv1'],
      ['other', 'v1'],
    ] as const) {
      expect(negatives.has(image, what)).toBe(false);
    }
  });

  it('forgets one image, or all', () => {
    const { negatives } = create(30);
    for (const image of ['app', 'app2', 'app/more']) negatives.note(image, 'v1');
    negatives.forget('app');
    expect(['app', 'app2', 'app/more'].map((image) => negatives.has(image, 'v1'))).toEqual([false, true, true]);
    negatives.forget();
    expect(['app', 'app2', 'app/more'].some((image) => negatives.has(image, 'v1'))).toBe(false);
  });

  it('remembers nothing if its lifetime is 0', () => {
    const { negatives, advance } = create(0);
    negatives.note('app', 'v1');
    expect(negatives.has('app', 'v1')).toBe(false);
    advance(1000);
    expect(negatives.has('app', 'v1')).toBe(false);
  });

  it('knows the last digest and reason after its lifetime, until it forgets the image', () => {
    const { negatives, advance } = create(30);
    const digest = digestOf(Buffer.from('app'));
    const reason = { upstream: 'host', reason: 'it answered 410' };
    negatives.note('app', 'v1', { digest });
    negatives.note('app', 'v1', { reason });
    advance(31_000);
    expect(negatives.has('app', 'v1')).toBe(false);
    expect(negatives.find('app', 'v1')).toMatchObject({ digest, reason });
    negatives.forget('app');
    expect(negatives.find('app', 'v1')).toBeUndefined();
  });
});
