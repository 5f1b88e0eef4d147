import { describe, expect, it } from 'vitest';
import { Bag } from '../../../src/util/scheduling/bag.js';

describe('Bag', () => {
  it('holds what was added and not removed, whatever the order of removals', () => {
    const bag = new Bag<number>();
    const removals = [0, 1, 2, 3].map((item) => bag.add(item));
    const after = [1, 3, 0].map((item) => {
      removals[item]?.();
      return [...bag].toSorted((a, b) => a - b);
    });
    expect(after).toEqual([[0, 2, 3], [0, 2], [2]]);
    bag.add(4);
    removals[2]?.();
    expect([...bag]).toEqual([4]);
  });
});
