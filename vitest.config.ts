import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** These look at what is loaded and when, or put something else in its place. */
const alone = [
  'test/http/passthrough/passthrough.test.ts',
  'test/storage/files/staged/staged-file.test.ts',
  'test/storage/files/windows-files.test.ts',
];

/** These start the command, the examples and other programs: `npm run test:system`. */
const system = ['test/system/**/*.test.ts'];

/** Runs by itself: `npm run faults`. */
const faults = ['test/faults/**'];

export default defineConfig({
  resolve: {
    // The package by its own name is its sources here, so that a test never sees a stale build.
    alias: [
      { find: /^artifactapi$/, replacement: source('src/index.ts') },
      { find: /^artifactapi\/(connect|express|fastify|hono|koa|node)$/, replacement: source('adapters/$1.ts') },
    ],
  },
  test: {
    pool: 'forks',
    // One more than there are processors: many tests wait more than they work.
    maxWorkers: availableParallelism() + 1,
    setupFiles: ['test/support/equal-bytes.ts'],
    // A busy machine may take many times as long as a quiet one. Only what hangs takes as long as this.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 20_000 } },
    dangerouslyIgnoreUnhandledErrors: false,
    // CI measures it. Code that runs in child processes and worker threads does not count.
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts', 'adapters/*.ts'],
      reporter: ['text-summary'],
      reportOnFailure: true,
      thresholds: { lines: 95.5, branches: 89.5 },
    },
    projects: [
      // Files share what is loaded: half of the time would go into loading it again for each.
      {
        extends: true,
        test: {
          name: 'shared',
          include: ['test/**/*.test.ts'],
          exclude: [...alone, ...system, ...faults],
          isolate: false,
        },
      },
      { extends: true, test: { name: 'alone', include: alone } },
      {
        extends: true,
        test: {
          name: 'system',
          include: system,
          isolate: false,
          globalSetup: ['test/support/servers/bundle-command.ts'],
        },
      },
    ],
  },
});
