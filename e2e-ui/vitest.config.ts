import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^artifactapi$/, replacement: source('../src/index.ts') },
      { find: /^artifactapi\/(connect|express|fastify|hono|koa|node)$/, replacement: source('../adapters/$1.ts') },
    ],
  },
  test: {
    root: source('..'),
    include: ['e2e-ui/**/*.test.ts'],
    // Several browsers would starve each other on two cores.
    fileParallelism: false,
    testTimeout: 240_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 60_000 } },
  },
});
