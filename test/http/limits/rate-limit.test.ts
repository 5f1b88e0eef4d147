import { describe, expect, it } from 'vitest';
import { RateLimiter, type RateLimits } from '../../../src/http/limits/rate-limit.js';
import { refusalOf } from '../../support/clients/refusal.js';

function setUp(limits: RateLimits) {
  const clock = { now: 1_000_000 };
  return { clock, limiter: new RateLimiter(limits, () => clock.now) };
}

/** Returns how many of the requests are admitted. */
function countAdmitted(times: number, admit: () => void): number {
  let admitted = 0;
  for (let i = 0; i < times; i++) {
    try {
      admit();
      admitted++;
    } catch {
      // Refused.
    }
  }
  return admitted;
}

describe('a client with a rate limit', () => {
  it.each([1, 2, 3, 7, 60, 999, 100_000])('may send %i requests at once, and as many in the next minute', (limit) => {
    const { clock, limiter } = setUp({ maxRequestsPerMinutePerClient: limit });
    const admit = (): void => limiter.admitClient('192.0.2.1');
    expect(countAdmitted(limit, admit)).toBe(limit);
    expect(countAdmitted(5, admit)).toBe(0);
    clock.now += 60_000;
    expect(countAdmitted(limit, admit)).toBe(limit);
  });

  it('gets Retry-After when it is refused, and is admitted after that time', () => {
    const { clock, limiter } = setUp({ maxRequestsPerMinutePerClient: 6 });
    const admit = (): void => limiter.admitClient('192.0.2.1');
    countAdmitted(6, admit);
    const refusal = refusalOf(admit);
    expect([refusal.code, refusal.status, refusal.headers]).toEqual(['TOOMANYREQUESTS', 429, { 'Retry-After': '10' }]);
    clock.now += 9500;
    expect(refusalOf(admit).headers).toEqual({ 'Retry-After': '1' });
    clock.now += 500;
    expect(countAdmitted(2, admit)).toBe(1);
  });

  it('does not use up tokens by refused requests', () => {
    const { clock, limiter } = setUp({ maxRequestsPerMinutePerClient: 60 });
    const admit = (): void => limiter.admitClient('192.0.2.1');
    countAdmitted(500, admit);
    clock.now += 2000;
    expect(countAdmitted(500, admit)).toBe(2);
  });

  it.each([
    ['192.0.2.1', '192.0.2.2', 'two clients'],
    ['2001:db8::1', '2001:db8::ffff:1', 'one client'],
    ['2001:db8:0:1::1', '2001:db8:0:2::1', 'two clients'],
  ])('is identified by address or /64: %s and %s are %s', (one, two, expected) => {
    const { limiter } = setUp({ maxRequestsPerMinutePerClient: 1 });
    limiter.admitClient(one);
    expect(countAdmitted(1, () => limiter.admitClient(two))).toBe(expected === 'two clients' ? 1 : 0);
  });

  it('is not locked out when the clock is set back', () => {
    const { clock, limiter } = setUp({ maxRequestsPerMinutePerClient: 60 });
    const admit = (): void => limiter.admitClient('192.0.2.1');
    countAdmitted(60, admit);
    clock.now -= 3_600_000;
    expect(countAdmitted(5, admit)).toBe(1);
    expect(refusalOf(admit).headers).toEqual({ 'Retry-After': '1' });
  });
});

describe('a principal with a rate limit', () => {
  it('is limited independently of others and of client addresses', () => {
    const { limiter } = setUp({ maxRequestsPerMinutePerPrincipal: 2 });
    expect(countAdmitted(5, () => limiter.admitPrincipal({ id: 'jane' }))).toBe(2);
    expect(countAdmitted(5, () => limiter.admitPrincipal({ id: 'jane' }))).toBe(0);
    expect(countAdmitted(5, () => limiter.admitPrincipal({ id: 'joe' }))).toBe(2);
    expect(countAdmitted(5, () => limiter.admitClient('192.0.2.1'))).toBe(5);
  });

  it('is not limited by name if it is anonymous', () => {
    const { limiter } = setUp({ maxRequestsPerMinutePerPrincipal: 1 });
    expect(countAdmitted(5, () => limiter.admitPrincipal({ id: 'anonymous' }))).toBe(5);
  });
});

it('RateLimiter refuses no one without limits', () => {
  const { limiter } = setUp({});
  expect(countAdmitted(1000, () => limiter.admitClient('192.0.2.1'))).toBe(1000);
  expect(countAdmitted(1000, () => limiter.admitPrincipal({ id: 'jane' }))).toBe(1000);
});
