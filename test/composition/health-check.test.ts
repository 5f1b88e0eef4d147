import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HealthCheck } from '../../src/composition/health-check.js';
import type { BlobStore } from '../../src/ports/bytes.js';
import type { MetadataStore } from '../../src/ports/metadata/metadata.js';
import { RegistryError } from '../../src/protocol/errors.js';
import { createRuntime } from '../../src/composition/runtime.js';
import { recordingLogger } from '../support/servers/registry.js';

const full = (): RegistryError =>
  new RegistryError('UNAVAILABLE', { status: 507, message: 'no space left to store this' });
const failed = (code: string): Error => Object.assign(new Error(`${code} in /srv/secret`), { code });
const space = { freeBytes: 5, reserveBytes: 7, isReserveComplete: true };

/** Creates a health check of stores that a test controls. */
function create() {
  const stores = {
    checkIndex: vi.fn(async (): Promise<void> => {}),
    readIndex: vi.fn(async () => []),
    checkBlobs: vi.fn(async (): Promise<void> => {}),
    ensureRoom: vi.fn(async (): Promise<void> => {}),
  };
  const metadata: Partial<MetadataStore> = {
    check: () => stores.checkIndex(),
    candidates: () => stores.readIndex(),
    status: () => ({ writable: true, reopens: 2 }),
  };
  const blobs: Partial<BlobStore> = {
    check: () => stores.checkBlobs(),
    ensureRoom: () => stores.ensureRoom(),
    space: async () => space,
  };
  const logger = recordingLogger();
  const parts = { metadata: metadata as MetadataStore, blobs: blobs as BlobStore, runtime: createRuntime(logger) };
  return { health: new HealthCheck(parts), stores, log: logger.lines };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Waits longer than a report is reused. */
const pause = (): Promise<unknown> => vi.advanceTimersByTimeAsync(1001);

describe('a health report', () => {
  it('is ok, with the free space and the reopens of the index', async () => {
    const { health, log } = create();
    expect(await health.report()).toEqual({
      status: 'ok',
      components: { index: { status: 'ok', reopens: 2 }, blobs: { status: 'ok', ...space } },
    });
    expect(log).toEqual([]);
  });

  it.each([
    ['EIO', 'the disk reports errors'],
    ['ENOENT', 'a part of its data folder is missing'],
    ['EROFS', 'its data folder is on a read-only file system'],
    ['ESOMETHING', 'see the log of the registry'],
  ])('is unavailable if the blob store fails with %s, with a reason that names no path', async (code, reason) => {
    const { health, stores } = create();
    stores.checkBlobs.mockRejectedValue(failed(code));
    expect(await health.report()).toMatchObject({
      status: 'unavailable',
      components: { index: { status: 'ok' }, blobs: { status: 'failed', reason } },
    });
  });

  it('is unavailable if the index refuses writes', async () => {
    const { health, stores } = create();
    stores.checkIndex.mockRejectedValue(new RegistryError('UNAVAILABLE', { message: 'the index cannot be written' }));
    expect(await health.report()).toMatchObject({
      status: 'unavailable',
      components: { index: { status: 'failed', reason: 'the index cannot be written', reopens: 2 } },
    });
  });

  it('is ok on a full disk, with degraded components, because reads and deletes work', async () => {
    const { health, stores } = create();
    stores.ensureRoom.mockRejectedValue(full());
    stores.checkIndex.mockRejectedValue(full());
    const degraded = { status: 'degraded', reason: 'no space left to store this' };
    expect(await health.report()).toMatchObject({
      status: 'ok',
      components: { index: degraded, blobs: { ...degraded, freeBytes: 5 } },
    });
  });

  it('is unavailable on a full disk if the index does not answer reads either', async () => {
    const { health, stores } = create();
    stores.checkIndex.mockRejectedValue(full());
    stores.readIndex.mockRejectedValue(full());
    expect(await health.report()).toMatchObject({ status: 'unavailable', components: { index: { status: 'failed' } } });
  });

  it('is shared by all requests at the same time or within a second', async () => {
    const { health, stores } = create();
    await Promise.all([health.report(), health.report()]);
    await health.report();
    expect(stores.checkIndex).toHaveBeenCalledOnce();
    await pause();
    await health.report();
    expect(stores.checkIndex).toHaveBeenCalledTimes(2);
  });

  it('is returned after 3 s if a disk hangs, which is not checked again until it answers', async () => {
    const { health, stores } = create();
    let answer = (): void => {};
    stores.checkBlobs.mockImplementationOnce(() => new Promise((resolve) => (answer = resolve)));
    const first = health.report();
    await vi.advanceTimersByTimeAsync(3000);
    const hung = { status: 'failed', reason: 'no answer within 3 s' };
    expect(await first).toMatchObject({ status: 'unavailable', components: { blobs: hung } });
    await pause();
    // At once, because the check has run for longer already.
    const second = health.report();
    await vi.advanceTimersByTimeAsync(0);
    expect(await second).toMatchObject({ components: { blobs: hung } });
    expect(stores.checkBlobs).toHaveBeenCalledOnce();
    answer();
    await pause();
    expect(await health.report()).toMatchObject({ status: 'ok' });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is logged with the cause when it changes, not for each probe', async () => {
    const { health, stores, log } = create();
    const failure = failed('EIO');
    stores.checkBlobs.mockRejectedValueOnce(failure).mockRejectedValueOnce(failure);
    for (let i = 0; i < 4; i++) {
      await health.report();
      await pause();
    }
    stores.ensureRoom.mockRejectedValueOnce(full());
    await health.report();
    const component = 'blobs';
    expect(log.map(({ level, fields, message }) => [level, message, fields])).toEqual([
      [
        'error',
        'health check failed',
        { component, status: 'failed', reason: 'the disk reports errors', err: failure },
      ],
      ['warn', 'health check passed again', { component }],
      ['warn', 'health check degraded', { component, status: 'degraded', reason: 'no space left to store this' }],
    ]);
  });
});
