/**
 * Lets each file operation of LevelDB fail once, with ENOSPC, EIO and EMFILE (see support/sweep.ts), and then pairs of
 * operations: a failed write closes and reopens the index, and the second fault hits a call of the reopening.
 */
import { isLong } from './support/form.js';
import { describeSweep, everyFault, pairsOf } from './support/sweep.js';

const distances = Array.from({ length: 30 }, (_, at) => at + 1);

describeSweep('sweep of the file operations of the index', 'index', everyFault);

describeSweep('pairs of faults in the index', 'index', (calls) => {
  const syncs = calls.filter(({ kind }) => kind === 'sync');
  return pairsOf(isLong ? calls : syncs.slice(0, 1), distances);
});
