import { beforeEach, describe, expect, it } from 'vitest';
import { Readable } from 'node:stream';
import type { UpstreamAnswer } from '../../src/ports/upstream.js';
import { RegistryCheck } from '../../src/upstream/registry-check.js';

const url = new URL('https://registry.example/v2/');
let now: number;
let pings: ((status: number) => void)[];
let check: RegistryCheck;

function answer(status: number): UpstreamAnswer {
  const hop = { method: 'GET', url, headers: {}, credentials: {}, elsewhere: false } as const;
  return { status, headers: { 'content-type': 'application/json' }, body: Readable.from([]), hop };
}

beforeEach(() => {
  now = 1_000_000;
  pings = [];
  const ping = (): Promise<UpstreamAnswer> => new Promise((resolve) => pings.push((status) => resolve(answer(status))));
  check = new RegistryCheck(ping, () => now);
});

describe('a check whether a registry answers /v2/', () => {
  it('asks again each time while a registry answers, because it may be gone a moment later', async () => {
    for (const [status, expected] of [
      [200, true],
      [404, false],
    ] as const) {
      const asked = check.isRegistry();
      pings.at(-1)?.(status);
      expect(await asked).toBe(expected);
    }
    expect(pings).toHaveLength(2);
  });

  it('does not use the answer to a request that was sent before it was asked', async () => {
    const first = check.isRegistry();
    const later = [1, 2, 3].map(() => check.isRegistry());
    pings[0]?.(200);
    expect(await first).toBe(true);
    await Promise.resolve();
    expect(pings).toHaveLength(2);
    pings[1]?.(404);
    expect(await Promise.all(later)).toEqual([false, false, false]);
    expect(pings).toHaveLength(2);
  });

  it('does not ask again for 5 s when no registry answered', async () => {
    const asked = check.isRegistry();
    pings[0]?.(404);
    expect(await asked).toBe(false);
    now += 4999;
    expect(await check.isRegistry()).toBe(false);
    expect(pings).toHaveLength(1);
    now += 1;
    void check.isRegistry();
    expect(pings).toHaveLength(2);
  });
});
