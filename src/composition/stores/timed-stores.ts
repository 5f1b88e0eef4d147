import { StorageTimings } from '../../operations/metrics/storage-metrics.js';
import type { BlobStore, StagedBlob } from '../../ports/bytes.js';
import type { MetadataStore, WriteOptions } from '../../ports/metadata/metadata.js';
import { overlay } from '../../util/overlay.js';
import type { Stores } from './open-stores.js';

/** Stores that may be timed. */
export interface TimedStores extends Stores {
  /** Counts how long calls take. Absent if they are not timed. */
  readonly timings?: StorageTimings;
}

/**
 * Returns stores that behave like the given ones, whatever their driver, and whose calls are timed.
 * @param driver the kind of blob store.
 */
export function timeStores(stores: Stores, driver: string): TimedStores {
  const timings = new StorageTimings(driver);
  const { blobs, metadata } = stores;
  return { ...stores, blobs: timeBlobs(blobs, timings), metadata: timeIndex(metadata, timings), timings };
}

function timeBlobs(blobs: BlobStore, timings: StorageTimings): BlobStore {
  const stat = timings.acted('Stat');
  const reader = timings.acted('Reader');
  const writer = timings.acted('Writer');
  const commit = timings.acted('Commit');
  const settle = timings.acted('Settle');
  const move = timings.acted('Move');
  const remove = timings.acted('Delete');
  // The store returns the same object while it is open in this process.
  const known = new WeakMap<StagedBlob, StagedBlob>();
  const timeStaged = (staged: StagedBlob): StagedBlob => {
    const before = known.get(staged);
    if (before !== undefined) return before;
    const overlaid = overlay(staged, {
      commit: (expected, options) => timed(staged.commit(expected, options), commit),
    });
    known.set(staged, overlaid);
    return overlaid;
  };
  return overlay(blobs, {
    stat: (digest) => timed(blobs.stat(digest), stat),
    read: (digest, range) => timed(blobs.read(digest, range), reader),
    stage: async (id, options) => timeStaged(await timed(blobs.stage(id, options), writer)),
    settle: timeSettling((digests, write) => blobs.settle(digests, write), settle),
    adopt: (id, file) => timed(blobs.adopt(id, file), move),
    delete: (digest, version) => timed(blobs.delete(digest, version), remove),
  });
}

/** Times only what comes before the write, which the index times. */
function timeSettling(settle: BlobStore['settle'], report: (took: number) => void): BlobStore['settle'] {
  return (digests, write) => {
    const startedAt = performance.now();
    let isReported = false;
    const settled = (): void => {
      if (!isReported) report((performance.now() - startedAt) / 1000);
      isReported = true;
    };
    const call = settle(digests, (found) => {
      settled();
      return write(found);
    });
    call.catch(settled);
    return call;
  };
}

function timeIndex(metadata: MetadataStore, timings: StorageTimings): MetadataStore {
  const timeWrite = <T>(write: Promise<T>, { length }: readonly unknown[], { durable }: WriteOptions): Promise<T> =>
    timed(write, (took) => timings.wrote(durable, length, took));
  return overlay(metadata, {
    apply: (changes, options) => timeWrite(metadata.apply(changes, options), changes, options),
    tryApply: (changes, options) => timeWrite(metadata.tryApply(changes, options), changes, options),
    applyWithin: (changes, options) => timeWrite(metadata.applyWithin(changes, options), changes, options),
  });
}

/**
 * Reports how many seconds a call took, whether or not it failed. Returns the promise of the call and not one of its own,
 * which would take further turns of the queue of microtasks: a push makes dozens of these calls.
 */
function timed<T>(call: Promise<T>, report: (took: number) => void): Promise<T> {
  const startedAt = performance.now();
  const ended = (): void => report((performance.now() - startedAt) / 1000);
  call.then(ended, ended);
  return call;
}
