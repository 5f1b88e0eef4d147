import { beforeEach, describe, expect, it } from 'vitest';
import { LoginThrottle } from '../../src/access/login-throttle.js';
import { refusalOf } from '../support/refusal.js';

const here = '192.0.2.1';
const there = '198.51.100.7';
let now = 0;
let throttle = new LoginThrottle(() => now);

beforeEach(() => {
  now = 1_000_000_000;
  throttle = new LoginThrottle(() => now);
});

function fail(times: number, address = here, username = 'alice'): void {
  for (let i = 0; i < times; i++) throttle.failed(address, username);
}

/** Fails once with each of so many names. */
function spray(times: number, address = here): void {
  for (let i = 0; i < times; i++) throttle.failed(address, `name${i}`);
}

/** In seconds; 0 for who is admitted. */
function waitOf(address = here, username = 'alice'): number {
  try {
    throttle.admit(address, username);
    return 0;
  } catch {
    return Number(refusalOf(() => throttle.admit(address, username)).headers['Retry-After']);
  }
}

describe('a user at an address', () => {
  it.each([
    [5, 0],
    [6, 1],
    [7, 2],
    [8, 4],
    [11, 32],
    [12, 60],
    [20, 60],
    [2000, 60],
  ])('after %i failures waits %i s', (failures, seconds) => {
    fail(failures);
    expect(waitOf()).toBe(seconds);
    now += seconds * 1000 - 1;
    expect(waitOf()).toBe(seconds === 0 ? 0 : 1);
    now += 1;
    expect(waitOf()).toBe(0);
  });

  it('is refused with 429 and when to come again', () => {
    fail(8);
    const { code, status, headers } = refusalOf(() => throttle.admit(here, 'alice'));
    expect({ code, status, headers }).toEqual({
      code: 'TOOMANYREQUESTS',
      status: 429,
      headers: { 'Retry-After': '4' },
    });
  });

  it('does not wait longer for asking meanwhile', () => {
    fail(8);
    for (let i = 0; i < 100; i++) refusalOf(() => throttle.admit(here, 'alice'));
    now += 4000;
    expect(waitOf()).toBe(0);
  });

  it('begins anew after a success', () => {
    fail(5);
    throttle.succeeded(here, 'alice');
    fail(5);
    expect(waitOf()).toBe(0);
    fail(1);
    expect(waitOf()).toBe(1);
  });

  it('begins anew after 15 minutes of rest, not before', () => {
    fail(6);
    now += 14 * 60_000;
    expect(waitOf()).toBe(0);
    fail(1);
    expect(waitOf()).toBe(2);
    now += 15 * 60_000 + 1;
    fail(5);
    expect(waitOf()).toBe(0);
  });

  it.each([
    ['another user at the same address', here, 'bob'],
    ['the same user elsewhere', there, 'alice'],
  ])('does not make %s wait', (_who, address, username) => {
    fail(100);
    expect(waitOf()).toBe(60);
    expect(waitOf(address, username)).toBe(0);
  });

  it('does not wait for longer because the clock is set back', () => {
    fail(12);
    now -= 3_600_000;
    expect(waitOf()).toBe(0);
  });
});

describe('an address', () => {
  it.each([
    [30, 0],
    [31, 1],
    [32, 2],
    [37, 60],
    [500, 60],
  ])('after a failure of each of %i users makes all wait %i s', (failures, seconds) => {
    spray(failures);
    expect(waitOf(here, 'somebody-else')).toBe(seconds);
    expect(waitOf(there, 'somebody-else')).toBe(0);
  });

  it('is not cleared by the success of one user', () => {
    spray(31);
    throttle.succeeded(here, 'mallory');
    expect(waitOf(here, 'alice')).toBe(1);
  });

  it('begins anew after 15 minutes of rest', () => {
    spray(31);
    now += 15 * 60_000 + 1;
    spray(30);
    expect(waitOf()).toBe(0);
  });

  it('does not wait for one job that tries an old password for ever', () => {
    for (let i = 0; i < 1000; i++) {
      fail(1, here, 'old-job');
      now += 60_000;
    }
    expect(waitOf(here, 'alice')).toBe(0);
  });

  it('counts every failure as soon as it is suspicious', () => {
    fail(10, here, 'alice');
    spray(31 - 5);
    expect(waitOf(here, 'bob')).toBe(1);
    fail(1, here, 'alice');
    expect(waitOf(here, 'bob')).toBe(2);
  });

  it.each([
    ['2001:db8::1', '2001:db8::ffff:ffff:ffff:ffff', 'the same'],
    ['2001:db8:0:1::1', '2001:0DB8:0000:0001:1::', 'the same'],
    ['2001:db8:0:1::1', '2001:db8:0:2::1', 'another'],
    ['fe80::1%eth0', 'fe80::2', 'the same'],
    ['::ffff:192.0.2.1', '192.0.2.1', 'the same'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.2', 'another'],
    ['192.0.2.1', '192.0.2.2', 'another'],
  ])('%s and %s: %s', (one, two, expected) => {
    fail(6, one);
    spray(30, one);
    const waits = [waitOf(two, 'alice') > 0, waitOf(two, 'bob') > 0];
    expect(waits).toEqual(expected === 'the same' ? [true, true] : [false, false]);
  });
});

describe('memory', () => {
  it('is bounded: what has rested longest is forgotten', () => {
    fail(6, here);
    for (let i = 0; i < 10_000; i++) throttle.failed(`203.0.${i >> 8}.${i & 255}`, 'alice');
    expect(waitOf(here)).toBe(0);
  });

  it('takes a name of any length', () => {
    const name = 'x'.repeat(100_000);
    fail(6, here, name);
    expect([waitOf(here, name), waitOf(here, `${name}y`)]).toEqual([1, 0]);
  });
});
