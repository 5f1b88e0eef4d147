import { describe, expect, it } from 'vitest';
import { IndexDamageError } from '../../../../../src/storage/level/database/repair/level-damage.js';
import {
  examineTwice,
  type LoggedBatches,
} from '../../../../../src/storage/level/database/repair/level-examination.js';

const intact: LoggedBatches = { newest: 7, isSplit: false, records: [] };
const damaged = new IndexDamageError('/data/index', 'log 5 is missing');
const failed = new Error('EIO');

describe('examineTwice', () => {
  it.each([
    ['returns the first examination of an intact index', [intact], intact],
    ['returns the second examination when a log was switched during the first', [damaged, intact], intact],
    ['throws the damage that both examinations find', [damaged, damaged], damaged],
    ['throws another error of the first examination at once', [failed], failed],
  ])('%s', async (_title, outcomes, expected) => {
    let calls = 0;
    const examine = (): Promise<LoggedBatches> => {
      const outcome = outcomes[calls++];
      return outcome instanceof Error ? Promise.reject(outcome) : Promise.resolve(outcome ?? intact);
    };
    const examined = examineTwice('/data/index', {}, examine);
    if (expected instanceof Error) await expect(examined).rejects.toBe(expected);
    else expect(await examined).toBe(expected);
    expect(calls).toBe(outcomes.length);
  });
});
