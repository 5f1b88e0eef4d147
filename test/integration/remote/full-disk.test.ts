import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Change, MetadataStore } from '../../../src/ports/metadata/metadata.js';
import { parseDigest } from '../../../src/protocol/digest.js';
import { RegistryError } from '../../../src/protocol/errors.js';
import { parseTag } from '../../../src/protocol/names.js';
import { MiB, patternBytes } from '../../support/content/bytes.js';
import type { Answer, Client } from '../../support/clients/client.js';
import type { FaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { type TestRegistry } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups, MovableClock, startRemote } from '../../support/upstreams/remote.js';
import { SmallDisk } from '../../support/storage/small-disk.js';

const reserveBytes = MiB;
const diskBytes = 8 * MiB;
const at = { repository: 'hub', image: 'team/app' };
const path = '/v2/hub/team/app';
const v1 = parseTag('v1');

const cleanups = new Cleanups();
let clock: MovableClock;
let disk: SmallDisk;
let fault: FaultUpstream;
let server: TestRegistry;
let client: Client;
/** Writes that the index refuses, as if the reserve were used up too. */
let refused: RegExp | undefined;

beforeEach(async () => {
  clock = new MovableClock();
  refused = undefined;
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  disk = await SmallDisk.open(folder, diskBytes, reserveBytes);
  const storage = { ...disk.storage, metadata: refusing(disk.storage.metadata) };
  ({ fault, server, client } = await startRemote(cleanups, { tagTtlSeconds: 60 }, { onDisk: true, storage }));
});
afterEach(async () => {
  await cleanups.run();
  clock.restore();
});

function refusing(metadata: MetadataStore): MetadataStore {
  return new Proxy(metadata, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      if (key !== 'apply' && key !== 'tryApply') return value.bind(target) as unknown;
      return async (changes: readonly Change[], options: { durable: boolean }) => {
        if (changes.some(({ type }) => refused?.test(type))) {
          throw new RegistryError('UNAVAILABLE', { status: 507, message: 'no space left to store this' });
        }
        return target[key](changes, options);
      };
    },
  });
}

function fillDisk(): void {
  disk.sizeBytes = reserveBytes;
}

const get = (reference: string): Promise<Answer> => client.get(`${path}/manifests/${reference}`);
const summary = ({ status, headers }: Answer): readonly unknown[] => [status, headers['x-cache'], headers['age']];
const tagInIndex = () => disk.storage.metadata.tag(at, v1);
const asked = (): [number, number] => [fault.count('/manifests/', 'HEAD'), fault.count('/manifests/', 'GET')];

describe('a tag on a full disk', () => {
  it.each([
    ['while the disk is full', fillDisk],
    ['while the index refuses writes', () => void (refused = /./)],
  ])('is revalidated once per window %s, and written when there is room', async (_when, fill) => {
    const { manifest } = fault.images.addImage('team/app', 'v1');
    expect(summary(await get('v1'))).toEqual([200, 'miss', undefined]);
    const before = await tagInIndex();
    fill();
    for (const window of [1, 2]) {
      clock.advance(61);
      for (let i = 0; i < 3; i++) {
        const answer = await get('v1');
        expect(summary(answer)).toEqual([200, 'hit', '0']);
        expect(answer.body.equals(manifest.bytes)).toBe(true);
      }
      expect(asked()).toEqual([window, 1]);
    }
    expect(await tagInIndex()).toEqual(before);
    [disk.sizeBytes, refused] = [diskBytes, undefined];
    await get('v1');
    expect(asked()).toEqual([2, 1]);
    expect((await tagInIndex())?.checkedAt).toBeGreaterThan(before?.checkedAt ?? Infinity);
  });

  it.each([
    ['while the disk is full', fillDisk],
    ['while the index refuses writes', () => void (refused = /./)],
  ])('that names new content is served %s, kept in memory, and stored when there is room', async (_when, fill) => {
    fault.images.addImage('team/app', 'v1');
    await get('v1');
    const { manifest } = fault.images.addImage('team/app', 'v1', [10], 'changed');
    fill();
    clock.advance(61);
    const first = await get('v1');
    expect([summary(first)[1], first.body.equals(manifest.bytes)]).toEqual(['miss', true]);
    for (const reference of ['v1', manifest.digest]) {
      const again = await get(reference);
      expect([again.status, again.header('x-cache'), again.body.equals(manifest.bytes)]).toEqual([200, 'hit', true]);
      expect((await client.head(`${path}/manifests/${reference}`)).header('docker-content-digest')).toBe(
        manifest.digest,
      );
    }
    expect(asked()).toEqual([1, 2]);
    const digest = parseDigest(manifest.digest);
    expect(await disk.storage.metadata.manifest(at, digest)).toBeUndefined();
    [disk.sizeBytes, refused] = [diskBytes, undefined];
    expect((await get('v1')).header('x-cache')).toBe('hit');
    expect(await disk.storage.metadata.manifest(at, digest)).toMatchObject({ digest });
    expect(await tagInIndex()).toMatchObject({ digest });
    expect(asked()).toEqual([1, 2]);
  });

  it('answers 404 when it is gone upstream, and is served stale when the upstream fails', async () => {
    fault.images.addImage('team/app', 'v1');
    await get('v1');
    const heal = fault.fault('/manifests/', { status: 500 });
    fillDisk();
    refused = /./;
    clock.advance(61);
    expect(summary(await get('v1')).slice(0, 2)).toEqual([200, 'stale']);
    heal();
    fault.images.tags.clear();
    clock.advance(61);
    expect((await get('v1')).codes).toEqual(['MANIFEST_UNKNOWN']);
  });

  it('is fetched again when its manifest is evicted before the tag is written', async () => {
    const { manifest } = fault.images.addImage('team/app', 'v1');
    await get('v1');
    fillDisk();
    clock.advance(61);
    expect(summary(await get('v1')).slice(0, 2)).toEqual([200, 'hit']);
    await server.directory.get('hub')?.repository.makeRoom?.(MiB);
    disk.sizeBytes = diskBytes;
    const answer = await get('v1');
    expect([answer.status, answer.header('x-cache'), answer.body.equals(manifest.bytes)]).toEqual([200, 'miss', true]);
  });

  it('is removed from memory by a purge', async () => {
    const { manifest } = fault.images.addImage('team/app', 'v1');
    fillDisk();
    expect(summary(await get('v1')).slice(0, 2)).toEqual([200, 'miss']);
    expect(summary(await get(manifest.digest)).slice(0, 2)).toEqual([200, 'hit']);
    expect((await client.delete('/api/v1/repositories/hub/cache?image=team/app')).status).toBe(200);
    expect(summary(await get(manifest.digest)).slice(0, 2)).toEqual([200, 'miss']);
  });
});

describe('a blob on a full disk', () => {
  const bytes = patternBytes(3 * MiB);

  it('is passed to many clients at once, whole and in part, and cached when there is room', async () => {
    const key = fault.images.addBlob('team/app', bytes);
    fillDisk();
    const whole = await Promise.all(Array.from({ length: 5 }, () => client.get(`${path}/blobs/${key}`)));
    for (const answer of whole) {
      expect([answer.status, answer.header('x-cache'), answer.body.equals(bytes)]).toEqual([200, 'miss', true]);
    }
    const part = await client.get(`${path}/blobs/${key}`, { Range: `bytes=1000000-${bytes.length - 1}` });
    expect([part.status, part.body.equals(bytes.subarray(1_000_000))]).toEqual([206, true]);
    expect((await client.head(`${path}/blobs/${key}`)).header('content-length')).toBe(String(bytes.length));
    expect(await disk.storage.blobs.stat(parseDigest(key))).toBeUndefined();
    disk.sizeBytes = diskBytes;
    expect((await client.get(`${path}/blobs/${key}`)).header('x-cache')).toBe('miss');
    await expect.poll(() => disk.storage.metadata.link(at, parseDigest(key))).toBeDefined();
    expect((await client.get(`${path}/blobs/${key}`)).header('x-cache')).toBe('hit');
  });

  it('is passed on while eviction makes room for it', async () => {
    const old = fault.images.addBlob('team/app', patternBytes(2 * MiB, 7));
    const newer = fault.images.addBlob('team/app', patternBytes(2 * MiB, 8));
    for (const key of [old, newer]) {
      await client.get(`${path}/blobs/${key}`);
      await expect.poll(() => disk.storage.metadata.link(at, parseDigest(key))).toBeDefined();
      clock.advance(120);
    }
    disk.sizeBytes = 6.5 * MiB;
    const key = fault.images.addBlob('team/app', bytes);
    const first = await client.get(`${path}/blobs/${key}`);
    expect([first.status, first.body.equals(bytes)]).toEqual([200, true]);
    await expect.poll(() => disk.storage.blobs.stat(parseDigest(old))).toBeUndefined();
    await expect
      .poll(async () => {
        const answer = await client.get(`${path}/blobs/${key}`);
        expect([answer.status, answer.body.equals(bytes)]).toEqual([200, true]);
        return answer.header('x-cache');
      })
      .toBe('hit');
    // No more than was missing.
    expect(await disk.storage.blobs.stat(parseDigest(newer))).toBeDefined();
  });

  it('reaches its reader whole when it fills the disk midway', async () => {
    const key = fault.images.addBlob('team/app', bytes);
    disk.sizeBytes = 5 * MiB;
    let written = 0;
    const take = disk.reserve.take.bind(disk.reserve);
    disk.reserve.take = async (count) => {
      written += count;
      // Another process takes the space in the meantime.
      if (written > MiB) disk.sizeBytes = 2 * MiB;
      await take(count);
    };
    const answer = await client.get(`${path}/blobs/${key}`);
    expect([answer.status, answer.header('x-cache'), answer.body.equals(bytes)]).toEqual([200, 'miss', true]);
    expect(await disk.storage.blobs.stat(parseDigest(key))).toBeUndefined();
  });

  it('answers 404 when it is absent upstream', async () => {
    fillDisk();
    const answer = await client.get(`${path}/blobs/sha256:${'ab'.repeat(32)}`);
    expect([answer.status, answer.codes]).toEqual([404, ['BLOB_UNKNOWN']]);
  });
});
