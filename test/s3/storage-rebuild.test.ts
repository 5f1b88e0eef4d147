import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRuntime } from '../../src/composition/runtime.js';
import { rebuildStorage } from '../../src/composition/stores/storage-rebuild.js';
import type { Registry, RegistryOptions } from '../../src/index.js';
import type { RebuildOptions } from '../../src/ports/operations/rebuild.js';
import { S3Bucket } from '../../src/storage/s3/client/s3-bucket.js';
import { S3Client } from '../../src/storage/s3/client/s3-client.js';
import { defaultTimeouts, type S3Connection } from '../../src/storage/s3/s3-options.js';
import { createDatabase, type TestDatabase } from '../postgres/databases.js';
import { Client } from '../support/clients/client.js';
import { MiB, patternBytes } from '../support/content/bytes.js';
import { digest, pushBlob } from '../support/content/content.js';
import { recordingLogger, startRegistry } from '../support/servers/registry.js';
import { pushSmallImage, quiet, type PushedImage } from '../support/storage/backup-scene.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { createBucket, listBlobs, listBucket, storageIn } from './support/bucket.js';
import { startFaultProxy } from './support/fault-proxy.js';

type Storage = NonNullable<RegistryOptions['storage']>;

let folder: string;
let connection: S3Connection;
beforeEach(async () => {
  folder = await makeScratchFolder();
  connection = await createBucket();
});
afterEach(() => removeScratchFolder(folder));

const onLevel = (): Storage => storageIn(join(folder, 'index'), connection);

/** Runs a registry while `work` uses it. */
async function serve<T>(storage: Storage, work: (client: Client, registry: Registry) => Promise<T>): Promise<T> {
  const registry = await startRegistry({ ...quiet, storage });
  const client = new Client(registry.url);
  try {
    return await work(client, registry.registry);
  } finally {
    await client.close();
    await registry.close();
  }
}

function rebuild(storage: Storage, options: Partial<RebuildOptions> = {}) {
  const all = { repository: 'local', image: 'recovered', hasTags: false, adopts: false, dryRun: false, ...options };
  return rebuildStorage(
    { ...quiet, storage, repositories: quiet.repositories ?? [] },
    all,
    createRuntime(recordingLogger()),
  );
}

/** Returns whether an image can be pulled by its digest from the recovered image. */
async function pulls(client: Client, { manifest, config, layer }: PushedImage): Promise<boolean> {
  const pulled = await client.get(`/v2/local/recovered/manifests/${manifest.digest}`);
  if (pulled.status !== 200 || !pulled.body.equals(manifest.bytes)) return false;
  for (const bytes of [config, layer]) {
    const blob = await client.get(`/v2/local/recovered/blobs/${digest(bytes)}`);
    if (blob.status !== 200 || !blob.body.equals(bytes)) return false;
  }
  return true;
}

/** Opens the bucket. The test closes it. */
async function openBucket(): Promise<S3Bucket> {
  return new S3Bucket(await S3Client.create(connection, defaultTimeouts), connection);
}

describe.each<[index: string, lose: (database: TestDatabase) => Promise<TestDatabase | undefined>]>([
  ['a folder', async () => undefined],
  ['PostgreSQL', async () => createDatabase()],
])('a rebuild of an index in %s', (index, replace) => {
  it('recovers the manifests of the bucket, changes no blob, and keeps content without a manifest', async () => {
    const isFolder = index === 'a folder';
    const first = await createDatabase();
    const { endpoint, bucket, prefix } = connection;
    const storageOn = ({ url }: TestDatabase): Storage => {
      const s3 = (storageIn('', connection) as { blobs: { s3: object } }).blobs.s3;
      return isFolder
        ? onLevel()
        : {
            metadata: { postgres: { url, max: 4 } },
            blobs: { s3: { ...s3, endpoint: endpoint.href, bucket, prefix, spool: join(folder, 'spool') } },
          };
    };
    const images = await serve(storageOn(first), async (client) => {
      await pushBlob(client, 'local/app', patternBytes(7000));
      return [
        await pushSmallImage(client, 'local/app', '1', 20 * MiB),
        await pushSmallImage(client, 'local/other', '2'),
      ];
    });
    const before = await listBlobs(connection);
    if (isFolder) await cp(join(folder, 'index'), join(folder, 'former'), { recursive: true });
    if (isFolder) await rm(join(folder, 'index'), { recursive: true });
    const second = (await replace(first)) ?? first;
    const storage = storageOn(second);
    await expect(startRegistry({ ...quiet, storage })).rejects.toThrow('the bucket belongs to another registry');
    await expect(rebuild(storage)).rejects.toThrow('add --adopt');
    expect(await rebuild(storage, { dryRun: true })).toMatchObject({ objects: 7, manifests: { added: 2 } });
    await expect(startRegistry({ ...quiet, storage })).rejects.toThrow('the bucket belongs to another registry');

    const report = await rebuild(storage, { adopts: true });
    expect(report).toMatchObject({ objects: 7, blobs: 5, manifests: { added: 2 }, incomplete: [], damaged: [] });
    expect(report.formerStore).toMatch(/^[0-9a-f-]{36}$/);
    expect(await rebuild(storage)).toMatchObject({ objects: 7, blobs: 5, manifests: { added: 0, present: 2 } });
    await serve(storage, async (client, registry) => {
      for (const image of images) expect(await pulls(client, image)).toBe(true);
      expect(await registry.collectGarbage({ graceSeconds: 0 })).toMatchObject({ blobsDeleted: 0 });
    });
    expect(await listBlobs(connection)).toEqual(before);
    await expect(rebuild(storage)).rejects.toThrow('the index is not empty');
    const former = isFolder ? storageIn(join(folder, 'former'), connection) : storageOn(first);
    await expect(startRegistry({ ...quiet, storage: former })).rejects.toThrow(
      'the bucket belongs to another registry',
    );
    await first.drop();
    if (second !== first) await second.drop();
  });
});

it('a rebuild that stopped is refused by a start, and another run reads large recorded objects no more', async () => {
  const proxy = await startFaultProxy();
  const images = await serve(onLevel(), async (client) => [
    await pushSmallImage(client, 'local/app', '1', 5 * MiB),
    await pushSmallImage(client, 'local/app', '2', 6 * MiB),
  ]);
  await rm(join(folder, 'index'), { recursive: true });
  const bucket = await openBucket();
  const sizes = new Map<string, number>();
  for await (const { key } of bucket.list('o/')) sizes.set(key, (await bucket.head(key))?.size ?? 0);
  bucket.close();
  const [stalled] = [...sizes].find(([, size]) => size === 6 * MiB) ?? [];
  const keyOf = (url: URL): string => url.pathname.slice(url.pathname.indexOf('o/'));
  proxy.find = ({ method, url }) => (method === 'GET' && keyOf(url) === stalled ? { stallAfter: 1000 } : undefined);
  const storage = storageIn(join(folder, 'index'), { ...connection, endpoint: proxy.endpoint });
  const stop = new AbortController();
  const onProgress = ({ done }: { readonly done: number }): void => {
    if (done === sizes.size - 1) stop.abort(new Error('stopped'));
  };
  await expect(rebuild(storage, { adopts: true, signal: stop.signal, onProgress })).rejects.toThrow('stopped');
  await expect(startRegistry({ ...quiet, storage: onLevel() })).rejects.toThrow(
    'run "artifactapi storage rebuild" again',
  );
  const read = new Set<string>();
  proxy.find = ({ method, url }) => {
    if (method === 'GET') read.add(keyOf(url));
    return undefined;
  };
  expect(await rebuild(storage)).toMatchObject({ objects: 6, manifests: { added: 2 } });
  const large = [...sizes].filter(([key, size]) => size > 4 * MiB && read.has(key)).map(([key]) => key);
  expect(large).toEqual([stalled]);
  await serve(onLevel(), async (client) => {
    for (const image of images) expect(await pulls(client, image)).toBe(true);
  });
  await proxy.stop();
});

it('a rebuild reports objects that changed in the bucket, and does not record the manifests that name them', async () => {
  const image = await serve(onLevel(), async (client) => {
    await pushSmallImage(client, 'local/app', '1');
    return pushSmallImage(client, 'local/app', '2');
  });
  await rm(join(folder, 'index'), { recursive: true });
  const client = await S3Client.create(connection, defaultTimeouts);
  const bucket = new S3Bucket(client, connection);
  const expected = digest(image.config);
  let damaged = '';
  for await (const { key } of bucket.list('o/')) if ((await bucket.describe(key))?.digest === expected) damaged = key;
  const headers = { 'X-Amz-Meta-Digest': expected };
  await client.call({ method: 'PUT', key: damaged, headers, body: Buffer.from('something else') });
  bucket.close();
  expect(await rebuild(onLevel(), { adopts: true })).toMatchObject({
    objects: 6,
    blobs: 3,
    manifests: { added: 1 },
    incomplete: [{ manifest: image.manifest.digest, blob: expected, problem: 'wrong-digest' }],
    damaged: [{ name: damaged, expected, problem: 'digest' }],
  });
});

it('a rebuild refuses a prefix without a marker unless it adopts it', async () => {
  await serve(onLevel(), (client) => pushSmallImage(client, 'local/app', '1'));
  const elsewhere = storageIn(join(folder, 'new'), { ...connection, prefix: 'elsewhere/' });
  await expect(rebuild(elsewhere)).rejects.toThrow('the bucket has no object artifactapi.json');
  expect((await listBucket(connection)).filter((key) => key.startsWith('elsewhere/'))).toEqual([]);
});
