import { afterEach, beforeEach, expect, it } from 'vitest';
import { migrate } from '../../src/storage/postgres/migrations/migrations.js';
import { PostgresPool } from '../../src/storage/postgres/postgres-pool.js';
import { createDatabase, type TestDatabase } from './databases.js';

let database: TestDatabase;
let pool: PostgresPool;

beforeEach(async () => {
  database = await createDatabase();
  pool = await PostgresPool.create({ url: database.url });
});
afterEach(async () => {
  await pool.close();
  await database.drop();
});

it('a database without a schema is refused, and stays empty', async () => {
  await expect(database.open({ migrate: false })).rejects.toThrow(
    'the database has no schema: run "artifactapi migrate"',
  );
  expect(await database.query("SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace")).toEqual([]);
});

it('five nodes that start at the same time migrate once', async () => {
  const results = await Promise.all(Array.from({ length: 5 }, () => migrate(pool, { partitions: 2 })));
  expect(results.map(({ from }) => from).toSorted((a, b) => a - b)).toEqual([0, 1, 1, 1, 1]);
  expect(await migrate(pool)).toEqual({ from: 1, to: 1 });
  const [first, second] = await Promise.all([database.open(), database.open()]);
  expect(await second.ledger.storeId()).toBe(await first.ledger.storeId());
  await Promise.all([first.close(), second.close()]);
});

it('the number of partitions is that of the first migration', async () => {
  await migrate(pool, { partitions: 3 });
  await migrate(pool, { partitions: 8 });
  const parts = await database.query("SELECT relname FROM pg_class WHERE relispartition AND relname ~ '^link_[0-9]+$'");
  expect(parts).toHaveLength(3);
});

it.each([2, 3])('a schema of version %i is used or refused by a release that knows version 1', async (version) => {
  await migrate(pool, { partitions: 1 });
  await database.query(`UPDATE schema_version SET version = ${version}`);
  if (version === 2) {
    // The next release only adds, so that nodes can be replaced one after the other.
    await (await database.open({ migrate: false })).close();
    expect(await migrate(pool)).toEqual({ from: 2, to: 2 });
    return;
  }
  const message = 'the schema of the database has version 3, this release knows 2 at most: use a newer release';
  await expect(database.open({ migrate: false })).rejects.toThrow(message);
  await expect(migrate(pool)).rejects.toThrow(message);
});

it('a URL without a server is refused with UNAVAILABLE', async () => {
  const url = database.url.replace('host=', 'host=/nowhere');
  await expect(database.open({ url })).rejects.toMatchObject({ code: 'UNAVAILABLE', status: 503 });
});

it('a closed store refuses reads and writes', async () => {
  const store = await database.open();
  await store.close();
  await store.close();
  await expect(store.repositories()).rejects.toThrow('the index is closed');
  await expect(store.apply([], { durable: true })).rejects.toThrow('the index is closed');
  await expect(store.check()).rejects.toThrow('the index is closed');
});
