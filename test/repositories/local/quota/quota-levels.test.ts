import { expect, it } from 'vitest';
import type { Quota } from '../../../../src/ports/metadata/quotas.js';
import { QuotaLevels } from '../../../../src/repositories/local/quota/quota-levels.js';

const quota: Quota = { name: 'a', names: ['a/**'], maxBytes: 100, origin: 'managed' };

it('reports each percentage once for each crossing, also several at once and after deletions', () => {
  const levels = new QuotaLevels();
  const write = (before: number, after: number, of = quota) => {
    levels.lower(of, before);
    return levels.raise(of, after);
  };
  expect(write(0, 79)).toEqual([]);
  expect(write(79, 80)).toEqual([80]);
  expect(levels.raise(quota, 81)).toEqual([]);
  expect(write(81, 100)).toEqual([95]);
  expect(write(100, 100)).toEqual([]);
  expect(write(90, 96)).toEqual([95]);
  expect(write(10, 97)).toEqual([80, 95]);
  expect(write(0, 96, { ...quota, name: 'b' })).toEqual([80, 95]);
});

it('reports nothing for a quota that is full from the start, or that allows nothing', () => {
  const levels = new QuotaLevels();
  levels.lower(quota, 99);
  expect(levels.raise(quota, 100)).toEqual([]);
  levels.lower({ ...quota, name: 'none', maxBytes: 0 }, 0);
  expect(levels.raise({ ...quota, name: 'none', maxBytes: 0 }, 0)).toEqual([]);
});
