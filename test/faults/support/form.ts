/** `npm run faults -- --long`: everything; else what fits into CI. */
export const isLong = process.env['FAULTS_LONG'] === '1';

/** The seed of all that is random, to have a failure again: `npm run faults -- --seed N`. */
export const seed = Number(process.env['FAULTS_SEED'] ?? '1');
