import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { RegistryOptions } from '../../src/index.js';
import { PostgresLedger } from '../../src/storage/postgres/postgres-ledger.js';
import type { S3Connection } from '../../src/storage/s3/s3-options.js';
import { createBucket, listBucket } from '../s3/support/bucket.js';
import { credentials } from '../s3/support/s3-server.js';
import { Client } from '../support/clients/client.js';
import { MiB } from '../support/content/bytes.js';
import { digest, someBytes } from '../support/content/content.js';
import { startPostgresProxy, type PostgresProxy } from '../support/servers/postgres-proxy.js';
import { startRegistry, type TestRegistry } from '../support/servers/registry.js';
import { pullsCompletely, pushSmallImage, quiet } from '../support/storage/backup-scene.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { createDatabase, type TestDatabase } from './databases.js';

interface Node {
  readonly registry: TestRegistry;
  readonly client: Client;
}

let database: TestDatabase;
let connection: S3Connection;
let spool: string;
const opened: Node[] = [];
const uploads = '/v2/local/app/blobs/uploads/';

beforeEach(async () => {
  database = await createDatabase();
  connection = await createBucket();
  spool = await makeScratchFolder();
});
afterEach(async () => {
  for (const { registry, client } of opened.splice(0)) {
    await client.close();
    await registry.close();
  }
  await removeScratchFolder(spool);
  await database.drop();
});

/** Returns the option `storage` of a node. */
function storageOn(
  postgres: { url?: string; migrate?: boolean } = {},
  { endpoint, bucket, prefix } = connection,
): RegistryOptions['storage'] {
  const s3 = { endpoint: endpoint.href, bucket, prefix, credentials, trashSeconds: 0, spool };
  return { metadata: { postgres: { ...database.options, max: 4, ...postgres } }, blobs: { s3 } };
}

/** Starts a node from options alone. */
async function startNode(storage = storageOn()): Promise<Node> {
  const garbageCollection = { intervalSeconds: 0, graceSeconds: 0 };
  const registry = await startRegistry({ ...quiet, garbageCollection, storage });
  const node = { registry, client: new Client(registry.url) };
  opened.push(node);
  return node;
}

/** Returns why a node does not start: what clients read, and what the operator reads. */
async function refusal(storage: RegistryOptions['storage']): Promise<string> {
  const started = startRegistry({ ...quiet, storage });
  return started.then(
    async (registry) => {
      await registry.close();
      return 'started';
    },
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}

describe('three nodes with one database and one bucket', () => {
  it('serve what was pushed to another one, also to a node that starts later', async () => {
    const [first, second] = [await startNode(), await startNode()];
    const images = [
      await pushSmallImage(first.client, 'local/app', '1'),
      await pushSmallImage(second.client, 'local/app', '2', 20 * MiB),
    ];
    const third = await startNode();
    for (const { client } of [first, second, third]) {
      for (const image of images) expect(await pullsCompletely(client, image)).toBe(true);
      expect((await client.get('/v2/local/app/tags/list')).json()).toMatchObject({ tags: ['1', '2'] });
    }
    for (const { registry } of [first, second, third]) {
      expect(await registry.registry.health()).toMatchObject({ status: 'ok' });
    }
  });

  it('continue and finish an upload that was started on another one', async () => {
    const [first, second, third] = [await startNode(), await startNode(), await startNode()];
    const bytes = someBytes('an upload', 13 * MiB);
    const started = await first.client.post('/v2/local/app/blobs/uploads/');
    const location = started.header('location').replace(/^https?:\/\/[^/]+/, '');
    expect(started.status).toBe(202);
    const patch = await second.client.send('PATCH', location, {
      headers: { 'Content-Type': 'application/octet-stream', 'Content-Range': `0-${6 * MiB - 1}` },
      body: bytes.subarray(0, 6 * MiB),
    });
    expect([patch.status, patch.header('range')]).toEqual([202, `0-${6 * MiB - 1}`]);
    const next = patch.header('location').replace(/^https?:\/\/[^/]+/, '');
    const rest = await third.client.send('PATCH', next, {
      headers: { 'Content-Type': 'application/octet-stream', 'Content-Range': `${6 * MiB}-${bytes.length - 1}` },
      body: bytes.subarray(6 * MiB),
    });
    expect(rest.status).toBe(202);
    const last = rest.header('location').replace(/^https?:\/\/[^/]+/, '');
    const put = await first.client.send('PUT', `${last}${last.includes('?') ? '&' : '?'}digest=${digest(bytes)}`);
    expect(put.status).toBe(201);
    for (const { client } of [first, second, third]) {
      expect((await client.get(`/v2/local/app/blobs/${digest(bytes)}`)).body.equals(bytes)).toBe(true);
    }
  });

  it('answer a closing PUT again whose answer was lost, after the first has ended and while it runs', async () => {
    const nodes = [await startNode(), await startNode(), await startNode()];
    const [first, second] = nodes as [Node, Node];
    for (let round = 0; round < 5; round += 1) {
      const bytes = someBytes(`closed twice ${round}`, 6 * MiB);
      const started = await first.client.post('/v2/local/app/blobs/uploads/');
      const location = started.header('location').replace(/^https?:\/\/[^/]+/, '');
      expect((await first.client.send('PATCH', location, { body: bytes })).status).toBe(202);
      const url = `${location}?digest=${digest(bytes)}`;
      const together = await Promise.all(nodes.map(({ client }) => client.put(url)));
      expect(together.map(({ status, body }) => [status, body.toString()])).toEqual(nodes.map(() => [201, '']));
      const again = await second.client.put(url);
      expect([again.status, again.header('location')]).toEqual([201, together[1]?.header('location')]);
      expect((await second.client.put(url.replace('local/app', 'local/other'))).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    }
    expect(await database.query('SELECT id FROM staged')).toEqual([]);
    expect(await database.query('SELECT id FROM upload_session')).toEqual([]);
  });

  it('answer 404 when the bytes of an upload were taken by one that was killed before it linked them', async () => {
    const [first, second] = [await startNode(), await startNode()];
    const bytes = someBytes('taken', 1000);
    const started = await first.client.post('/v2/local/app/blobs/uploads/');
    const location = started.header('location').replace(/^https?:\/\/[^/]+/, '');
    expect((await second.client.send('PATCH', location, { body: bytes })).status).toBe(202);
    await database.query("UPDATE staged SET owner = 'one that is killed', beat_at = now()");
    const closing = second.client.put(`${location}?digest=${digest(bytes)}`);
    // By now it waits for the other one. Otherwise it gets 400, which is right too, and this test fails.
    await sleep(3000);
    await database.query('DELETE FROM staged');
    expect((await closing).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
  });

  it('keep an upload without bytes when a closing PUT has another digest: one of them may be finishing it', async () => {
    const [first, second] = [await startNode(), await startNode()];
    const bytes = someBytes('not yet there', 1000);
    const started = await first.client.post('/v2/local/app/blobs/uploads/');
    const location = started.header('location').replace(/^https?:\/\/[^/]+/, '');
    const url = `${location}?digest=${digest(bytes)}`;
    expect((await second.client.put(url)).codes).toEqual(['DIGEST_INVALID']);
    expect((await first.client.send('PUT', url, { body: bytes })).status).toBe(201);
  });

  it('keep the bytes of a chunk that one of them receives when the other one refuses the same chunk after it', async () => {
    const [first, second] = [await startNode(), await startNode()];
    const started = await first.client.post('/v2/local/app/blobs/uploads/');
    const location = started.header('location').replace(/^https?:\/\/[^/]+/, '');
    const chunk = someBytes('a chunk', MiB);
    const headers = { 'Content-Type': 'application/octet-stream', 'Content-Range': `0-${chunk.length - 1}` };
    const body = new PassThrough();
    const slow = first.client.send('PATCH', location, {
      headers: { ...headers, 'Content-Length': `${chunk.length}` },
      body,
    });
    body.write(chunk.subarray(0, 1000));
    await expect.poll(() => database.query('SELECT id FROM staged WHERE owner IS NOT NULL')).toHaveLength(1);
    const same = second.client.send('PATCH', location, { headers, body: chunk });
    // Usually it waits for the other one by now.
    await sleep(600);
    body.end(chunk.subarray(1000));
    expect([(await slow).status, (await same).status]).toEqual([202, 416]);
    expect((await second.client.get(location)).header('range')).toBe(`0-${chunk.length - 1}`);
    expect((await second.client.put(`${location}?digest=${digest(chunk)}`)).status).toBe(201);
  });

  it('collect the garbage of each other and keep what is in use', async () => {
    const [first, second] = [await startNode(), await startNode()];
    const image = await pushSmallImage(first.client, 'local/app', '1', 20 * MiB);
    const kept = await pushSmallImage(second.client, 'local/app', '2');
    expect((await second.client.delete(`/v2/local/app/manifests/${image.manifest.digest}`)).status).toBe(202);
    // Several passes: links become candidates for bytes, and each node leaves the other's claims alone.
    let deleted = 0;
    await expect
      .poll(async () => {
        for (const { registry } of [first, second]) {
          deleted += (await registry.registry.collectGarbage({ graceSeconds: 0 })).blobsDeleted;
        }
        return deleted;
      })
      .toBe(3);
    for (const { client } of [first, second]) expect(await pullsCompletely(client, kept)).toBe(true);
    await opened.shift()?.client.close();
    await first.registry.close();
    const third = await startNode();
    // A start deletes the objects whose time has come.
    await expect.poll(() => listBucket(connection)).toHaveLength(1 + 3);
    expect(await pullsCompletely(third.client, kept)).toBe(true);
  });

  it.each([
    [
      'in one request',
      (client: Client, bytes: Buffer) => client.post(`${uploads}?digest=${digest(bytes)}`, { body: bytes }),
    ],
    [
      'in a session',
      async (client: Client, bytes: Buffer) => {
        const location = (await client.post(uploads)).header('location').replace(/^https?:\/\/[^/]+/, '');
        return client.put(`${location}?digest=${digest(bytes)}`, { body: bytes });
      },
    ],
  ])('do not collect a blob that another one receives %s before it is linked', async (_how, push) => {
    const [first, second] = [await startNode(), await startNode()];
    const spy = afterPutPlace(async () => {
      expect(await second.registry.registry.collectGarbage()).toMatchObject({ blobsDeleted: 0 });
    });
    const bytes = someBytes('pushed meanwhile', 1000);
    expect((await push(first.client, bytes)).status).toBe(201);
    spy.mockRestore();
    expect((await second.client.get(`/v2/local/app/blobs/${digest(bytes)}`)).body).toEqual(bytes);
    expect((await second.client.delete(`/v2/local/app/blobs/${digest(bytes)}`)).status).toBe(202);
    await sleep(2);
    expect(await second.registry.registry.collectGarbage()).toMatchObject({ blobsDeleted: 1 });
  });

  it('do not collect a blob that another one receives when they drop an older link to it', async () => {
    const [first, second] = [await startNode(), await startNode()];
    const bytes = someBytes('pushed meanwhile', 1000);
    const unused = `/v2/local/unused/blobs/uploads/?digest=${digest(bytes)}`;
    expect((await first.client.post(unused, { body: bytes })).status).toBe(201);
    await sleep(2);
    const spy = afterPutPlace(async () => {
      const report = await second.registry.registry.collectGarbage();
      expect(report).toMatchObject({ unlinked: 1, blobsDeleted: 0 });
    });
    expect((await first.client.post(`${uploads}?digest=${digest(bytes)}`, { body: bytes })).status).toBe(201);
    spy.mockRestore();
    expect((await second.client.get(`/v2/local/app/blobs/${digest(bytes)}`)).body).toEqual(bytes);
  });

  it('spool in folders of their own, which end with them', async () => {
    await startNode();
    await startNode();
    expect(await readdir(spool)).toHaveLength(2);
    for (const { registry, client } of opened.splice(0)) {
      await client.close();
      await registry.close();
    }
    expect(await readdir(spool)).toEqual([]);
  });
});

describe('a node refuses to start', () => {
  it('with the bucket of another registry, and with the wrong bucket of its own database', async () => {
    const { client } = await startNode();
    const image = await pushSmallImage(client, 'local/app', '1');
    const other = await createDatabase();
    expect(await refusal(storageOn({ url: other.url }))).toContain('the bucket belongs to another registry');
    await other.drop();
    expect(await refusal(storageOn({}, await createBucket()))).toContain('but the index has blobs');
    expect(await pullsCompletely(client, image)).toBe(true);
    expect(await pullsCompletely((await startNode()).client, image)).toBe(true);
  });

  it('without the tables of this release, unless it may migrate', async () => {
    expect(await refusal(storageOn({ migrate: false }))).toBe('the database has no schema: run "artifactapi migrate"');
    await startNode();
    await database.query('UPDATE schema_version SET version = 99');
    expect(await refusal(storageOn())).toMatch(/version 99, this release knows \d+ at most: use a newer release/);
    await database.query('UPDATE schema_version SET version = 1');
    expect(await refusal(storageOn({ migrate: false }))).toBe('started');
  });

  it.each([
    ['a login that the database refuses', 'user=app', 'user=stranger', 'role "stranger" does not exist'],
    ['a database that does not exist', /\/test_\w+/, '/missing', 'database "missing" does not exist'],
    ['a server that is away', /host=[^&]+/, `host=${path.join('/', 'nowhere')}`, 'the database is unavailable'],
  ])('with %s', async (_case, from, to, message) => {
    expect(await refusal(storageOn({ url: database.url.replace(from, to) }))).toContain(message);
  });
});

describe('while the database is away', () => {
  let proxy: PostgresProxy;
  beforeEach(async () => {
    proxy = await startPostgresProxy(database.url);
  });
  afterEach(() => proxy.stop());

  it('a node answers 503 with Retry-After and recovers by itself', async () => {
    const { client, registry } = await startNode(storageOn({ url: proxy.url }));
    const image = await pushSmallImage(client, 'local/app', '1', 9 * MiB);
    proxy.refuse(true);
    const answers = [
      await client.get('/v2/local/app/manifests/1'),
      await client.get(`/v2/local/app/blobs/${digest(image.layer)}`),
      await client.post('/v2/local/app/blobs/uploads/'),
    ];
    for (const { status, headers, codes } of answers) {
      expect([status, headers['retry-after'], codes]).toEqual([503, '5', ['UNAVAILABLE']]);
    }
    expect(await registry.registry.health()).toMatchObject({
      status: 'unavailable',
      components: { index: { status: 'failed', reason: 'the database is unavailable' } },
    });
    proxy.refuse(false);
    expect(await pullsCompletely(client, image)).toBe(true);
    await expect.poll(async () => (await registry.registry.health()).status).toBe('ok');
  });
});

/** Runs a step when bytes are stored and not linked yet. */
function afterPutPlace(step: () => Promise<void>) {
  const putPlace = Reflect.get<PostgresLedger, 'putPlace'>(PostgresLedger.prototype, 'putPlace');
  return vi.spyOn(PostgresLedger.prototype, 'putPlace').mockImplementation(async function (
    this: PostgresLedger,
    ...args
  ) {
    await putPlace.apply(this, args);
    // Its candidate is older by then.
    await sleep(2);
    await step();
  });
}
