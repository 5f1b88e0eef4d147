import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** These look at what is loaded and when, or put something else in its place. */
const alone = [
  'test/http/passthrough/passthrough.test.ts',
  'test/storage/files/staged/staged-file.test.ts',
  'test/storage/files/unsynced-blobs.test.ts',
  'test/storage/files/unsynced-requests.test.ts',
  'test/storage/files/windows-files.test.ts',
  'test/storage/unreadable-backup.test.ts',
];

/** Whole registries, whole folders, and what takes many rounds: `npm run test:integration`. */
const integration = [
  'test/integration/**/*.test.ts',
  'test/regressions/**/*.test.ts',
  'test/adapters/**/*.test.ts',
  'test/fuzz/**/*.test.ts',
  'test/**/*.property.test.ts',
  'test/repositories/migration/**/*.test.ts',
  'test/storage/backup/**/*.test.ts',
  'test/storage/copy/**/*.test.ts',
  'test/drivers/timed-stores.test.ts',
  'test/command/client/same-answers.test.ts',
];

/** These start the command, the examples and other programs: `npm run test:system`. */
const system = ['test/system/**/*.test.ts'];

/** These run by themselves: `npm run faults`, `test:postgres`, `test:s3`. */
const faults = ['test/faults/**', 'test/postgres/**', 'test/s3/**'];

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
    setupFiles: ['test/support/equal-bytes.ts', 'test/support/storage/left-folders.ts'],
    // A busy machine may take many times as long as a quiet one. Only what hangs takes as long as this.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
    dangerouslyIgnoreUnhandledErrors: false,
    // CI measures it. Code that runs in child processes and worker threads does not count.
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts', 'adapters/*.ts'],
      // Measured with a server only: `npm run test:postgres`, `npm run test:s3`.
      exclude: [
        'src/storage/postgres/**',
        'src/storage/s3/**',
        'src/storage/bucket-stores.ts',
        'src/composition/stores/open-bucket.ts',
        'src/command/migrate-command.ts',
      ],
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
          exclude: [...alone, ...integration, ...system, ...faults],
          isolate: false,
        },
      },
      { extends: true, test: { name: 'alone', include: alone } },
      { extends: true, test: { name: 'integration', include: integration, isolate: false } },
      { extends: true, test: { name: 'system', include: system, isolate: false } },
    ],
  },
});
