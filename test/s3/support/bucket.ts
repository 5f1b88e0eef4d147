import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { inject } from 'vitest';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { S3Client } from '../../../src/storage/s3/client/s3-client.js';
import { S3BlobStore, type S3BlobStoreOptions } from '../../../src/storage/s3/s3-blob-store.js';
import { defaultTimeouts, type S3Connection } from '../../../src/storage/s3/s3-options.js';
import type { ObjectLedger } from '../../../src/ports/metadata/object-ledger.js';
import type { ManyOptions } from '../../contracts/blob-store-many.js';
import { credentials } from './s3-server.js';

/** Creates a bucket. Returns how to reach it. @param endpoint the server. @default that of the tests */
export async function createBucket(endpoint = new URL(inject('s3Endpoint'))): Promise<S3Connection> {
  const connection: S3Connection = {
    endpoint,
    region: 'us-east-1',
    bucket: `test-${randomUUID()}`,
    prefix: 'images/',
    pathStyle: true,
    credentials: () => credentials,
  };
  const client = await S3Client.create({ ...connection, prefix: '' }, defaultTimeouts);
  await client.call({ method: 'PUT', key: '' });
  client.close();
  return connection;
}

/** Returns the option `storage` of a registry. */
export function storageIn(folder: string, { endpoint, bucket, prefix }: S3Connection, trashSeconds = 3600) {
  const s3 = { endpoint: endpoint.href, bucket, prefix, credentials, trashSeconds };
  return { metadata: { level: folder }, blobs: { s3 } };
}

/** Returns the keys of all objects, and of uploads that are not complete. */
export async function listBucket(connection: S3Connection): Promise<readonly string[]> {
  const client = await S3Client.create({ ...connection, prefix: '' }, defaultTimeouts);
  const objects = (await client.call({ method: 'GET', key: '', query: { 'list-type': '2' } })).body.toString();
  const uploads = (await client.call({ method: 'GET', key: '', query: { uploads: '' } })).body.toString();
  client.close();
  return [...(objects + uploads).matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key = '']) => key).sort();
}

/** Returns the keys without the prefix, and without the marker. */
export async function listBlobs(connection: S3Connection): Promise<readonly string[]> {
  const keys = (await listBucket(connection)).map((key) => key.slice(connection.prefix.length));
  return keys.filter((key) => key !== 'artifactapi.json');
}

/** A store on a bucket, and the index that has its ledger. */
export interface S3Scene {
  readonly metadata: LevelMetadataStore;
  readonly blobs: S3BlobStore;
  close(): Promise<void>;
}

/** Opens an index and a store in a folder. */
export async function openScene(
  folder: string,
  connection: S3Connection,
  more: Partial<S3BlobStoreOptions> = {},
): Promise<S3Scene> {
  const metadata = await LevelMetadataStore.open(join(folder, 'index'), { knowsPlaces: true });
  try {
    const blobs = await S3BlobStore.open({
      connection,
      ledger: metadata.ledger,
      spoolFolder: join(folder, 'spool'),
      trashMs: 3_600_000,
      onLost: () => undefined,
      onUnknown: () => undefined,
      onTrashError: () => undefined,
      ...more,
    });
    return {
      metadata,
      blobs,
      async close() {
        await blobs.close();
        await metadata.close();
      },
    };
  } catch (error) {
    await metadata.close();
    throw error;
  }
}

/** Stores of several processes on one bucket. */
export interface OpenStores {
  open(options?: ManyOptions): Promise<S3BlobStore>;
  close(): Promise<void>;
}

/** Opens stores on a bucket, each with a spool of its own. @param ledger opens the ledger of a process. */
export function openStores(folder: string, connection: S3Connection, ledger: () => Promise<ObjectLedger>): OpenStores {
  const stores: S3BlobStore[] = [];
  return {
    async open({ wrap = (own) => own, ...options }: ManyOptions = {}) {
      const store = await S3BlobStore.open({
        connection,
        ledger: wrap(await ledger()),
        spoolFolder: join(folder, `spool-${stores.length}`),
        trashMs: 3_600_000,
        onLost: () => undefined,
        onUnknown: () => undefined,
        onTrashError: () => undefined,
        pollMs: 20,
        ...options,
      });
      stores.push(store);
      return store;
    },
    close: async () => void (await Promise.all(stores.map((store) => store.close()))),
  };
}
