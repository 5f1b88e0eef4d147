import { beforeEach, describe, expect, it } from 'vitest';
import { LoginThrottle } from '../../../src/access/identities/login-throttle.js';

const here = '192.0.2.1';
const there = '198.51.100.7';
let now = 0;
/** One function per waiting login, which ends its wait. */
let sleeping: (() => void)[] = [];
let throttle: LoginThrottle;

beforeEach(() => {
  now = 1_000_000_000;
  sleeping = [];
  const sleep = (ms: number): Promise<void> => {
    expect(ms).toBe(2000);
    return new Promise((resolve) => sleeping.push(resolve));
  };
  throttle = new LoginThrottle({ now: () => now, sleep });
});

/** Whether a login passes at once, waits, or is refused with a status. */
async function attempt(place = here, username = 'alice'): Promise<'passes' | 'waits' | number> {
  const before = sleeping.length;
  const admitted = throttle.admit(place, username).then(
    () => 'passes' as const,
    (error: { status: number }) => error.status,
  );
  await Promise.resolve();
  return sleeping.length > before ? 'waits' : admitted;
}

/** Ends the wait of all logins that wait. */
function wake(): void {
  for (const end of sleeping.splice(0)) end();
}

async function fail(times: number, place = here, username = 'alice'): Promise<void> {
  for (let i = 0; i < times; i++) await attempt(place, username);
}

describe('a user at one address', () => {
  it('waits 2 seconds per login after 20 failures', async () => {
    await fail(20);
    expect(await attempt()).toBe('waits');
    expect(await attempt(here, 'bob')).toBe('passes');
    expect(await attempt(there, 'alice')).toBe('passes');
  });

  it('never waits longer, even after 500 failures', async () => {
    for (let i = 0; i < 500; i++) {
      await attempt();
      wake();
      await Promise.resolve();
    }
    expect(await attempt()).toBe('waits');
  });

  it('has at most four waiting logins; a fifth is refused with 429', async () => {
    await fail(20);
    expect(await Promise.all(Array.from({ length: 6 }, () => attempt()))).toEqual([
      ...Array.from({ length: 4 }, () => 'waits'),
      429,
      429,
    ]);
    await expect(throttle.admit(here, 'alice')).rejects.toMatchObject({
      code: 'TOOMANYREQUESTS',
      headers: { 'Retry-After': '2' },
    });
    wake();
    await new Promise(setImmediate);
    expect(await attempt()).toBe('waits');
  });

  it('regains one attempt without a wait every 30 seconds', async () => {
    await fail(25);
    now += 30_000;
    expect([await attempt(), await attempt()]).toEqual(['passes', 429]);
    now += 20 * 30_000;
    await fail(19);
    expect(await attempt()).toBe('passes');
  });

  it('does not use up attempts with right passwords', async () => {
    for (let i = 0; i < 100; i++) (await throttle.admit(here, 'alice'))();
    expect(await attempt()).toBe('passes');
  });

  it('regains no attempt by a right password that waited', async () => {
    await fail(20);
    const admitted = throttle.admit(here, 'alice');
    wake();
    (await admitted)();
    expect(await attempt()).toBe('waits');
  });

  it('is not locked out when the clock is set back', async () => {
    await fail(20);
    now -= 3_600_000;
    expect(await attempt()).toBe('waits');
  });
});

describe('an address', () => {
  /** Fails once with each of `times` names. */
  const spray = async (times: number, from = 0): Promise<void> => {
    for (let i = from; i < from + times; i++) await attempt(here, `name${i}`);
  };

  it('makes all of its logins wait after failures with 200 names, but none elsewhere', async () => {
    await spray(200);
    expect(await attempt(here, 'another-user')).toBe('waits');
    expect(await attempt(there, 'another-user')).toBe('passes');
    await spray(31, 200);
    expect(await attempt(here, 'one-more')).toBe(429);
    now += 1000;
    expect(await attempt(here, 'another')).toBe('passes');
  });
});

describe('the memory of the throttle', () => {
  it('is bounded by dropping the oldest counts', async () => {
    await fail(20);
    for (let i = 0; i < 10_000; i++) await attempt(`203.0.${i >> 8}.${i & 255}`, 'alice');
    expect(await attempt()).toBe('passes');
  });

  it('does not grow with the length of names, which all count', async () => {
    const name = 'x'.repeat(100_000);
    await fail(20, here, name);
    expect([await attempt(here, name), await attempt(here, `${name}y`)]).toEqual(['waits', 'passes']);
  });
});
