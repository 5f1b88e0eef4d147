import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RegistryError } from '../../../src/protocol/errors.js';
import { Revisions } from '../../../src/storage/postgres/postgres-revisions.js';

/** A database that answers with revisions, or is away. */
function fakeDatabase() {
  const state = { isAway: false, revision: 1, reads: 0, now: 0 };
  const rows = async () => {
    state.reads += 1;
    if (state.isAway) throw new RegistryError('UNAVAILABLE');
    return [{ kind: 'rule', value: state.revision }];
  };
  const pool = { rows, connect: () => Promise.reject(new Error('not used')) };
  // Revisions read nothing else.
  return { state, pool: pool as unknown as ConstructorParameters<typeof Revisions>[0] };
}

it('what is in memory is trusted for 30 seconds without contact, then refused with 503 until the database answers', async () => {
  const { state, pool } = fakeDatabase();
  const changed: string[][] = [];
  const options = {
    maxStaleMs: 30_000,
    now: () => state.now,
    onChange: (kinds: Iterable<string>) => changed.push([...kinds]),
  };
  const revisions = new Revisions(pool, options);
  await revisions.poll();
  expect(changed).toEqual([['rule']]);
  state.isAway = true;
  state.now = 30_000;
  await revisions.trusted();
  expect(state.reads).toBe(1);
  state.now = 30_001;
  await expect(revisions.trusted()).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 503 });
  await expect(revisions.trusted()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  state.isAway = false;
  state.revision = 2;
  // The answer is recent enough only after the change was announced.
  await revisions.trusted();
  expect(changed).toEqual([['rule'], ['rule']]);
  expect(state.reads).toBe(4);
  await revisions.close();
});

it('an answer counts from when it was asked for, not from when it arrived', async () => {
  const { state, pool } = fakeDatabase();
  const slow = {
    ...pool,
    rows: async () => {
      state.now += 40_000;
      return [];
    },
  } as unknown as typeof pool;
  const revisions = new Revisions(slow, { maxStaleMs: 30_000, now: () => state.now, onChange: () => undefined });
  await revisions.poll();
  const before = state.now;
  await revisions.trusted();
  expect(state.now).toBe(before + 40_000);
  await revisions.close();
});

describe('while the poll of each second stands still', () => {
  /** The reads that wait for an answer, in their order. */
  let reads: ((revision: number) => void)[];
  let changes: number;
  let listener: EventEmitter;
  let revisions: Revisions;
  const answer = async (revision: number): Promise<void> => {
    await expect.poll(() => reads.length, { timeout: 5000 }).toBeGreaterThan(0);
    reads.shift()?.(revision);
  };

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    reads = [];
    changes = 0;
    listener = Object.assign(new EventEmitter(), { query: () => Promise.resolve() });
    const pool = {
      rows: () => new Promise((resolve) => reads.push((value) => resolve([{ kind: 'rule', value }]))),
      connect: () => Promise.resolve(listener),
      disconnect: () => Promise.resolve(),
    };
    revisions = new Revisions(pool as unknown as ConstructorParameters<typeof Revisions>[0], {
      listenUrl: 'postgres://listen',
      maxStaleMs: 30_000,
      now: () => 0,
      onChange: () => (changes += 1),
    });
  });
  afterEach(async () => {
    const closing = revisions.close();
    for (const read of reads) read(0);
    await closing;
    vi.useRealTimers();
  });

  it('a notification during a read leads to another read, whose answer counts', async () => {
    const starting = revisions.start();
    await answer(1);
    await starting;
    // What was notified before the connection listened.
    await answer(1);
    listener.emit('notification');
    await expect.poll(() => reads.length).toBe(1);
    listener.emit('notification');
    await answer(1);
    await answer(2);
    await expect.poll(() => changes).toBe(2);
    expect(reads).toEqual([]);
  });
});

it('a call at the moment when a read ends is answered by a read that begins after it', async () => {
  const { state, pool } = fakeDatabase();
  let late: Promise<void> | undefined;
  const onChange = (): void => queueMicrotask(() => void (late ??= revisions.poll()));
  const revisions: Revisions = new Revisions(pool, { maxStaleMs: 30_000, now: () => state.now, onChange });
  await revisions.poll();
  await late;
  expect(late).toBeDefined();
  expect(state.reads).toBe(2);
  await revisions.close();
});
