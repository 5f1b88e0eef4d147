import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AccessTimes, type AccessTimesParts } from '../../../../src/repositories/cache/eviction/access-times.js';
import { LevelMetadataStore } from '../../../../src/storage/level/level-metadata-store.js';
import { MemoryBlobStore } from '../../../support/storage/memory-blob-store.js';
import { at, digest, link, manifest, repository } from '../../../contracts/metadata-samples.js';
import { hooked, TestRuntime } from '../../../support/storage/domain.js';
import { makeScratchFolder, removeScratchFolder } from '../../../support/storage/scratch.js';

const elsewhere = { repository: 's', image: 'i' };

describe('access times', () => {
  let folder: string;
  let metadata: LevelMetadataStore;
  let runtime: TestRuntime;
  const logs: AccessTimes[] = [];
  beforeEach(async () => {
    folder = await makeScratchFolder();
    metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
    runtime = new TestRuntime(1000);
    const names = ['a', 'b', 'c', 'd', 'e'];
    const links = names.flatMap((name) => [link(name, 1), link(name, 1, elsewhere)]);
    await metadata.apply([repository('r'), repository('s'), ...links], { durable: false });
  });
  afterEach(async () => {
    vi.useRealTimers();
    for (const log of logs.splice(0)) await log.close();
    await metadata.close();
    await removeScratchFolder(folder);
  });

  const open = (more: Partial<AccessTimesParts> = {}): AccessTimes => {
    const log = new AccessTimes({ metadata, blobs: new MemoryBlobStore(), runtime, ...more });
    logs.push(log);
    return log;
  };
  const touch = (log: AccessTimes, ...names: readonly string[]): void => {
    for (const name of names) log.touch(at, digest(name));
  };
  const written = async (name = 'r'): Promise<Record<string, number>> => {
    const items = await metadata.evictable(name, { limit: 100 });
    const nameOf = (found: string) => ['a', 'b', 'c', 'd', 'e'].find((text) => digest(text) === found) ?? '';
    return Object.fromEntries(items.map((item) => [nameOf(item.digest), item.touchedAt]));
  };

  it('writes the time of the first access since the last write, for content that the image holds', async () => {
    const log = open();
    touch(log, 'a', 'x');
    runtime.advance(5);
    touch(log, 'a', 'b');
    log.touch(elsewhere, digest('a'));
    expect(await written()).toEqual({});
    await log.flush();
    expect([await written(), await written('s')]).toEqual([{ a: 1000, b: 1005 }, { a: 1005 }]);
    runtime.advance(5);
    touch(log, 'a');
    await log.flush();
    expect(await written()).toEqual({ a: 1010, b: 1005 });
  });

  it('counts an access to a manifest for everything that it names, directly or through other manifests', async () => {
    const log = open();
    const named = (name: string, ...references: string[]) =>
      ({ type: 'manifest.put', at, manifest: { ...manifest(name), references: references.map(digest) } }) as const;
    await metadata.apply([named('c', 'd', 'e'), named('d', 'a', 'c', 'x')], { durable: false });
    touch(log, 'b');
    runtime.advance(5);
    touch(log, 'c');
    expect(log.isTouched(at, digest('a'))).toBe(false);
    await log.flush();
    expect(await written()).toEqual({ a: 1005, b: 1000, c: 1005, d: 1005, e: 1005 });
    runtime.advance(5);
    touch(log, 'a');
    await log.flush();
    expect(await written()).toEqual({ a: 1010, b: 1000, c: 1005, d: 1005, e: 1005 });
  });

  it('writes every minute', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const log = open();
    touch(log, 'a');
    vi.advanceTimersByTime(59_999);
    await log.betweenFlushes(() => Promise.resolve());
    expect(await written()).toEqual({});
    vi.advanceTimersByTime(1);
    await log.betweenFlushes(() => Promise.resolve());
    expect(await written()).toEqual({ a: 1000 });
  });

  it('writes the times when it closes, and records nothing afterwards', async () => {
    const log = open();
    touch(log, 'a');
    await log.close();
    touch(log, 'b');
    await log.flush();
    expect(await written()).toEqual({ a: 1000 });
  });

  it('reports the accesses that are not written yet', async () => {
    const log = open();
    touch(log, 'a');
    expect([log.isTouched(at, digest('a')), log.isTouched(elsewhere, digest('a'))]).toEqual([true, false]);
    await log.flush();
    expect(log.isTouched(at, digest('a'))).toBe(false);
  });

  it('drops the times of a deleted repository, and of no other', async () => {
    const log = open();
    touch(log, 'a');
    log.touch(elsewhere, digest('a'));
    await metadata.apply([{ type: 'repository.delete', name: 'r', when: 1 }], { durable: false });
    await log.flush();
    expect([await written(), await written('s')]).toEqual([{}, { a: 1000 }]);
    expect(log.isTouched(at, digest('a'))).toBe(false);
    await log.flush();
  });

  it('keeps times that could not be written, and logs the failure when no one waits', async () => {
    let broken = true;
    const failing = hooked(metadata, async (method) => {
      if (broken && method === 'apply') throw new Error('the disk is full');
    });
    const log = open({ metadata: failing });
    touch(log, 'a');
    await expect(log.flush()).rejects.toThrow('full');
    runtime.advance(5);
    touch(log, 'a', 'b');
    await log.close();
    expect(runtime.log.lines).toMatchObject([{ level: 'warn' }]);
    broken = false;
    await log.flush();
    expect(await written()).toEqual({ a: 1000, b: 1005 });
  });

  it('is bounded: writes when it is half full, and records nothing while it is full', async () => {
    let release = (): void => undefined;
    const slow = hooked(metadata, async (method) => {
      if (method === 'apply') await new Promise<void>((resolve) => (release = resolve));
    });
    const log = open({ metadata: slow, maxEntries: 4 });
    touch(log, 'a', 'b');
    await expect.poll(() => log.isTouched(at, digest('a'))).toBe(false);
    touch(log, 'c');
    log.touch(elsewhere, digest('d'));
    log.touch(elsewhere, digest('e'));
    expect(log.isTouched(elsewhere, digest('e'))).toBe(false);
    const timer = setInterval(() => release(), 1);
    await log.flush();
    clearInterval(timer);
    expect([await written(), await written('s')]).toEqual([{ a: 1000, b: 1000, c: 1000 }, { d: 1000 }]);
    touch(log, 'e');
    expect(log.isTouched(at, digest('e'))).toBe(true);
    release = () => undefined;
    const closing = setInterval(() => release(), 1);
    await log.close();
    clearInterval(closing);
  });

  it('splits many times into several writes', async () => {
    let writes = 0;
    const counting = hooked(metadata, async (method) => void (method === 'apply' && writes++));
    const log = open({ metadata: counting });
    for (let i = 0; i < 1200; i++) touch(log, `x${i}`);
    touch(log, 'a');
    await log.flush();
    expect(writes).toBe(3);
    expect(await written()).toEqual({ a: 1000 });
  });

  it('writes nothing while a task runs that must not see a write', async () => {
    const log = open();
    touch(log, 'a');
    let flushed: Promise<void> | undefined;
    await log.betweenFlushes(async () => {
      flushed = log.flush();
      expect(await written()).toEqual({});
      expect(log.isTouched(at, digest('a'))).toBe(true);
    });
    await flushed;
    expect(await written()).toEqual({ a: 1000 });
    await expect(log.betweenFlushes(() => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
    await log.flush();
  });
});
