/**
 * Lets each file operation on blobs, staged bytes and other files outside the index fail once, with ENOSPC, EIO and
 * EMFILE: see support/sweep.ts.
 */
import { describeSweep, everyFault } from './support/sweep.js';

describeSweep('sweep of the file operations outside the index', 'content', everyFault);
