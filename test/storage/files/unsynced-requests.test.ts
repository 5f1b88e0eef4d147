import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FsBlobStore } from '../../../src/storage/files/fs-blob-store.js';
import * as files from '../../../src/storage/files/system/files.js';
import { Client, type Answer } from '../../support/clients/client.js';
import { runJob } from '../../support/clients/jobs.js';
import { describeBytes, digest, manifestOf, pushBlob, someBytes, types } from '../../support/content/content.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { blobFile, pullsCompletely, pushSmallImage, quiet } from '../../support/storage/backup-scene.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

vi.mock('../../../src/storage/files/system/files.js', { spy: true });

const name = 'local/app';
const config = someBytes('config', 100);
const layer = someBytes('layer', 7000);
const blob = `/v2/${name}/blobs/${digest(layer)}`;
const manifest = manifestOf(types.ociImage, {
  config: describeBytes(types.ociConfig, config),
  layers: [describeBytes(types.ociLayer, layer)],
});

let folder: string;
let registry: TestRegistry;
let client: Client;

async function start(): Promise<void> {
  registry = await startRegistry({
    ...quiet,
    storage: path.join(folder, 'data'),
    backups: { folder: path.join(folder, 'backups') },
    garbageCollection: { intervalSeconds: 0, graceSeconds: 0 },
  });
  client = new Client(registry.url);
}
async function stop(): Promise<void> {
  await client.close();
  await registry.close();
}
beforeEach(async () => {
  vi.resetAllMocks();
  folder = await makeScratchFolder();
  await start();
  await pushBlob(client, name, config);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await stop();
  await removeScratchFolder(folder);
});

const unsynced = (): Promise<string[]> => readdir(path.join(folder, 'data', 'unsynced'));
const putManifest = () =>
  client.put(`/v2/${name}/manifests/v1`, { headers: { 'Content-Type': types.ociImage }, body: manifest.bytes });
const eio = (): Error => Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });

describe('while the sync of one pushed blob fails', () => {
  beforeEach(async () => {
    vi.mocked(files.syncData).mockImplementation(async (fd) => {
      if ((await files.statOpen(fd)).size === layer.length) throw eio();
    });
    await pushBlob(client, name, layer);
  });
  afterEach(() => vi.mocked(files.syncData).mockReset());

  it.each([
    ['its HEAD', async () => (await client.head(blob)).status, 200],
    ['its GET', async () => (await client.get(blob)).body.equals(layer), true],
    ['a GET of a part of it', async () => (await client.get(blob, { Range: 'bytes=0-9' })).body.length, 10],
    ['a mount of it', async () => (await client.post(`/v2/local/b/blobs/uploads/?mount=${digest(layer)}`)).status, 201],
    ['a manifest that names it', async () => (await putManifest()).status, 500],
    ['another push and pull', async () => pullsCompletely(client, await pushSmallImage(client, 'local/b', '1')), true],
    ['a collection', async () => (await client.post('/api/v1/gc')).status, 200],
    ['a scrub', async () => (await runJob(client, { kind: 'scrub' })).report?.['damaged_count'], 0],
    ['its deletion', async () => (await client.delete(blob)).status, 202],
  ])('%s does not fail unless the bytes must be durable', async (_title, request, expected) => {
    expect(await request()).toBe(expected);
  });

  it('a backup contains all others, and lists this one', async () => {
    const image = await pushSmallImage(client, 'local/b', '1');
    const { state, report } = await runJob(client, { kind: 'backup', folder: 'nightly' });
    expect([state, report]).toMatchObject([
      'partly',
      { damaged: [{ digest: digest(layer), problem: 'missing', uses: [{ repository: 'local', image: 'app' }] }] },
    ]);
    expect(await readFile(blobFile(path.join(folder, 'backups', 'nightly'), image.layer))).toEqual(image.layer);
  });

  it('it stays until a sync succeeds, and then a manifest may name it', async () => {
    for (let time = 0; time < 2; time++) expect((await putManifest()).status).toBe(500);
    expect(registry.log).toEqual(
      expect.arrayContaining([
        {
          level: 'error',
          message: 'blob could not be flushed to the disk, its file is kept',
          fields: expect.objectContaining({ digest: digest(layer) }),
        },
      ]),
    );
    vi.mocked(files.syncData).mockReset();
    expect((await putManifest()).status).toBe(201);
    expect(await unsynced()).toEqual([]);
  });
});

const requests: readonly (readonly [string, () => Promise<Answer>, number, readonly string[]])[] = [
  ['HEAD', () => client.head(blob), 404, []],
  ['GET', () => client.get(blob), 404, ['BLOB_UNKNOWN']],
  ['a GET of a part', () => client.get(blob, { Range: 'bytes=0-9' }), 404, ['BLOB_UNKNOWN']],
  ['a mount', () => client.post(`/v2/local/b/blobs/uploads/?mount=${digest(layer)}`), 202, []],
  ['a manifest', () => putManifest(), 400, ['MANIFEST_BLOB_UNKNOWN']],
  ['a deletion', () => client.delete(blob), 202, []],
];

/** What a power cut or a bad disk does to the file of the layer. */
const losses: readonly (readonly [string, (file: string) => Promise<void>])[] = [
  ['has other bytes', (file) => writeFile(file, Buffer.alloc(layer.length))],
  ['is missing', (file) => rename(file, `${file}.gone`)],
  ['cannot be read', async () => void vi.mocked(files.readFully).mockRejectedValueOnce(eio())],
];

describe.each(losses)('a pushed blob whose file %s at the next start', (_loss, lose) => {
  beforeEach(async () => {
    await pushBlob(client, name, layer);
    await stop();
    // As a killed registry leaves it.
    const file = path.join(folder, 'data', 'unsynced', digest(layer).replace(':', '-'));
    await rename(blobFile(path.join(folder, 'data'), layer), file);
    await lose(file);
    await start();
  });

  it.each(requests)('is absent for %s', async (_title, request, status, codes) => {
    const answer = await request();
    expect([answer.status, status < 400 || answer.body.length === 0 ? [] : answer.codes]).toEqual([status, codes]);
  });

  it('is healed by a push', async () => {
    await pushBlob(client, name, layer);
    expect((await client.get(blob)).body).toEqual(layer);
    expect((await putManifest()).status).toBe(201);
  });

  it('is missing for a scrub until it is collected', async () => {
    const scrub = async () => (await runJob(client, { kind: 'scrub' })).report;
    expect(await scrub()).toMatchObject({ damaged: [{ digest: digest(layer), problem: 'missing' }] });
    for (let pass = 0; pass < 2; pass++) await client.post('/api/v1/gc');
    expect(await scrub()).toMatchObject({ damaged: [] });
    expect((await client.get('/api/v1/damage')).json()).toEqual({ blobs: [] });
    expect((await unsynced()).filter((file) => !file.endsWith('.gone'))).toEqual([]);
  });
});

describe('a manifest', () => {
  it('is never written before blobs that were deleted and pushed again after its blobs were synced', async () => {
    // The first collection of a process would wait for the manifest.
    await client.post('/api/v1/gc');
    for (const bytes of [config, layer]) await pushBlob(client, name, bytes);
    const settle = Reflect.get<FsBlobStore, 'settle'>(FsBlobStore.prototype, 'settle');
    const again = async (): Promise<void> => {
      expect((await client.delete(blob)).status).toBe(202);
      await expect.poll(async () => (await client.post('/api/v1/gc')).json()).toMatchObject({ blobs_deleted: 0 });
      expect((await client.head(blob)).status).toBe(404);
      for (const bytes of [config, layer]) await pushBlob(client, name, bytes);
      expect(await unsynced()).toEqual([]);
    };
    const spy = vi.spyOn(FsBlobStore.prototype, 'settle');
    spy.mockImplementationOnce(function (this: FsBlobStore, digests, write) {
      return settle.call(this, digests, (found) => again().then(() => write(found)));
    });
    expect((await putManifest()).status).toBe(201);
    expect((await client.get(blob)).body).toEqual(layer);
  }, 30_000);
});
