import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Sampler } from '../../../src/operations/monitoring/sampler.js';
import type { StoredFigures, Totals } from '../../../src/operations/monitoring/sample-sums.js';
import type { Sample, SampleStep } from '../../../src/ports/operations/monitoring.js';
import { RegistryError } from '../../../src/protocol/errors.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const hour = 3_600_000;
const day = 24 * hour;
const none: Totals = { pulls: 0, pushes: 0, hit: 0, miss: 0, stale: 0, upstreamBytes: 0 };
/** The first hour of a day. */
const start = 20_000 * day;

describe('Sampler', () => {
  let folder: string;
  let metadata: LevelMetadataStore;
  let now: number;
  let totals: Map<string, Totals>;
  let stored: Map<string, StoredFigures>;
  let warnings: string[];
  let isFull: boolean;

  beforeEach(async () => {
    folder = await makeScratchFolder();
    metadata = await LevelMetadataStore.open(folder);
    now = start;
    totals = new Map();
    stored = new Map([['local', { bytes: 10, images: 1 }]]);
    warnings = [];
    isFull = false;
  });
  afterEach(async () => {
    await metadata.close();
    await removeScratchFolder(folder);
  });

  const createSampler = (): Sampler =>
    new Sampler({
      metadata,
      blobs: {
        ensureRoom: async () => {
          if (isFull) throw new RegistryError('UNAVAILABLE', { status: 507 });
        },
      },
      runtime: {
        now: () => now,
        log: { debug: () => {}, info: () => {}, warn: (_fields, text) => warnings.push(text), error: () => {} },
      },
      totals: async () => new Map(totals),
      stored: async () => stored,
    });
  const saved = (step: SampleStep = 'hour'): Promise<readonly Sample[]> =>
    metadata.samples.read(step, { since: 0, before: Infinity });
  const pull = (pulls: number): void => void totals.set('local', { ...none, pulls });
  const local = (sample: Sample | undefined) => sample?.repositories['local'];

  it('records what happened in each hour, and what was stored at its end', async () => {
    const sampler = createSampler();
    pull(2);
    await sampler.record();
    now += hour;
    pull(5);
    stored = new Map([['local', { bytes: 30, images: 2 }]]);
    await sampler.record();
    now += 10 * 60_000;
    pull(6);
    await sampler.record();
    expect(await saved()).toEqual([
      { at: start, repositories: { local: { ...none, pulls: 5, bytes: 10, images: 1 } } },
      { at: start + hour, repositories: { local: { ...none, pulls: 1, bytes: 30, images: 2 } } },
    ]);
    expect(await sampler.read('hour', 0)).toEqual(await saved());
  });

  it('continues the hour of an earlier process, and counts that restart at 0', async () => {
    pull(4);
    await createSampler().record();
    const next = createSampler();
    pull(1);
    await next.record();
    expect(local((await saved())[0])?.pulls).toBe(5);
    totals.set('local', { ...none, pulls: 0 });
    await next.record();
    pull(2);
    await next.record();
    expect(local((await saved())[0])?.pulls).toBe(7);
  });

  it('shows the current hour before it is recorded', async () => {
    pull(3);
    expect(await createSampler().read('hour', 0)).toMatchObject([{ at: start, repositories: { local: { pulls: 3 } } }]);
    expect(await saved()).toEqual([]);
  });

  it('joins hours to days when they are 31 days old, and shows the same days before and after', async () => {
    const sampler = createSampler();
    for (let i = 1; i <= 26; i++) {
      pull(i);
      await sampler.record();
      now += hour;
    }
    pull(26);
    await sampler.record();
    const days = await sampler.read('day', 0);
    expect(days.map((one) => [one.at, local(one)?.pulls])).toEqual([
      // The first record of an hour ends the previous hour.
      [start, 25],
      [start + day, 1],
    ]);
    now = start + 32 * day;
    await sampler.record();
    expect((await saved('day')).map(({ at }) => at)).toEqual([start]);
    expect((await saved()).map(({ at }) => at)).not.toContain(start + 23 * hour);
    expect((await saved()).map(({ at }) => at)).toContain(start + 24 * hour);
    expect((await sampler.read('day', 0)).slice(0, 2)).toEqual(days);
  });

  it('removes days after two years', async () => {
    await createSampler().record();
    now = start + 40 * day;
    const sampler = createSampler();
    await sampler.record();
    expect(await saved('day')).toHaveLength(1);
    now = start + 3 * 366 * day;
    await sampler.record();
    // That of the second record, which was an hour until now, goes with the next one.
    expect((await saved('day')).map(({ at }) => at)).toEqual([start + 40 * day]);
    now += day;
    await sampler.record();
    expect(await saved('day')).toEqual([]);
  });

  it('keeps figures in memory while the disk is full', async () => {
    const sampler = createSampler();
    isFull = true;
    pull(1);
    await sampler.record();
    now += hour;
    await sampler.record();
    expect(await saved()).toEqual([]);
    expect((await sampler.read('hour', 0)).map(({ at }) => at)).toEqual([start, start + hour]);
    isFull = false;
    await sampler.record();
    expect((await saved()).map(({ at }) => at)).toEqual([start, start + hour]);
    expect(warnings).toEqual([]);
  });

  it('logs a failed write and does not reject', async () => {
    const sampler = createSampler();
    await metadata.close();
    await sampler.record();
    expect(warnings).toEqual(['failed to record statistics']);
  });

  it('writes the remaining counts when it closes, if it was started', async () => {
    const idle = createSampler();
    pull(1);
    await idle.close();
    expect(await saved()).toEqual([]);
    const sampler = createSampler();
    sampler.start();
    await sampler.close();
    expect(local((await saved())[0])).toEqual({ ...none, pulls: 1 });
  });
});
