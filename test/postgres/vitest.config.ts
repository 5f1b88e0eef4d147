import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** Tests of the index in PostgreSQL, and of nodes that share it. They need its Debian package: `npm run test:postgres`. */
export default defineConfig({
  test: {
    root: fileURLToPath(new URL('../..', import.meta.url)),
    include: ['test/postgres/**/*.test.ts'],
    pool: 'forks',
    isolate: false,
    maxWorkers: 2,
    globalSetup: ['test/postgres/start-server.ts'],
    setupFiles: ['test/support/equal-bytes.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
  },
});
