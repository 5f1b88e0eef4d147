import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: fileURLToPath(new URL('../..', import.meta.url)),
    include: ['test/faults/**/*.test.ts'],
    pool: 'forks',
    // A server and its client each keep one processor busy.
    maxWorkers: 2,
    // The long form has no time limit.
    testTimeout: process.env['FAULTS_LONG'] === '1' ? 0 : 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
    reporters: ['verbose'],
  },
});
