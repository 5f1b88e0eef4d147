/** Whether to run everything (`npm run faults -- --long`), or only what fits into CI. */
export const isLong = process.env['FAULTS_LONG'] === '1';

/** The seed of all random values, for reproducing a failure: `npm run faults -- --seed N`. */
export const seed = Number(process.env['FAULTS_SEED'] ?? '1');
