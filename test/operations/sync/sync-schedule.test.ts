import { afterEach, beforeEach, expect, it } from 'vitest';
import { createRuntime } from '../../../src/composition/runtime.js';
import { JobRunner } from '../../../src/operations/jobs.js';
import { SyncBook } from '../../../src/operations/sync/sync-book.js';
import { SyncSchedule } from '../../../src/operations/sync/sync-schedule.js';
import type { JobKind } from '../../../src/ports/operations/jobs.js';
import type { SyncConfig } from '../../../src/protocol/settings/sync-config.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { Leases } from '../../../src/util/scheduling/leases.js';
import { eventually } from '../../support/eventually.js';
import { recordingLogger } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const syncOf = (name: string, everySeconds: number): SyncConfig => {
  return { name, from: 'hub', to: 'mirror', images: ['app'], referrers: false, delete: false, everySeconds };
};

let folder: string;
let now: number;
let ran: string[];
let stop: (() => Promise<void>) | undefined;

beforeEach(async () => {
  folder = await makeScratchFolder();
  now = Date.UTC(2026, 6, 25);
  ran = [];
});
afterEach(async () => {
  await stop?.();
  await removeScratchFolder(folder);
});

/** Opens a process with syncs whose jobs only note that they ran, or fail. */
async function open(
  declared: readonly SyncConfig[],
  work: () => Promise<void> = async () => undefined,
): Promise<{ schedule: SyncSchedule; book: SyncBook }> {
  const metadata = await LevelMetadataStore.open(folder);
  const runtime = { ...createRuntime(recordingLogger()), now: () => now };
  const jobs = new JobRunner({ metadata, runtime, describeFailure: String });
  const book = await SyncBook.open({
    declared: () => declared,
    metadata,
    now: () => now,
    repository: () => undefined,
    job: (id) => jobs.get(id),
  });
  const kind: JobKind<{ readonly sync: string }> = {
    kind: 'sync',
    isResumable: true,
    parse: (params) => params as { sync: string },
    run: async ({ id: job, params: { sync } }) => {
      // The test may move the clock before the job ends.
      const startedAt = now;
      ran.push(sync);
      await book.recordRun(sync, { job, state: 'running', startedAt });
      await work();
      await book.recordRun(sync, { job, state: 'succeeded', startedAt, finishedAt: now });
      return { state: 'succeeded', report: {} };
    },
  };
  jobs.register(kind);
  stop = async () => {
    stop = undefined;
    await jobs.close();
    await metadata.close();
  };
  return { schedule: new SyncSchedule({ syncs: book, jobs, runtime, leases: new Leases(undefined) }), book };
}

/** Looks for due syncs, repeatedly like the timer of the schedule: the last job of a sync may not have ended yet. */
async function runDue(schedule: SyncSchedule, expected: readonly string[]): Promise<void> {
  ran = [];
  await eventually(async () => {
    await schedule.runDue();
    expect(ran.toSorted()).toEqual(expected);
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(ran.toSorted()).toEqual(expected);
}

it('syncs run at once, then when they are due, one after the other, and those without an interval never', async () => {
  const { schedule } = await open([syncOf('a', 60), syncOf('b', 600), syncOf('never', 0)]);
  await runDue(schedule, ['a', 'b']);
  await runDue(schedule, []);
  now += 60_000;
  await runDue(schedule, ['a']);
  now += 540_000;
  await runDue(schedule, ['a', 'b']);
});

it('a new process continues with the schedule', async () => {
  const config = [syncOf('a', 600)];
  await runDue((await open(config)).schedule, ['a']);
  await stop?.();
  now += 300_000;
  const { schedule } = await open(config);
  await runDue(schedule, []);
  now += 300_000;
  await runDue(schedule, ['a']);
});

it('a sync that failed runs again when it is due, not before', async () => {
  const { schedule } = await open([syncOf('a', 600)], () => Promise.reject(new Error('broken')));
  await runDue(schedule, ['a']);
  await runDue(schedule, []);
  now += 600_000;
  await runDue(schedule, ['a']);
});

it('a sync that still runs is not started again', async () => {
  let finish: () => void = () => undefined;
  const { schedule, book } = await open([syncOf('a', 60)], () => new Promise((resolve) => (finish = resolve)));
  await runDue(schedule, ['a']);
  now += 600_000;
  await runDue(schedule, []);
  finish();
  await eventually(async () => expect((await book.get('a'))?.status.lastRun?.state).toBe('succeeded'));
});

it('a clock that was set back does not stop the schedule', async () => {
  const { schedule } = await open([syncOf('a', 600)]);
  await runDue(schedule, ['a']);
  now -= 30 * 86_400_000;
  await runDue(schedule, ['a']);
});

it('a run whose process ended and that was not resumed has failed', async () => {
  const { book } = await open([syncOf('a', 600)]);
  await book.recordRun('a', { job: 'sync-000000000000', state: 'running', startedAt: now });
  expect((await book.get('a'))?.status).toEqual({
    lastRun: { job: 'sync-000000000000', state: 'failed', startedAt: now },
    nextRunAt: now + 600_000,
  });
});
