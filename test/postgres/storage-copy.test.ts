import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { RegistryOptions } from '../../src/index.js';
import { copyToStorage } from '../../src/composition/stores/storage-copy.js';
import { createRuntime } from '../../src/composition/runtime.js';
import { openFolderStores } from '../../src/storage/folder-stores.js';
import { Closers } from '../../src/util/closers.js';
import { createBucket } from '../s3/support/bucket.js';
import { startFaultProxy } from '../s3/support/fault-proxy.js';
import { credentials } from '../s3/support/s3-server.js';
import { Client } from '../support/clients/client.js';
import { recordingLogger, startRegistry } from '../support/servers/registry.js';
import { blobFile, pullsCompletely, pushSmallImage, quiet } from '../support/storage/backup-scene.js';
import { describeIndex, fillIndex, indexContents } from '../support/storage/rich-index.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { createDatabase, type TestDatabase } from './databases.js';

let folder: string;
let data: string;
let database: TestDatabase;
beforeEach(async () => {
  folder = await makeScratchFolder();
  data = join(folder, 'data');
  database = await createDatabase();
});
afterEach(async () => {
  await database.drop();
  await removeScratchFolder(folder);
});

async function storageOn(endpoint?: URL): Promise<RegistryOptions['storage']> {
  const { endpoint: own, bucket, prefix } = await createBucket();
  const s3 = { endpoint: (endpoint ?? own).href, bucket, prefix, credentials, spool: join(folder, 'spool') };
  return { metadata: { postgres: { ...database.options, max: 4 } }, blobs: { s3 } };
}

const copyTo = (storage: RegistryOptions['storage']) =>
  copyToStorage(data, { ...quiet, storage, repositories: [] }, createRuntime(recordingLogger()), {});

it('copies everything of a data folder to PostgreSQL and a bucket, also in a second run', async () => {
  const closers = new Closers();
  const options = { reserveBytes: 0, acceptEmptyIndex: false, maxIndexFiles: 100, maxFolders: 10, maxIdleUploads: 1 };
  const none = (): void => undefined;
  const stores = await openFolderStores(data, { ...options, onIndexEvent: none, onStray: none }, closers);
  await fillIndex(stores.metadata);
  const expected = await describeIndex(stores.metadata);
  await closers.close();
  for (const bytes of indexContents) await writeFile(blobFile(data, bytes), bytes);
  const storage = await storageOn();
  const first = await copyTo(storage);
  expect(first).toMatchObject({ differences: [], damaged: [] });
  expect(first.added).toBe(first.blobs);
  expect(await copyTo(storage)).toMatchObject({ blobs: first.blobs, added: 0, differences: [] });
  const copied = await database.open();
  expect(await describeIndex(copied)).toEqual(expected);
  await copied.close();
});

it('a copy that fails in the middle is refused by nodes; the next run completes it, and all nodes serve it', async () => {
  const proxy = await startFaultProxy();
  const source = await startRegistry({ ...quiet, storage: data });
  const client = new Client(source.url);
  const images = [await pushSmallImage(client, 'local/app', '1'), await pushSmallImage(client, 'local/app', '2')];
  await client.close();
  await source.close();
  const storage = await storageOn(proxy.endpoint);
  let sent = 0;
  proxy.find = ({ method, url }) => {
    if (method !== 'PUT' || !url.pathname.includes('/o/')) return undefined;
    sent += 1;
    return sent > 3 ? { answer: 403, body: '<Error><Code>AccessDenied</Code></Error>' } : undefined;
  };
  await expect(copyTo(storage)).rejects.toThrow('AccessDenied');
  await expect(startRegistry({ ...quiet, storage })).rejects.toThrow('is incomplete');
  proxy.find = () => undefined;
  expect(await copyTo(storage)).toMatchObject({ blobs: 6, added: 3, differences: [], damaged: [] });
  for (let node = 0; node < 2; node++) {
    const registry = await startRegistry({ ...quiet, storage });
    const nodeClient = new Client(registry.url);
    for (const image of images) expect(await pullsCompletely(nodeClient, image)).toBe(true);
    await nodeClient.close();
    await registry.close();
  }
  await expect(copyTo(storage)).rejects.toThrow('the target is not empty');
  await proxy.stop();
});
