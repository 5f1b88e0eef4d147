import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    // The package by its own name is its sources here, so that a test never sees a stale build.
    alias: [
      { find: /^artifactapi$/, replacement: source('src/index.ts') },
      { find: /^artifactapi\/(connect|express|fastify|hono|koa|node)$/, replacement: source('adapters/$1.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    // A process a file: LevelDB's lock on a folder belongs to the process.
    pool: 'forks',
    // One more than there are processors: many tests wait more than they work.
    maxWorkers: availableParallelism() + 1,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    dangerouslyIgnoreUnhandledErrors: false,
  },
});
