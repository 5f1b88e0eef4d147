import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: fileURLToPath(new URL('../..', import.meta.url)),
    include: ['test/faults/**/*.test.ts'],
    pool: 'forks',
    // A server and its client keep one processor busy each.
    maxWorkers: 2,
    // The long form takes as long as it takes.
    testTimeout: process.env['FAULTS_LONG'] === '1' ? 0 : 120_000,
    hookTimeout: 60_000,
    reporters: ['verbose'],
  },
});
