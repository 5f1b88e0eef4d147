import { setImmediate } from 'node:timers/promises';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sortInTurns } from '../../../src/util/scheduling/sort-in-turns.js';

const identity = (name: string): string => name;

describe('sortInTurns', () => {
  it('sorts by bytes and drops repeated names', async () => {
    const ascii = fc.string({ unit: 'binary-ascii', maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(fc.array(ascii, { maxLength: 50 }), async (names) => {
        expect(await sortInTurns(names, identity)).toEqual([...new Set(names)].sort());
      }),
    );
  });

  it('lets other work run while it sorts 100,000 names', async () => {
    const names = Array.from({ length: 100_000 }, (_, i) => `tag-${(i * 7919) % 100_003}`);
    const others = { turns: 0, isFinished: false };
    const running = (async () => {
      for (; !others.isFinished; others.turns++) await setImmediate();
    })();
    expect(await sortInTurns(names, identity)).toEqual([...names].sort());
    others.isFinished = true;
    await running;
    expect(others.turns).toBeGreaterThan(500);
  });
});
