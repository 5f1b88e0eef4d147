import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: fileURLToPath(new URL('..', import.meta.url)),
    include: ['e2e-docker/**/*.test.ts'],
    // Part of the long form, which CI has no time for.
    exclude: process.env['SCALE_OUT_ROUNDS'] === undefined ? ['e2e-docker/scale-out-{clients,faults}.test.ts'] : [],
    // Real engines and kill -9 rounds would starve each other on two cores and distort timings.
    fileParallelism: false,
    testTimeout: 240_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 60_000 } },
    reporters: ['verbose'],
  },
});
