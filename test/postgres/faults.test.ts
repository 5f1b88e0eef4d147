import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { PostgresMetadataStore } from '../../src/storage/postgres/postgres-metadata-store.js';
import { at, digest, link, record, repository } from '../contracts/metadata-samples.js';
import { startPostgresProxy, type PostgresProxy } from '../support/servers/postgres-proxy.js';
import { startPostgres, type PostgresServer } from '../support/servers/postgres-server.js';
import { createDatabase, type TestDatabase } from './databases.js';

const durable = { durable: true };
/** The error while the database is away: 503, and when to try again. */
const unavailable = { code: 'UNAVAILABLE', status: 503, headers: { 'Retry-After': '5' } };

/** Finds the connections that wait for notifications. */
const listeners = `SELECT pid FROM pg_stat_activity
  WHERE datname = current_database() AND query = 'LISTEN artifactapi' AND state = 'idle'`;

describe('a PostgresMetadataStore whose connections break', () => {
  let database: TestDatabase;
  let proxy: PostgresProxy;
  let store: PostgresMetadataStore;

  beforeEach(async () => {
    database = await createDatabase();
    proxy = await startPostgresProxy(database.url);
    store = await database.open({ url: proxy.url });
    await store.apply([repository('r')], durable);
  });
  afterEach(async () => {
    await store.close();
    await proxy.stop();
    await database.drop();
  });

  it('finds out that a commit without an answer succeeded', async () => {
    proxy.failCommit('answer-lost');
    const require = [{ type: 'link', at, digest: digest('l'), is: 'absent' } as const];
    await store.apply([link('l', 1)], { durable: true, require });
    expect(await store.link(at, digest('l'))).toEqual({ size: 10, linkedAt: 1 });
    expect(store.status()).toEqual({ writable: true, reopens: 0 });
  });

  it('refuses a write whose commit did not reach the server, and does not repeat it', async () => {
    proxy.failCommit('request-lost');
    await expect(store.apply([link('l', 1)], durable)).rejects.toMatchObject(unavailable);
    expect(await store.link(at, digest('l'))).toBeUndefined();
    expect(store.status()).toMatchObject({ writable: false, lastFailure: { noSpace: false } });
    await store.apply([link('l', 2)], durable);
    expect(store.status()).toMatchObject({ writable: true });
  });

  it('refuses reads and writes while no connection can be made, and recovers by itself', async () => {
    await store.documents('rule');
    proxy.refuse(true);
    await expect(store.link(at, digest('l'))).rejects.toMatchObject(unavailable);
    await expect(store.apply([link('l', 1)], durable)).rejects.toMatchObject(unavailable);
    await expect(store.tryApply([link('l', 1)], durable)).rejects.toMatchObject(unavailable);
    await expect(store.check()).rejects.toMatchObject(unavailable);
    // What is in memory is trusted for a while.
    expect(await store.documents('rule')).toEqual([]);
    proxy.refuse(false);
    await store.apply([link('l', 1), record('rule', 'a')], durable);
    expect(await store.link(at, digest('l'))).toBeDefined();
    await store.check();
  });

  it.each([
    ['refuses connections', (): void => proxy.refuse(true)],
    ['does not answer', (): void => proxy.freeze()],
  ])('closes while the database %s', async (_case, fail) => {
    await expect.poll(() => database.query(listeners)).toHaveLength(1);
    fail();
    const reading = expect(store.link(at, digest('l'))).rejects.toMatchObject(unavailable);
    await store.close();
    await reading;
    await expect(store.link(at, digest('l'))).rejects.toThrow('the index is closed');
  });

  it('listens again after the server ended the connection', async () => {
    await expect.poll(() => database.query(listeners)).toHaveLength(1);
    const before = await database.query(listeners);
    await database.query(`SELECT pg_terminate_backend(pid) FROM (${listeners}) listening`);
    await expect.poll(async () => (await database.query(listeners)).length).toBe(1);
    expect(await database.query(listeners)).not.toEqual(before);
  });

  it('learns by a poll what others wrote while it could not listen', async () => {
    const other = await database.open();
    expect(await store.documents('rule')).toEqual([]);
    proxy.refuse(true);
    await other.apply([record('rule', 'a')], durable);
    proxy.refuse(false);
    await expect.poll(() => store.documents('rule')).toHaveLength(1);
    await other.close();
  });
});

describe('a PostgresMetadataStore whose server is killed', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server.stop());

  it('loses nothing that it acknowledged, and works again when the server is back', async () => {
    const { PostgresMetadataStore: Store } = await import('../../src/storage/postgres/postgres-metadata-store.js');
    const store = await Store.open({ url: server.url(), migrate: true, partitions: 1 });
    await store.apply([repository('r')], durable);
    const acknowledged: string[] = [];
    const progress = { isOver: false };
    const write = async (writer: number): Promise<void> => {
      for (let i = 0; !progress.isOver; i += 1) {
        const name = `${writer} ${i}`;
        const place = { repository: 'r', image: `image-${writer}` };
        await store.apply([link(name, i, place)], durable).then(
          () => acknowledged.push(name),
          (error: unknown) => expect(error).toMatchObject(unavailable),
        );
      }
    };
    const writers = [1, 2, 3, 4].map(write);
    await expect.poll(() => acknowledged.length).toBeGreaterThan(50);
    await server.kill();
    await expect.poll(() => store.status().writable).toBe(false);
    await server.restart();
    const before = acknowledged.length;
    await expect.poll(() => acknowledged.length).toBeGreaterThan(before + 50);
    progress.isOver = true;
    await Promise.all(writers);
    for (const name of acknowledged) {
      const place = { repository: 'r', image: `image-${name.split(' ')[0]}` };
      expect(await store.link(place, digest(name))).toBeDefined();
    }
    await store.close();
  });
});
