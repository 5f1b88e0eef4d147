import { beforeEach, describe, expect, it } from 'vitest';
import { Breaker } from '../../src/upstream/upstream-breaker.js';
import { absent, denied, failed, type UpstreamVerdict } from '../../src/protocol/upstream/verdict.js';
import { recordingLogger } from '../support/servers/registry.js';

const trouble = failed('it answered 500', { status: 500, trouble: true });
const limited = (retryAfterSeconds?: number): UpstreamVerdict =>
  failed('slow down', { status: 429, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) });

let now = 0;
let log = recordingLogger();
let breaker = new Breaker({ upstream: 'u', now: () => now, log });

beforeEach(() => {
  now = 1_000_000;
  log = recordingLogger();
  breaker = new Breaker({ upstream: 'u', now: () => now, log });
});

function call(...outcomes: (UpstreamVerdict | 'unknown' | undefined)[]): void {
  for (const outcome of outcomes) breaker.enter().settle(outcome);
}

let probe: ReturnType<Breaker['enter']>;

/** How long calls fail from now on, in seconds, and with what; the first that does not is `probe`. */
function pauseOf(): { seconds: number; refusal: unknown } {
  const start = now;
  let refusal: unknown;
  for (; now < start + 400_000; now += 1000) {
    try {
      probe = breaker.enter();
      return { seconds: (now - start) / 1000, refusal };
    } catch (error) {
      refusal ??= error;
    }
  }
  throw new Error('never lets anybody through');
}

describe('the breaker', () => {
  it('opens after five failures in a row, with the reason of the last', () => {
    call(trouble, trouble, trouble, trouble);
    expect(breaker.status).toEqual({ state: 'closed', failures: 4, lastFailure: 'it answered 500' });
    call(trouble);
    expect(breaker.status).toEqual({
      state: 'open',
      failures: 5,
      lastFailure: 'it answered 500',
      openedAt: 1_000_000,
    });
    expect(() => breaker.enter()).toThrow('requests are paused: it answered 500');
    expect(log.lines).toMatchObject([{ level: 'warn', fields: { upstream: 'u', waitMs: 10_000 } }]);
  });

  it.each([
    ['an answer', undefined],
    ['404', absent()],
    ['denied', denied('no', { status: 403 })],
    ['refused credentials', failed('no', { status: 401 })],
    ['content that does not match', failed('no')],
  ])('starts counting anew after %s', (_what, outcome) => {
    call(trouble, trouble, trouble, trouble, outcome, trouble, trouble, trouble, trouble);
    expect(breaker.status).toMatchObject({ state: 'closed', failures: 4 });
  });

  it.each([
    ['a 429 without Retry-After', limited()],
    ['an inconclusive answer', 'unknown' as const],
  ])('is neither opened nor closed by %s', (_what, outcome) => {
    call(trouble, trouble, trouble, trouble, ...Array.from({ length: 10 }, () => outcome));
    expect(breaker.status).toMatchObject({ state: 'closed', failures: 4 });
    call(trouble);
    expect(breaker.status.state).toBe('open');
  });

  it('waits 10, 20, 40, 60 and 60 s between failing probes, and closes after a successful one', () => {
    call(trouble, trouble, trouble, trouble, trouble);
    const waits = [1, 2, 3, 4, 5].map(() => {
      const { seconds } = pauseOf();
      probe.settle(trouble);
      return seconds;
    });
    expect(waits).toEqual([10, 20, 40, 60, 60]);
    pauseOf();
    probe.settle(absent());
    expect(breaker.status).toEqual({ state: 'closed', failures: 0, lastFailure: 'it answered 500' });
    expect(log.lines.at(-1)).toMatchObject({ level: 'info', message: 'circuit breaker closed' });
    call(trouble, trouble, trouble, trouble, trouble);
    expect(pauseOf().seconds).toBe(10);
  });

  it('lets one probe through at a time', () => {
    call(trouble, trouble, trouble, trouble, trouble);
    pauseOf();
    expect(breaker.status.state).toBe('probing');
    expect(() => breaker.enter()).toThrow('requests are paused');
    probe.settle('unknown');
    expect(breaker.status.state).toBe('open');
    breaker.enter().settle();
    expect(breaker.status.state).toBe('closed');
  });

  it('is not affected by calls that began before the pause', () => {
    const old = Array.from({ length: 12 }, () => breaker.enter());
    call(trouble, trouble, trouble, trouble, trouble);
    old.forEach((pass, i) => pass.settle(i % 2 === 0 ? trouble : undefined));
    expect(breaker.status).toMatchObject({ state: 'open', failures: 5 });
    expect(pauseOf().seconds).toBe(10);
  });

  it.each([
    [7, 7],
    [3600, 300],
  ])('stays away for the %i s of a Retry-After, %i s at most, and says so', (asked, waited) => {
    call(limited(asked));
    expect(breaker.status).toMatchObject({ state: 'open', failures: 0, lastFailure: 'slow down' });
    const { seconds, refusal } = pauseOf();
    expect(seconds).toBe(waited);
    expect(refusal).toMatchObject({ type: 'failed', fields: { status: 429, retryAfterSeconds: waited } });
    probe.settle();
    expect(breaker.status.state).toBe('closed');
  });

  it('settles a call once', () => {
    const pass = breaker.enter();
    for (let i = 0; i < 9; i++) pass.settle(trouble);
    expect(breaker.status.failures).toBe(1);
  });
});

describe('a forced call', () => {
  const open = (verdict: UpstreamVerdict): void => call(verdict, verdict, verdict, verdict, verdict);

  it('is admitted during a pause, and its success closes the breaker', () => {
    open(trouble);
    expect(() => breaker.enter()).toThrow('requests are paused');
    breaker.force().settle();
    expect(breaker.status).toMatchObject({ state: 'closed', failures: 0 });
    call(undefined);
  });

  it('lengthens the pause when it fails', () => {
    open(trouble);
    breaker.force().settle(trouble);
    expect(breaker.status.state).toBe('open');
    expect(pauseOf().seconds).toBe(20);
  });

  it('does not end a pause that a rate limit caused', () => {
    call(limited(60));
    breaker.force().settle();
    expect(breaker.status).toMatchObject({ state: 'open', isLimited: true });
    expect(pauseOf().seconds).toBe(60);
  });

  it('counts like any other while the breaker is closed', () => {
    for (let failures = 1; failures <= 4; failures++) {
      breaker.force().settle(trouble);
      expect(breaker.status).toMatchObject({ state: 'closed', failures });
    }
    breaker.force().settle(trouble);
    expect(breaker.status.state).toBe('open');
  });
});
