import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { blobStoreManyContract } from '../contracts/blob-store-many.js';
import { createDatabase, type TestDatabase } from '../postgres/databases.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import { createBucket, listBlobs, openStores } from './support/bucket.js';

blobStoreManyContract('S3BlobStore with LevelLedger', async () => {
  const folder = await makeScratchFolder();
  const connection = await createBucket();
  const metadata = await LevelMetadataStore.open(join(folder, 'index'), { knowsPlaces: true });
  const stores = openStores(folder, connection, async () => metadata.ledger);
  return {
    open: (options) => stores.open(options),
    objects: () => listBlobs(connection),
    async dispose() {
      await stores.close();
      await metadata.close();
      await removeScratchFolder(folder);
    },
  };
});

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());

blobStoreManyContract('S3BlobStore with PostgresLedger', async () => {
  const folder = await makeScratchFolder();
  const connection = await createBucket();
  await (await database.open()).close();
  await database.clear();
  // Several stores share a pool of connections: a test opens more than a hundred of them, and the server has a limit.
  const opened = await Promise.all(Array.from({ length: 8 }, () => database.open({ migrate: false })));
  let next = 0;
  const stores = openStores(
    folder,
    connection,
    async () => (opened[next++ % opened.length] ?? expect.fail('no index')).ledger,
  );
  return {
    open: (options) => stores.open(options),
    objects: () => listBlobs(connection),
    async dispose() {
      await stores.close();
      await Promise.all(opened.map((metadata) => metadata.close()));
      await removeScratchFolder(folder);
    },
  };
});
