import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The tests that need an S3 server, some also PostgreSQL: `npm run test:s3`. */
export default defineConfig({
  resolve: { alias: [{ find: /^artifactapi$/, replacement: source('../../src/index.ts') }] },
  test: {
    root: source('../..'),
    include: ['test/s3/**/*.test.ts'],
    globalSetup: ['test/postgres/start-server.ts'],
    setupFiles: ['test/support/equal-bytes.ts'],
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
  },
});
