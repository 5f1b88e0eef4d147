import { expect, it } from 'vitest';
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
