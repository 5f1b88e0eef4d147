import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseDigest } from '../../../src/protocol/digest.js';
import { collect } from '../../contracts/blob-store-published.js';
import { MiB, patternBytes } from '../../support/content/bytes.js';
import { entriesOf, tarOf } from '../../support/content/archives.js';
import { Client, type Answer } from '../../support/clients/client.js';
import { digest, imageManifest, pushBlob, pushManifest, startUpload } from '../../support/content/content.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { SmallDisk } from '../../support/storage/small-disk.js';

const name = 'local/team/app';
const uploads = `/v2/${name}/blobs/uploads/`;
const reserveBytes = MiB;
const diskBytes = 3.5 * MiB;

let disk: SmallDisk;
let server: TestRegistry;
let client: Client;
beforeEach(async () => {
  disk = await SmallDisk.open(await makeScratchFolder(), diskBytes, reserveBytes);
  server = await startRegistry({
    storage: disk.storage,
    garbageCollection: { graceSeconds: 0, intervalSeconds: 0 },
    repositories: [{ name: 'local', type: 'local', sparse: true }],
  });
  client = new Client(server.url);
});
afterEach(async () => {
  await client.close();
  await server.close();
  await removeScratchFolder(disk.folder);
});

function expectFull(answer: Answer): void {
  expect([answer.status, answer.codes]).toEqual([507, ['UNAVAILABLE']]);
  expect(answer.json()).toMatchObject({
    errors: [{ detail: { freeBytes: expect.any(Number) as number, neededBytes: expect.any(Number) as number } }],
  });
}

const staged = (): Promise<string[]> => readdir(path.join(disk.folder, 'staged'));

async function sessions(): Promise<number> {
  return (await collect(disk.storage.metadata.sessions())).length;
}

/** Expects that the refused upload is gone from the disk and unknown to the client. */
async function expectGone(location: string): Promise<void> {
  expect(await staged()).toEqual([]);
  expect(await sessions()).toBe(0);
  for (const answer of [
    await client.get(location),
    await client.patch(location, { body: 'more' }),
    await client.put(`${location}?digest=${digest('more')}`, { body: 'more' }),
  ]) {
    expect([answer.status, answer.codes]).toEqual([404, ['BLOB_UPLOAD_UNKNOWN']]);
  }
}

const stream = (bytes: Buffer): Readable => Readable.from([bytes.subarray(0, MiB), bytes.subarray(MiB)]);

describe('a registry on a full disk', () => {
  beforeEach(() => {
    disk.sizeBytes = reserveBytes;
  });

  it('refuses POST blobs/uploads with 507 and creates no session', async () => {
    expectFull(await client.post(uploads));
    expect(await sessions()).toBe(0);
  });

  it('refuses whole blobs and manifests with 507 and stores nothing', async () => {
    const blob = patternBytes(100);
    expectFull(await client.post(`${uploads}?digest=${digest(blob)}`, { body: blob }));
    expectFull(
      await client.put(`/v2/${name}/manifests/v1`, {
        body: imageManifest('x').bytes,
        headers: { 'Content-Type': imageManifest('x').type },
      }),
    );
    expect(await staged()).toEqual([]);
  });

  it('completes an upload that has already received all of its bytes', async () => {
    disk.sizeBytes = diskBytes;
    const blob = patternBytes(1.5 * MiB);
    const { headers } = await client.patch(await startUpload(client, name), { body: blob });
    disk.sizeBytes = reserveBytes;
    expect((await client.put(`${String(headers['location'])}?digest=${digest(blob)}`)).status).toBe(201);
  });

  it('still deletes, cancels uploads and collects garbage, and accepts content once there is room', async () => {
    disk.sizeBytes = diskBytes;
    const blob = patternBytes(2 * MiB);
    await pushBlob(client, name, blob);
    await pushManifest(client, name, 'v1', imageManifest('kept'));
    const open = await startUpload(client, name);
    await client.patch(open, { body: patternBytes(1000) });
    disk.sizeBytes = 3 * MiB;
    expectFull(await client.post(uploads));
    expect((await client.delete(open)).status).toBe(204);
    expect((await client.delete(`/v2/${name}/manifests/v1`)).status).toBe(202);
    expect((await client.delete(`/v2/${name}/blobs/${digest(blob)}`)).status).toBe(202);
    const collectGarbage = async (): Promise<unknown> => {
      await server.registry.collectGarbage();
      return disk.storage.blobs.stat(parseDigest(digest(blob)));
    };
    await expect.poll(collectGarbage).toBeUndefined();
    await pushBlob(client, name, patternBytes(MiB));
  });
});

describe('an upload that does not fit', () => {
  const large = patternBytes(3 * MiB);

  it.each([
    ['PATCH with a length', (location: string) => client.patch(location, { body: large })],
    ['PATCH without a length', (location: string) => client.patch(location, { body: stream(large) })],
    ['PUT with a length', (location: string) => client.put(`${location}?digest=${digest(large)}`, { body: large })],
    [
      'PUT without a length',
      (location: string) => client.put(`${location}?digest=${digest(large)}`, { body: stream(large) }),
    ],
    [
      'a chunk',
      (location: string) =>
        client.patch(location, { body: large, headers: { 'Content-Range': `0-${large.length - 1}` } }),
    ],
  ])('is refused with 507, frees its bytes and ends when sent by %s', async (_how, send) => {
    const location = await startUpload(client, name);
    expectFull(await send(location));
    await expectGone(location);
  });

  it('frees the bytes of an earlier PATCH when a second PATCH is refused', async () => {
    const location = await startUpload(client, name);
    const first = await client.patch(location, { body: large.subarray(0, 2 * MiB) });
    expect(first.status).toBe(202);
    expectFull(await client.patch(first.header('location'), { body: large.subarray(2 * MiB) }));
    await expectGone(location);
    await pushBlob(client, name, large.subarray(0, 2 * MiB));
  });

  it.each([
    ['with a length', large],
    ['without a length', stream(large)],
  ])('is refused with 507 and frees its bytes when sent by one POST %s', async (_how, body) => {
    expectFull(await client.post(`${uploads}?digest=${digest(large)}`, { body }));
    expect(await staged()).toEqual([]);
  });

  it('is refused with 507 and frees all of its files when sent as an archive', async () => {
    const entries = [1, 2, 3].map((seed) => {
      const bytes = patternBytes(MiB, seed);
      return { name: `blobs/sha256/${digest(bytes).slice('sha256:'.length)}`, bytes };
    });
    const tar = await tarOf(entriesOf(Object.fromEntries(entries.map(({ name: file, bytes }) => [file, bytes]))));
    expectFull(await client.post('/api/v1/repositories/local/import', { body: tar }));
    expect(await staged()).toEqual([]);
  });

  it('writes nothing when it is refused before its first byte', async () => {
    const location = await startUpload(client, name);
    const stage = disk.storage.blobs.stage.bind(disk.storage.blobs);
    let appended = 0;
    disk.storage.blobs.stage = async (...args) => {
      const found = await stage(...args);
      const append = found.append.bind(found);
      found.append = (...more) => {
        appended++;
        return append(...more);
      };
      return found;
    };
    expectFull(await client.patch(location, { body: large }));
    expect(appended).toBe(0);
  });
});
