import { mkdir, readdir, readFile, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { IndexEvent } from '../../src/storage/level/database/level-database.js';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import type { LevelMetadataStoreOptions } from '../../src/storage/level/level-options.js';
import { createFaults, failingLevel, type LevelFaults } from '../support/storage/failing-level.js';
import { at, collect, digest, link, repository, session } from '../contracts/metadata-samples.js';
import { makeScratchFolder } from '../support/storage/scratch.js';

const full = 'IO error: /data/index/000005.log: No space left on device';
const broken = 'IO error: /data/index/000005.log: Input/output error';

describe('LevelMetadataStore with a failing index', () => {
  let parent: string;
  let folder: string;
  let store: LevelMetadataStore;
  let faults: LevelFaults;
  let events: IndexEvent[];
  let now: number;
  let released: number;
  const durable = { durable: true };

  const openStore = async (options: LevelMetadataStoreOptions = {}) => {
    store = await LevelMetadataStore.open(folder, {
      createLevel: failingLevel(() => faults),
      clock: () => now,
      onEvent: (event) => void events.push(event),
      ...options,
    });
  };
  /** The probe fails while a folder has its name. */
  const refuseFiles = () => mkdir(path.join(folder, '000000.dbtmp'));
  const acceptFiles = () => rm(path.join(folder, '000000.dbtmp'), { recursive: true });
  const pause = () => (now += 10_000);

  beforeEach(async () => {
    faults = createFaults();
    events = [];
    now = 0;
    released = 0;
    parent = await makeScratchFolder();
    folder = path.join(parent, 'index');
    await openStore();
    await store.apply([repository('r'), link('a', 1)], durable);
  });
  afterEach(async () => {
    await store.close();
    await rm(parent, { recursive: true });
  });

  it('reopens the index after a failed write and retries, unnoticed by the caller', async () => {
    faults.batches.push(broken);
    await store.apply([link('b', 2)], durable);
    expect(await store.link(at, digest('b'))).toMatchObject({ size: 10 });
    expect(faults.opened).toBe(2);
    expect(store.status()).toMatchObject({
      writable: true,
      reopens: 1,
      lastFailure: { message: broken, noSpace: false },
    });
    expect(events).toMatchObject([{ type: 'reopened', reopens: 1, failure: { message: broken } }]);
  });

  it('does not count content twice that a failed write had stored', async () => {
    faults.batches.push(broken);
    faults.writesBeforeFailing = true;
    await store.apply([link('b', 2)], durable);
    expect(await store.image(at)).toMatchObject({ bytes: 20 });
    expect(await store.usage('r')).toBe(20);
  });

  it('refuses writes with 503 when the retry fails too, and reopens again after a pause', async () => {
    faults.batches.push(broken, broken);
    await expect(store.apply([link('b', 2)], durable)).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 503 });
    expect(store.status()).toMatchObject({ writable: false, reopens: 1 });
    await expect(store.check()).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 503 });
    expect(faults.opened).toBe(2);
    expect(await store.link(at, digest('a'))).toMatchObject({ size: 10 });
    expect(await store.link(at, digest('b'))).toBeUndefined();
    pause();
    await store.apply([link('b', 2)], durable);
    await store.check();
    expect(store.status()).toMatchObject({ writable: true, reopens: 2 });
    expect(events.map(({ type }) => type)).toEqual(['failed', 'reopened']);
  });

  it('keeps answering reads and refuses writes while the disk cannot store a file', async () => {
    faults.batches.push(broken);
    await refuseFiles();
    await expect(store.apply([link('b', 2)], durable)).rejects.toMatchObject({ status: 503 });
    pause();
    await expect(store.apply([link('b', 2)], durable)).rejects.toMatchObject({ status: 503 });
    expect(faults.opened).toBe(1);
    expect(await store.link(at, digest('a'))).toMatchObject({ size: 10 });
    await acceptFiles();
    pause();
    await store.apply([link('b', 2)], durable);
    expect(faults.opened).toBe(2);
  });

  it('also refuses reads while the index cannot be opened, and retries after growing pauses', async () => {
    faults.batches.push(broken);
    faults.opens.push(broken, broken);
    await expect(store.apply([link('b', 2)], durable)).rejects.toMatchObject({ status: 503 });
    await expect(store.link(at, digest('a'))).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 503 });
    now += 100;
    await expect(store.link(at, digest('a'))).rejects.toMatchObject({ status: 503 });
    expect(faults.opens).toEqual([]);
    now += 100;
    await expect(store.link(at, digest('a'))).rejects.toMatchObject({ status: 503 });
    now += 100;
    expect(await store.link(at, digest('a'))).toMatchObject({ size: 10 });
    expect(store.status()).toMatchObject({ writable: false });
    await store.apply([link('b', 2)], durable);
    expect(store.status()).toMatchObject({ writable: true });
  });

  it('answers resident data from memory even while the index cannot be opened', async () => {
    faults.batches.push(broken);
    faults.opens.push(broken);
    await expect(store.apply([link('b', 2)], durable)).rejects.toMatchObject({ status: 503 });
    expect(await store.repositories()).toHaveLength(1);
  });

  it('rejects writes with 507 on a full disk', async () => {
    faults.batches.push(full, full);
    await expect(store.apply([link('b', 2)], durable)).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 507 });
    await expect(store.apply([link('b', 2)], durable)).rejects.toMatchObject({ status: 507 });
    expect(store.status()).toMatchObject({ writable: false, lastFailure: { noSpace: true } });
  });

  it.each([
    ['frees space', true, 'fulfilled'],
    ['cannot free space', false, 'rejected'],
  ] as const)('requests space when reopening fails on a full disk, and the callback %s', async (_, frees, status) => {
    await store.close();
    await openStore({
      freeSpace: async () => {
        released += 1;
        return frees;
      },
    });
    faults.batches.push(full);
    faults.opens.push(full);
    const [result] = await Promise.allSettled([store.apply([link('b', 2)], durable)]);
    expect(result.status).toBe(status);
    expect(released).toBe(1);
    pause();
    await store.apply([link('c', 3)], durable);
  });

  it('requests space when it starts on a full disk', async () => {
    await store.close();
    faults.opens.push(full);
    await openStore({ freeSpace: async () => true });
    expect(await store.link(at, digest('a'))).toMatchObject({ size: 10 });
  });

  it.runIf(process.platform === 'linux')('requests space when it stops on a full disk', async () => {
    await store.close();
    const draft = `${folder}.json.new`;
    await openStore({ freeSpace: async () => (await unlink(draft), true) });
    await symlink('/dev/full', draft);
    await store.close();
    expect(JSON.parse(await readFile(`${folder}.json`, 'utf8'))).toHaveProperty('sequence');
    await openStore();
  });

  it('waits for running reads before it closes the database, and delays new ones', async () => {
    const links = Array.from({ length: 3000 }, (_, i) => link(`l${i}`, 1));
    await store.apply(links, durable);
    faults.batches.push(broken);
    const write = store.apply([link('b', 2)], durable);
    const reads = Array.from({ length: 200 }, (_, i) => store.link(at, digest(`l${i}`)));
    const lists = Array.from({ length: 20 }, () => store.candidates(Infinity, 3000));
    await write;
    expect((await Promise.all(reads)).every((found) => found?.size === 10)).toBe(true);
    expect((await Promise.all(lists)).every((found) => found.length === 3000)).toBe(true);
    expect(faults.opened).toBe(2);
  });

  it.each([
    ['closing', 'closing'],
    ['opening', 'opening'],
  ] as const)('delays and then answers reads that arrive during its %s', async (_, phase) => {
    const reads: Promise<unknown>[] = [];
    const read = () => {
      reads.push(store.link(at, digest('a')), store.tags(at, { limit: 1 }), store.isCandidate(digest('a')));
    };
    faults.during = (now) => {
      if (now === phase) read();
    };
    faults.batches.push(broken);
    await store.apply([link('b', 2)], durable);
    faults.during = () => {};
    expect(reads).toHaveLength(3);
    expect(await Promise.all(reads)).toMatchObject([{ size: 10 }, { items: [] }, expect.any(Boolean)]);
  });

  it('reopens the index under a constant stream of reads', async () => {
    const end = new AbortController();
    const keepReading = async (): Promise<void> => {
      while (!end.signal.aborted) await store.candidates(Infinity, 10);
    };
    const readers = Array.from({ length: 8 }, keepReading);
    faults.batches.push(broken);
    await store.apply([link('b', 2)], durable);
    end.abort();
    await Promise.all(readers);
    expect(faults.opened).toBe(2);
  });

  it('does not deadlock when a caller writes while it iterates over the sessions', async () => {
    const sessions = Array.from(
      { length: 5 },
      (_, i) => ({ type: 'session.put', session: session(`${i}`, at) }) as const,
    );
    await store.apply(sessions, durable);
    for await (const { id } of store.sessions()) {
      faults.batches.push(broken);
      await store.apply([{ type: 'session.delete', id }], durable);
    }
    expect(await collect(store.sessions())).toEqual([]);
    expect(store.status().reopens).toBe(5);
  });

  it('iterates over more sessions than fit in a page', async () => {
    const sessions = Array.from(
      { length: 2001 },
      (_, i) => ({ type: 'session.put', session: session(`${i}`, at) }) as const,
    );
    await store.apply(sessions, { durable: false });
    expect(await collect(store.sessions())).toHaveLength(2001);
  });

  it('purges and computes usage despite a failure', async () => {
    await store.apply([{ type: 'repository.delete', name: 'r', when: 2 }, repository('s')], durable);
    faults.batches.push(broken);
    while (await store.purge(3));
    faults.batches.push(broken, broken);
    await expect(store.apply([link('b', 2, { repository: 's', image: 'i' })], durable)).rejects.toMatchObject({
      status: 503,
    });
    pause();
    expect(await store.usage('s')).toBe(0);
    expect(await store.candidates(Infinity, 9)).toMatchObject([{ kind: 'bytes', digest: digest('a') }]);
  });

  it('rejects with 503 for an unreadable entry, and stays open', async () => {
    faults.gets.push(broken);
    await expect(store.link(at, digest('b'))).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 503 });
    faults.gets.push(broken);
    const present = { type: 'link', at, digest: digest('b'), is: 'absent' } as const;
    await expect(store.apply([], { durable: true, require: [present] })).rejects.toMatchObject({ status: 503 });
    expect(await store.link(at, digest('b'))).toBeUndefined();
  });

  it('stays open when closing fails, and closes with the next attempt', async () => {
    faults.batches.push(broken);
    faults.closes.push('cannot close');
    await expect(store.apply([link('b', 2)], durable)).rejects.toMatchObject({ status: 503 });
    expect(await store.link(at, digest('a'))).toMatchObject({ size: 10 });
    pause();
    await store.apply([link('b', 2)], durable);
    expect(faults.opened).toBe(2);
  });

  it.each([
    ['a write failed', () => faults.batches.push(broken, broken)],
    ['it could not be reopened', () => (faults.batches.push(broken), faults.opens.push(broken))],
  ])('releases the folder when closed after %s, and the next start has all acknowledged writes', async (_, fail) => {
    fail();
    await expect(store.apply([link('b', 2)], durable)).rejects.toMatchObject({ status: 503 });
    await store.close();
    await openStore();
    expect(await store.link(at, digest('a'))).toMatchObject({ size: 10 });
    expect(await readdir(folder)).toContain('owner.json');
  });

  it('releases the folder when the last write of a clean stop fails', async () => {
    faults.batches.push(broken);
    await store.close();
    await openStore();
    expect(await store.link(at, digest('a'))).toMatchObject({ size: 10 });
  });

  it('keeps its claim on the folder while reopening fails', async () => {
    faults.batches.push(broken);
    faults.opens.push(broken);
    await expect(store.apply([link('b', 2)], durable)).rejects.toMatchObject({ status: 503 });
    await expect(LevelMetadataStore.open(folder)).rejects.toThrow('this process already has');
  });

  it('loses nothing when LevelDB deletes a leftover probe file', async () => {
    await writeFile(path.join(folder, '000000.dbtmp'), 'x');
    await store.close();
    await openStore();
    expect(await readdir(folder)).not.toContain('000000.dbtmp');
  });
});
