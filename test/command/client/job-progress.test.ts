import { expect, it } from 'vitest';
import type { Document } from '../../../src/command/client/api-client.js';
import type { Run } from '../../../src/command/client/client-command.js';
import { printJob } from '../../../src/command/client/commands/jobs.js';
import { formatDocument, type Column } from '../../../src/command/client/format.js';
import { failureOf, formatJobProgress } from '../../../src/command/client/job-progress.js';

const now = Date.UTC(2026, 6, 25, 12);
const eta = new Date(now + 3 * 60_000).toISOString();

it.each<[what: string, job: Record<string, unknown>, text: string]>([
  ['a job that has counted nothing', { kind: 'garbage' }, 'garbage'],
  ['a job without a total', { kind: 'scrub', done: 5, unit: 'blobs' }, 'scrub  5 blobs'],
  ['a job with nothing to do', { kind: 'scrub', done: 0, total: 0, unit: 'bytes' }, 'scrub  0 B'],
  [
    'a job that counts blobs',
    { kind: 'scrub', done: 400, total: 1000, unit: 'blobs', eta_at: eta },
    `[${'#'.repeat(12)}${' '.repeat(18)}]  40 %  400 of 1000 blobs, done in 3 min`,
  ],
  [
    'a job that counts bytes, and more than expected',
    { kind: 'backup', done: 4096, total: 2048, unit: 'bytes' },
    `[${'#'.repeat(30)}] 100 %  4.00 KiB of 2.00 KiB`,
  ],
])('the progress of %s fits one line', (_what, job, text) => {
  expect(formatJobProgress(job, now)).toBe(text);
});

it.each<[state: string, error: string | undefined, message: string, exitCode: number]>([
  ['partly', undefined, 'job 7 was only partly done: see its report', 3],
  ['cancelled', undefined, 'job 7 was cancelled', 1],
  ['failed', 'disk full', 'job 7 failed: disk full', 1],
])('a job that ended as %s is reported as a failure', (state, error, message, exitCode) => {
  expect(failureOf({ id: '7', state, error })).toMatchObject({ message, exitCode });
});

it.each(['succeeded', 'waiting'])('a job that ended as %s is not a failure', (state) => {
  expect(failureOf({ id: '7', state })).toBeUndefined();
});

it('the text of a job shows only those fields of its report that the job does not have, and booleans as yes or no', () => {
  const times = { started_at: '2026-01-01T00:00:00Z', finished_at: '2026-01-01T00:00:01Z' };
  const report = { ...times, dry_run: false, linked: true, added_bytes: 2048, removed: 3 };
  let lines: readonly string[] = [];
  const document = (job: Document, columns: readonly Column[]): void => {
    lines = formatDocument(job, columns, { now, relative: false });
  };
  printJob({ output: { document } } as unknown as Run, { id: 'backup-1', dry_run: false, ...times, report });
  expect(lines).toEqual([
    'id:          backup-1',
    'dry run:     no',
    'started:     2026-01-01T00:00:00Z',
    'finished:    2026-01-01T00:00:01Z',
    'linked:      yes',
    'added bytes: 2.00 KiB',
    'removed:     3',
  ]);
});
