/**
 * Each file operation on blobs, staged bytes and other files of ours fails once, with ENOSPC, EIO and EMFILE: see
 * support/sweep.ts.
 */
import { describeSweep, everyFault } from './support/sweep.js';

describeSweep('sweep of the file operations outside the index', 'content', everyFault);
