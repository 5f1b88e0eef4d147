import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Change } from '../../../src/ports/metadata/metadata.js';
import { RegistryError } from '../../../src/protocol/errors.js';
import { digestOf } from '../../../src/protocol/digest.js';
import { PullCounts } from '../../../src/repositories/content/pull-counts.js';
import { TestRuntime } from '../../support/storage/domain.js';

const at = { repository: 'local', image: 'team/app' };
const digest = digestOf(Buffer.from('manifest'));
const other = digestOf(Buffer.from('other'));

describe('PullCounts', () => {
  let runtime: TestRuntime;
  let writes: (readonly Change[])[];
  let isFull: boolean;
  let counts: PullCounts;
  const create = (maxEntries?: number): PullCounts => {
    const metadata = {
      apply: () => Promise.reject(new Error('not used')),
      tryApply: (changes: readonly Change[]) => Promise.resolve(writes.push(changes) > 0),
    };
    const ensureRoom = (): Promise<void> =>
      isFull ? Promise.reject(new RegistryError('UNAVAILABLE', { status: 507 })) : Promise.resolve();
    const parts = { metadata, blobs: { ensureRoom }, runtime };
    return new PullCounts(maxEntries === undefined ? parts : { ...parts, maxEntries });
  };
  beforeEach(() => {
    runtime = new TestRuntime(1000);
    writes = [];
    isFull = false;
    counts = create();
  });
  afterEach(() => counts.close());

  it('writes one change for each manifest, with the time of the last pull, and then starts at zero', async () => {
    counts.count(at, digest);
    runtime.advance(5);
    counts.count(at, digest);
    counts.count(at, other);
    await counts.flush();
    await counts.flush();
    expect(writes).toEqual([
      [
        { type: 'manifest.pulled', at, digest, count: 2, when: 1005 },
        { type: 'manifest.pulled', at, digest: other, count: 1, when: 1005 },
      ],
    ]);
  });

  it('writes the counts of each repository separately', async () => {
    counts.count(at, digest);
    counts.count({ ...at, repository: 'gone' }, digest);
    await counts.flush();
    expect(writes).toHaveLength(2);
  });

  it('keeps the counts in memory while the disk is full', async () => {
    counts.count(at, digest);
    isFull = true;
    await counts.flush();
    expect(writes).toEqual([]);
    isFull = false;
    await counts.flush();
    expect(writes).toHaveLength(1);
    expect(runtime.log.lines).toEqual([]);
  });

  it('counts only so many manifests between two writes', async () => {
    await counts.close();
    counts = create(1);
    counts.count(at, digest);
    counts.count(at, other);
    counts.count(at, digest);
    await counts.flush();
    expect(writes).toEqual([[{ type: 'manifest.pulled', at, digest, count: 2, when: 1000 }]]);
  });
});
