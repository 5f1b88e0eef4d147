import { beforeEach, describe, expect, it } from 'vitest';
import { failed, type UpstreamVerdict } from '../../../src/protocol/upstream/verdict.js';
import { CredentialTrials, type TrialOutcome } from '../../../src/upstream/credentials/credential-trials.js';

const value = 'Basic eDp5';
const image = 'team/app';
let now: number;
let refused: string[];
let trials: CredentialTrials;

beforeEach(() => {
  [now, refused] = [1_000_000, []];
  trials = new CredentialTrials({ now: () => now, onRefused: ({ message }) => refused.push(message) });
});

/** Runs concurrent requests that end alike. Returns how many were sent, and their outcomes. */
async function runAll(count: number, verdict?: UpstreamVerdict, of = image) {
  let sent = 0;
  const send = async (): Promise<TrialOutcome<string>> => {
    sent += 1;
    await Promise.resolve();
    return { result: 'answer', verdict };
  };
  const all = Array.from({ length: count }, () => trials.run(value, of, send).catch((error: Error) => error.message));
  return { outcomes: new Set(await Promise.all(all)), sent };
}

const unauthorized = failed('it refuses our credentials (401)', { status: 401 });
const forbidden = failed('it refuses our credentials (403)', { status: 403 });
const down = failed('it answered 500', { status: 500, trouble: true });

describe('credentials of unknown validity', () => {
  it('are tried by one request, and then sent by all', async () => {
    const { outcomes, sent } = await runAll(10);
    expect([outcomes, sent, refused]).toEqual([new Set(['answer']), 10, []]);
  });

  it('are tried by one request, and not sent by others after a refusal', async () => {
    const { outcomes, sent } = await runAll(10, unauthorized);
    expect([outcomes, sent, refused]).toEqual([new Set(['answer', undefined]), 1, [unauthorized.message]]);
  });

  it('are tried by three requests in turn while the answers are inconclusive, and then fail for the waiting requests', async () => {
    const { outcomes, sent } = await runAll(10, down);
    expect([outcomes, sent]).toEqual([new Set(['answer', 'it answered 500']), 3]);
    expect((await runAll(1)).sent).toBe(1);
  });

  it('are tried once when the answer asks to wait', async () => {
    const limited = failed('it limits the rate of requests (429)', { status: 429 });
    expect((await runAll(10, limited)).sent).toBe(1);
  });

  it('are sent by the requests that waited behind one with an inconclusive answer', async () => {
    const first = trials.run(value, image, () => Promise.resolve({ result: 'first', verdict: down }));
    const others = [1, 2, 3].map(() => trials.run(value, 'team/other', () => Promise.resolve({ result: 'other' })));
    expect(await Promise.all([first, ...others])).toEqual(['first', 'other', 'other', 'other']);
  });

  it('do not count for the circuit breaker when nothing was sent', async () => {
    const gone = failed('the connection failed', { trouble: true });
    const first = trials.run(value, image, () => Promise.reject(gone));
    const second = trials.run(value, image, () => Promise.resolve({ result: 'answer' }));
    await expect(first).rejects.toBe(gone);
    await expect(second).rejects.toMatchObject({ message: 'the connection failed', fields: {} });
  });

  it('are tried by the next request when the first is given up', async () => {
    const first = trials.run(value, image, () => Promise.reject(new Error('the client left')));
    const second = trials.run(value, image, () => Promise.resolve({ result: 'answer' }));
    await expect(first).rejects.toThrow('the client left');
    expect(await second).toBe('answer');
  });
});

describe('a refusal', () => {
  it('is remembered for a minute', async () => {
    await runAll(1, unauthorized);
    now += 59_000;
    expect(trials.findRefusal(value, 'team/other')?.message).toBe(
      'it refuses our credentials (401); they are tried again in 1 s, or when they change',
    );
    expect((await runAll(5)).sent).toBe(0);
    now += 1000;
    expect(trials.findRefusal(value, image)).toBeUndefined();
    expect((await runAll(1)).sent).toBe(1);
  });

  it('with 403 counts for the image alone', async () => {
    await runAll(1, forbidden);
    expect((await runAll(1)).sent).toBe(0);
    expect((await runAll(1, undefined, 'team/other')).sent).toBe(1);
  });

  it('does not count for other credentials', async () => {
    await runAll(1, unauthorized);
    expect(trials.findRefusal('Basic b3RoZXI=', image)).toBeUndefined();
  });

  it('is forgotten when the clock was set back before it', async () => {
    await runAll(1, unauthorized);
    now -= 30 * 24 * 3600 * 1000;
    expect(trials.findRefusal(value, image)).toBeUndefined();
  });
});
