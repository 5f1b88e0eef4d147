import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { copyToStorage } from '../../src/composition/stores/storage-copy.js';
import { createRuntime } from '../../src/composition/runtime.js';
import { backupStoppedFolder } from '../../src/storage/backup/backups.js';
import { openFolderStores } from '../../src/storage/folder-stores.js';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import type { S3Connection } from '../../src/storage/s3/s3-options.js';
import { Closers } from '../../src/util/closers.js';
import { Client } from '../support/clients/client.js';
import { MiB } from '../support/content/bytes.js';
import { digest } from '../support/content/content.js';
import { bundledCommand, Command } from '../support/servers/command.js';
import { recordingLogger, startRegistry } from '../support/servers/registry.js';
import {
  blobFile,
  flipByte,
  pullsCompletely,
  pushSmallImage,
  quiet,
  type PushedImage,
} from '../support/storage/backup-scene.js';
import { describeIndex, fillIndex, indexContents } from '../support/storage/rich-index.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { createBucket, storageIn } from './support/bucket.js';
import { startFaultProxy } from './support/fault-proxy.js';

let folder: string;
let data: string;
let connection: S3Connection;
beforeEach(async () => {
  folder = await makeScratchFolder();
  data = join(folder, 'data');
  connection = await createBucket();
});
afterEach(() => removeScratchFolder(folder));

const target = () => storageIn(join(folder, 'index'), connection);
const copy = (from = data, storage: ReturnType<typeof target> = target()) =>
  copyToStorage(from, { ...quiet, storage, repositories: [] }, createRuntime(recordingLogger()), {});

/** Runs a registry on the data folder while `work` pushes. */
async function serveData<T>(work: (client: Client) => Promise<T>): Promise<T> {
  const registry = await startRegistry({ ...quiet, storage: data });
  const client = new Client(registry.url);
  const result = await work(client);
  await client.close();
  await registry.close();
  return result;
}

it('copies everything of an index with its bytes, and a second run changes nothing', async () => {
  const closers = new Closers();
  const options = { reserveBytes: 0, acceptEmptyIndex: false, maxIndexFiles: 100, maxFolders: 10, maxIdleUploads: 1 };
  const none = (): void => undefined;
  const stores = await openFolderStores(data, { ...options, onIndexEvent: none, onStray: none }, closers);
  await fillIndex(stores.metadata);
  const expected = await describeIndex(stores.metadata);
  await closers.close();
  for (const bytes of indexContents) await writeFile(blobFile(data, bytes), bytes);
  const first = await copy();
  expect(first).toMatchObject({ differences: [], damaged: [], entries: { repository: 2, trashed: 1, document: 9 } });
  expect(first.added).toBe(first.blobs);
  const copied = await LevelMetadataStore.open(join(folder, 'index', 'index'));
  expect(await describeIndex(copied)).toEqual(expected);
  await copied.close();
  expect(await copy()).toMatchObject({ blobs: first.blobs, added: 0, differences: [] });
});

it('copies a backup of a running registry, then what has changed once it stopped, until the target starts', async () => {
  const backup = join(folder, 'backup');
  const image = await serveData((client) => pushSmallImage(client, 'local/app', '1', 20 * MiB));
  await backupStoppedFolder(data, backup);
  const next = await serveData(async (client) => {
    // The backup is another folder, so the registry may run.
    expect(await copy(backup)).toMatchObject({ blobs: 3, added: 3, damaged: [] });
    await expect(copy()).rejects.toThrow('the registry of');
    return pushSmallImage(client, 'local/app', '2');
  });
  expect(await copy()).toMatchObject({ blobs: 6, added: 3, damaged: [] });
  const registry = await startRegistry({ ...quiet, storage: target() });
  const client = new Client(registry.url);
  for (const one of [image, next]) expect(await pullsCompletely(client, one)).toBe(true);
  await client.close();
  await registry.close();
  await expect(copy()).rejects.toThrow('the target is not empty');
});

it('refuses a target with a copy of another registry, and reports blobs that cannot be copied', async () => {
  const image = await serveData((client) => pushSmallImage(client, 'local/app', '1'));
  await flipByte(blobFile(data, image.layer));
  await rm(blobFile(data, image.config));
  const report = await copy();
  const uses = [{ repository: 'local', image: 'app', tag: '1' }];
  expect(report.damaged).toHaveLength(2);
  expect(report.damaged).toContainEqual(
    expect.objectContaining({ digest: digest(image.layer), problem: 'digest', uses }),
  );
  expect(report.damaged).toContainEqual(
    expect.objectContaining({ digest: digest(image.config), problem: 'missing', uses }),
  );
  data = join(folder, 'other');
  await serveData((client) => pushSmallImage(client, 'local/app', '1'));
  await expect(copy()).rejects.toThrow('the target has a copy of another registry');
  await expect(copy(join(folder, 'nothing'))).rejects.toThrow('is neither a data folder nor a backup');
});

it('a target whose storage copy was killed in the middle refuses to start, and another run sends only the rest', async () => {
  const proxy = await startFaultProxy();
  const images: PushedImage[] = [];
  await serveData(async (client) => {
    for (const tag of ['1', '2', '3', '4']) images.push(await pushSmallImage(client, 'local/app', tag));
  });
  const config = join(folder, 'config.json');
  await writeFile(
    config,
    JSON.stringify({ storage: storageIn(join(folder, 'index'), { ...connection, endpoint: proxy.endpoint }) }),
  );
  const args = ['storage', 'copy', '--from', data, '--to', config, '--json'];
  let sent = 0;
  let isStuck: () => void;
  const stuck = new Promise<void>((resolve) => (isStuck = resolve));
  proxy.find = ({ method, url }) => {
    if (method !== 'PUT' || !url.pathname.includes('/o/')) return undefined;
    sent += 1;
    if (sent <= 5) return undefined;
    isStuck();
    return 'hang';
  };
  const killed = new Command(bundledCommand, args);
  await stuck;
  killed.kill('SIGKILL');
  await killed.ended();
  await expect(startRegistry({ ...quiet, storage: target() })).rejects.toThrow('is incomplete');
  proxy.find = () => undefined;
  const rest = await new Command(bundledCommand, args).ended();
  expect([rest.code, rest.stderr]).toEqual([0, '']);
  const report = JSON.parse(rest.stdout) as { blobs: number; added: number };
  expect(report.blobs).toBe(12);
  expect(report.added).toBeGreaterThan(0);
  expect(report.added).toBeLessThan(12);
  const registry = await startRegistry({ ...quiet, storage: target() });
  const client = new Client(registry.url);
  for (const image of images) expect(await pullsCompletely(client, image)).toBe(true);
  await client.close();
  await registry.close();
  await proxy.stop();
});
