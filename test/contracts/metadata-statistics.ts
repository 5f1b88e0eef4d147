import { expect, it } from 'vitest';
import type { Change, MetadataStore } from '../../src/ports/metadata/metadata.js';
import type { Sample, SampleStep } from '../../src/ports/operations/monitoring.js';

const none = { pulls: 0, pushes: 0, hit: 0, miss: 0, stale: 0, upstreamBytes: 0 };

/** Tests the samples of the past. */
export function samples(store: () => MetadataStore): void {
  const write = (...changes: readonly Change[]): Promise<void> => store().apply(changes, { durable: false });
  const sample = (at: number, pulls = 1): Sample => ({ at, repositories: { r: { ...none, pulls } } });
  const put = (step: SampleStep, one: Sample): Change => ({ type: 'sample.put', step, sample: one });
  const read = (step: SampleStep, since = 0, before = Infinity): Promise<readonly Sample[]> =>
    store().samples.read(step, { since, before });

  it('are read in chronological order, including the first time and excluding the second', async () => {
    await write(put('hour', sample(900)), put('hour', sample(20)), put('hour', sample(3_600_000)));
    expect(await read('hour')).toEqual([sample(20), sample(900), sample(3_600_000)]);
    expect(await read('hour', 20, 900)).toEqual([sample(20)]);
    expect(await read('hour', 21)).toEqual([sample(900), sample(3_600_000)]);
    expect(await read('hour', 900, 900)).toEqual([]);
  });

  it('of hours and of days are separate', async () => {
    await write(put('hour', sample(5)), put('day', sample(5, 7)));
    expect(await read('hour')).toEqual([sample(5)]);
    expect(await read('day')).toEqual([sample(5, 7)]);
  });

  it('are replaced and deleted, and leave no entry in the journal', async () => {
    await write(put('hour', sample(5)), put('hour', sample(6)));
    await store().apply([put('hour', sample(5, 2)), { type: 'sample.delete', step: 'hour', when: 6 }], {
      durable: true,
      by: { actor: { principal: 'ci', via: 'basic' }, at: 1 },
    });
    expect(await read('hour')).toEqual([sample(5, 2)]);
    await write({ type: 'sample.delete', step: 'day', when: 1 });
    expect(await store().journal.read({ after: 0, limit: 10 })).toEqual([]);
  });
}
