import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MiB, patternBytes } from '../../support/content/bytes.js';
import { Client } from '../../support/clients/client.js';
import { describeBytes, digest, manifestOf, someBytes, types } from '../../support/content/content.js';
import { RawConnection, rawHead } from '../../support/clients/raw.js';
import { Cleanups, MovableClock, startRemote } from '../../support/upstreams/remote.js';
import type { Fault } from '../../support/upstreams/fault-upstream.js';
import { startRegistry } from '../../support/servers/registry.js';

const cleanups = new Cleanups();
let clock: MovableClock;
beforeEach(() => {
  clock = new MovableClock();
});
afterEach(async () => {
  await cleanups.run();
  clock.restore();
});

const images = '/v2/hub/team/app';

/** Creates a promise together with the function that resolves it. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

/** Waits until the condition holds, for a bounded time. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (await holds()) return;
    await sleep(10);
  }
  throw new Error('it never came to be');
}

describe('a blob that is not cached', () => {
  it('is fetched in one transfer for 20 clients, which read it whole or in part', async () => {
    const { fault, client } = await startRemote(cleanups, {}, { onDisk: true });
    const bytes = patternBytes(2 * MiB);
    const key = fault.images.addBlob('team/app', bytes);
    const held = gate();
    fault.fault('/blobs/', { hold: { afterBytes: 1_000_000, until: held.opened } });
    const ranges: readonly (readonly [number, number])[] = [
      [0, 0],
      [10, 999_999],
      [999_999, 1_000_000],
      [2_000_000, bytes.length - 1],
      [bytes.length - 1, bytes.length - 1],
    ];
    const whole = Array.from({ length: 15 }, () => client.get(`${images}/blobs/${key}`));
    const parts = ranges.map(([from, to]) => client.get(`${images}/blobs/${key}`, { Range: `bytes=${from}-${to}` }));
    // Bytes that have arrived are sent while the rest is still being transferred.
    expect((await parts[0])?.status).toBe(206);
    held.open();
    for (const answer of await Promise.all(whole)) {
      expect([answer.status, answer.header('content-length')]).toEqual([200, String(bytes.length)]);
      expect(answer.header('docker-content-digest')).toBe(key);
      expect(answer.body.equals(bytes)).toBe(true);
    }
    for (const [i, answer] of (await Promise.all(parts)).entries()) {
      const [from, to] = ranges[i] ?? [0, 0];
      expect([answer.status, answer.header('content-range')]).toEqual([206, `bytes ${from}-${to}/${bytes.length}`]);
      expect(answer.body.equals(bytes.subarray(from, to + 1))).toBe(true);
    }
    expect([fault.count('/blobs/'), fault.bytes('/blobs/')]).toEqual([1, bytes.length]);
    await until(async () => (await client.head(`${images}/blobs/${key}`)).header('x-cache') === 'hit');
    expect((await client.get(`${images}/blobs/${key}`)).body.equals(bytes)).toBe(true);
    expect(fault.bytes('/blobs/')).toBe(bytes.length);
  });

  it('is sent to the client as soon as the upstream has sent a byte', async () => {
    const { fault, server } = await startRemote(cleanups);
    const bytes = someBytes('early', 200_000);
    const key = fault.images.addBlob('team/app', bytes);
    const held = gate();
    fault.fault('/blobs/', { hold: { afterBytes: 100, until: held.opened } });
    const connection = await RawConnection.open(server.port);
    await connection.write(rawHead('GET', `${images}/blobs/${key}`));
    await connection.waitFor(/\r\n\r\n[^]{50}/);
    held.open();
    const { status, body } = await connection.untilClosed();
    expect([status, digest(Buffer.from(body, 'latin1'))]).toEqual([200, key]);
  });

  it('is fetched completely even when its client disconnects or reads slowly', async () => {
    const { fault, server, client } = await startRemote(cleanups);
    const bytes = patternBytes(3 * MiB, 7);
    const key = fault.images.addBlob('team/app', bytes);
    const held = gate();
    fault.fault('/blobs/', { hold: { afterBytes: 65_536, until: held.opened } });
    const leaver = await RawConnection.open(server.port);
    await leaver.write(rawHead('GET', `${images}/blobs/${key}`));
    await leaver.waitFor(/\r\n\r\n[^]/);
    const crawler = await RawConnection.open(server.port);
    await crawler.write(rawHead('GET', `${images}/blobs/${key}`));
    await crawler.waitFor(/\r\n\r\n[^]/);
    crawler.socket.pause();
    leaver.cut();
    held.open();
    await until(async () => (await client.head(`${images}/blobs/${key}`)).header('x-cache') === 'hit');
    expect(fault.bytes('/blobs/')).toBe(bytes.length);
    crawler.socket.resume();
    const { body } = await crawler.untilClosed();
    expect(digest(Buffer.from(body, 'latin1'))).toBe(key);
    expect(fault.count('/blobs/', 'GET')).toBe(1);
  });

  it.each([
    ['resumed by a Range request', {}],
    ['restarted by an upstream without range support', { noRange: true }],
  ])('is %s when the upstream cuts the transfer, without affecting clients', async (_title, more) => {
    const { fault, client } = await startRemote(cleanups);
    const bytes = someBytes('cut', 300_000);
    const key = fault.images.addBlob('team/app', bytes);
    fault.fault('/blobs/', { ...more });
    fault.fault('/blobs/', { cutAfterBytes: 100_000, times: 1, ...more });
    const answers = await Promise.all([1, 2, 3].map(() => client.get(`${images}/blobs/${key}`)));
    for (const { body } of answers) expect(body.equals(bytes)).toBe(true);
    expect(fault.count('/blobs/')).toBe(2);
    const again = fault.requests.at(-1);
    expect(again?.headers.range).toMatch(/^bytes=[0-9]+-$/);
    if (!('noRange' in more)) expect(fault.bytes('/blobs/')).toBeLessThan(310_000);
  });

  it.each<[string, Fault, number]>([
    ['416 without a Content-Range', { rangeStatus: 416 }, 3],
    ['400', { rangeStatus: 400 }, 3],
    ['501', { rangeStatus: 501 }, 3],
    ['the whole blob', { noRange: true }, 2],
    ['at most 30,000 bytes', { partBytes: 30_000 }, 8],
    ['a range that starts later', { rangeOff: 7 }, 3],
    ['a range that starts earlier', { rangeOff: -1000 }, 2],
  ])(
    'is whole for its readers when the upstream cuts it and answers a range with %s',
    async (_title, faultOfRanges, asked) => {
      const others = (url: string) => [
        { name: 'all', type: 'virtual', members: ['hub'] } as const,
        { name: 'through', type: 'remote', url, cache: false } as const,
        { name: 'behind', type: 'virtual', members: ['through'] } as const,
      ];
      // Each reader of a pass-through has a transfer of its own.
      for (const [repository, readers] of [
        ['hub', 2],
        ['all', 2],
        ['behind', 1],
      ] as const) {
        const { fault, client } = await startRemote(cleanups, {}, { others });
        const bytes = someBytes('cut', 300_000);
        const key = fault.images.addBlob('team/app', bytes);
        fault.fault('/blobs/', faultOfRanges);
        fault.fault('/blobs/', { method: 'GET', cutAfterBytes: 100_000, times: 1, ...faultOfRanges });
        const answers = await Promise.all(
          Array.from({ length: readers }, () => client.get(`/v2/${repository}/team/app/blobs/${key}`)),
        );
        for (const { body } of answers) expect(body.equals(bytes)).toBe(true);
        expect(fault.count('/blobs/', 'GET')).toBe(asked);
      }
    },
  );

  it('may be empty or have no announced length', async () => {
    const { fault, client } = await startRemote(cleanups);
    const empty = fault.images.addBlob('team/app', Buffer.alloc(0));
    const answer = await client.get(`${images}/blobs/${empty}`);
    expect([answer.status, answer.header('content-length'), answer.body.length]).toEqual([200, '0', 0]);
    const bytes = someBytes('chunked', 100_000);
    const key = fault.images.addBlob('team/app', bytes);
    fault.fault('/blobs/', { noLength: true });
    const head = await client.head(`${images}/blobs/${key}`);
    expect([head.status, head.header('content-length')]).toEqual([200, '100000']);
    const whole = await client.get(`${images}/blobs/${key}`);
    expect([whole.header('content-length'), whole.body.equals(bytes)]).toEqual(['100000', true]);
  });

  it('is requested upstream but not fetched by HEAD', async () => {
    const { fault, client } = await startRemote(cleanups);
    const key = fault.images.addBlob('team/app', someBytes('head', 70_000));
    for (let i = 0; i < 2; i++) {
      const head = await client.head(`${images}/blobs/${key}`);
      expect([head.status, head.header('content-length'), head.header('x-cache')]).toEqual([200, '70000', 'miss']);
      expect(head.header('docker-content-digest')).toBe(key);
    }
    expect([fault.count('/blobs/', 'HEAD'), fault.count('/blobs/', 'GET'), fault.bytes('/blobs/')]).toEqual([2, 0, 0]);
  });

  it('is fetched through a redirect to another host, which receives no credentials', async () => {
    const { fault, client } = await startRemote(cleanups, { credentials: { username: 'u', password: 'secret' } });
    fault.auth = { type: 'basic', username: 'u', password: 'secret' };
    const bytes = someBytes('signed', 50_000);
    const key = fault.images.addBlob('team/app', bytes);
    fault.fault('/blobs/', { redirect: 'elsewhere' });
    expect((await client.head(`${images}/blobs/${key}`)).header('content-length')).toBe('50000');
    expect((await client.get(`${images}/blobs/${key}`)).body.equals(bytes)).toBe(true);
    const elsewhere = fault.requests.filter(({ at }) => at === 'elsewhere');
    expect(elsewhere.map(({ status }) => status)).toEqual([200, 200]);
    for (const { headers } of elsewhere) expect(headers.authorization).toBeUndefined();
  });
});

describe('a blob that is cached for another image', () => {
  it('is served without a transfer only after the upstream confirms it under this name', async () => {
    const { fault, client } = await startRemote(cleanups);
    const bytes = someBytes('shared', 40_000);
    const key = fault.images.addBlob('team/app', bytes);
    await client.get(`${images}/blobs/${key}`);
    await until(async () => (await client.head(`${images}/blobs/${key}`)).header('x-cache') === 'hit');
    const stranger = await client.get(`/v2/hub/public/app/blobs/${key}`);
    expect([stranger.status, stranger.codes]).toEqual([404, ['BLOB_UNKNOWN']]);
    fault.images.addBlob('team/other', bytes);
    const other = await client.get(`/v2/hub/team/other/blobs/${key}`);
    expect(other.body.equals(bytes)).toBe(true);
    expect(fault.bytes('/team/app/blobs/')).toBe(bytes.length);
    const { status } = (await client.get('/api/v1/repositories/hub')).json() as { status: object };
    expect(status).toMatchObject({ upstream_bytes: bytes.length });
  });

  it('is not disclosed to other remotes or images while it is being fetched', async () => {
    const { fault, client } = await startRemote(
      cleanups,
      {},
      { others: (url) => [{ name: 'other', type: 'remote', url: `${url}/elsewhere`, negativeTtlSeconds: 0 }] },
    );
    const bytes = someBytes('private', 200_000);
    const key = fault.images.addBlob('team/app', bytes);
    const held = gate();
    fault.fault('/v2/team/app/blobs/', { hold: { afterBytes: 65_536, until: held.opened } });
    const owner = client.get(`${images}/blobs/${key}`);
    await until(() => fault.bytes('/blobs/') > 0);
    for (const name of ['other/team/app', 'hub/team/else', 'local/team/app']) {
      const answer = await client.get(`/v2/${name}/blobs/${key}`);
      expect([answer.status, answer.codes]).toEqual([404, ['BLOB_UNKNOWN']]);
    }
    held.open();
    expect((await owner).body.equals(bytes)).toBe(true);
    expect((await client.get(`/v2/other/team/app/blobs/${key}`)).status).toBe(404);
    // Nor by mounting something the local image never had.
    const mount = await client.post(`/v2/local/x/blobs/uploads/?mount=${key}&from=hub/team/else`);
    expect(mount.status).toBe(202);
  });
});

describe('cached content on disk', () => {
  /** Lists every file below a folder. */
  async function filesIn(folder: string): Promise<string[]> {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  }

  async function fileOf(folder: string, key: string): Promise<string> {
    const [file = ''] = (await filesIn(path.join(folder, 'blobs'))).filter((name) => name.endsWith(key.slice(7)));
    return file;
  }

  it.each(['shorter', 'gone'])('is fetched again when a blob is %s', async (how) => {
    const { fault, server, client } = await startRemote(cleanups, {}, { onDisk: true });
    const bytes = someBytes('damaged', 40_000);
    const key = fault.images.addBlob('team/app', bytes);
    await client.get(`${images}/blobs/${key}`);
    await until(async () => (await client.head(`${images}/blobs/${key}`)).header('x-cache') === 'hit');
    const file = await fileOf(server.folder, key);
    const { rm } = await import('node:fs/promises');
    if (how === 'gone') await rm(file);
    else await writeFile(file, (await readFile(file)).subarray(0, 1000));
    // The store trusts a recent check for a moment: until then a broken connection is acceptable, but wrong bytes never are.
    await until(async () => {
      const answer = await client.get(`${images}/blobs/${key}`).catch(() => undefined);
      if (answer?.status === 200) expect(answer.body.equals(bytes)).toBe(true);
      return answer?.status === 200;
    });
    await until(async () => (await client.head(`${images}/blobs/${key}`)).header('x-cache') === 'hit');
    expect((await stat(file)).size).toBe(bytes.length);
    expect(fault.count('/blobs/', 'GET')).toBe(2);
  });

  it('is fetched again when a small blob has other bytes, which no client gets', async () => {
    const { fault, server, client } = await startRemote(cleanups, {}, { onDisk: true });
    const bytes = someBytes('configuration', 4000);
    const key = fault.images.addBlob('team/app', bytes);
    await client.get(`${images}/blobs/${key}`);
    await until(async () => (await client.head(`${images}/blobs/${key}`)).header('x-cache') === 'hit');
    const file = await fileOf(server.folder, key);
    await writeFile(file, Buffer.alloc(bytes.length, 'x'));
    const refused = await client.get(`${images}/blobs/${key}`, { Range: 'bytes=0-9' });
    expect([refused.status, refused.codes, refused.header('retry-after')]).toEqual([503, ['UNAVAILABLE'], '1']);
    const answer = await client.get(`${images}/blobs/${key}`);
    expect([answer.status, answer.body.equals(bytes)]).toEqual([200, true]);
    expect(fault.count('/blobs/', 'GET')).toBe(2);
  });

  it('is fetched again when a manifest is damaged', async () => {
    const { fault, server, client } = await startRemote(cleanups, {}, { onDisk: true, maxManifestCacheBytes: 0 });
    const { manifest } = fault.images.addImage('team/app', 'v1');
    await client.get(`${images}/manifests/v1`);
    const file = await fileOf(server.folder, manifest.digest);
    await writeFile(file, Buffer.alloc(manifest.bytes.length, 'x'));
    const answer = await client.get(`${images}/manifests/v1`);
    expect([answer.status, answer.body.equals(manifest.bytes)]).toEqual([200, true]);
  });

  it('includes nothing of a fill that a restart interrupted', async () => {
    const { fault, server, client } = await startRemote(cleanups, {}, { onDisk: true });
    const bytes = someBytes('half', 400_000);
    const key = fault.images.addBlob('team/app', bytes);
    const held = gate();
    cleanups.add(() => Promise.resolve(held.open()));
    const removeHold = fault.fault('/blobs/', { hold: { afterBytes: 200_000, until: held.opened } });
    const broken = client.get(`${images}/blobs/${key}`).catch(() => 'broken');
    await until(() => fault.bytes('/blobs/') >= 200_000);
    const closing = server.registry.close();
    expect(await broken).toBe('broken');
    await closing;
    removeHold();
    const again = await startRegistry({
      storage: server.folder,
      repositories: [{ name: 'hub', type: 'remote', url: fault.url }],
    });
    cleanups.add(() => again.close());
    expect(await filesIn(path.join(server.folder, 'staged'))).toEqual([]);
    const fresh = new Client(again.url);
    cleanups.add(() => fresh.close());
    const answer = await fresh.get(`${images}/blobs/${key}`);
    expect([answer.header('x-cache'), answer.body.equals(bytes)]).toEqual(['miss', true]);
  });
});

describe('the content of a cache', () => {
  it('stays below maxCacheBytes: the least recently used content is evicted, pins stay, and evicted content can be fetched again', async () => {
    const { fault, client } = await startRemote(cleanups, { maxCacheBytes: 200_000, pins: ['team/pinned:v1'] });
    const pull = async (image: string): Promise<boolean> => {
      const { layers, manifest } = fault.images.addImage(image, 'v1', [40_000]);
      expect((await client.get(`/v2/hub/${image}/manifests/v1`)).body.equals(manifest.bytes)).toBe(true);
      const layer = await client.get(`/v2/hub/${image}/blobs/${layers[0]?.digest}`);
      clock.advance(1);
      return layer.body.equals(layers[0]?.bytes ?? Buffer.alloc(0));
    };
    expect(await pull('team/pinned')).toBe(true);
    for (let i = 0; i < 9; i++) expect(await pull(`team/app-${i}`)).toBe(true);
    const used = async (): Promise<number> => {
      const shown = (await client.get('/api/v1/repositories/hub')).json() as { status: { used_bytes: number } };
      return shown.status.used_bytes;
    };
    await until(async () => (await used()) <= 200_000);
    const images = ((await client.get('/v2/_catalog')).json() as { repositories: string[] }).repositories;
    expect(images).toContain('hub/team/pinned');
    const before = fault.count('team/pinned');
    await pull('team/pinned');
    expect(fault.count('team/pinned')).toBe(before);
    expect(await pull('team/app-0')).toBe(true);
  });

  it.each([
    ['a tag', '?image=team/app&tag=v1', ['v2', 'other']],
    ['an image', '?image=team/app', ['other']],
    ['everything', '', []],
  ])('is removed by a purge of %s, except shared blobs', async (_title, query, kept) => {
    const { fault, client } = await startRemote(cleanups, {}, { garbageCollection: { graceSeconds: 0 } });
    const shared = someBytes('shared', 20_000);
    const put = (name: string, tag: string): string => {
      fault.images.addBlob(name, shared);
      const own = someBytes(`${name}:${tag}`, 10_000);
      fault.images.addBlob(name, own);
      const layers = [shared, own].map((bytes) => describeBytes(types.ociLayer, bytes));
      const config = describeBytes(types.ociConfig, own);
      fault.images.addManifest(name, manifestOf(types.ociImage, { config, layers }), tag);
      return digest(own);
    };
    const own = [put('team/app', 'v1'), put('team/app', 'v2'), put('other', 'v1')];
    const pulls = [
      ['team/app', 'v1', own[0]],
      ['team/app', 'v2', own[1]],
      ['other', 'v1', own[2]],
    ] as const;
    const isCached = async ([image, tag, key]: (typeof pulls)[number]): Promise<boolean> => {
      const answers = [
        await client.head(`/v2/hub/${image}/manifests/${tag}`),
        await client.head(`/v2/hub/${image}/blobs/${digest(shared)}`),
        await client.head(`/v2/hub/${image}/blobs/${key}`),
      ];
      return answers.every((answer) => answer.header('x-cache') === 'hit');
    };
    for (const [image, tag, key] of pulls) {
      await client.get(`/v2/hub/${image}/manifests/${tag}`);
      for (const blob of [digest(shared), key]) await client.get(`/v2/hub/${image}/blobs/${blob}`);
      await until(() => isCached([image, tag, key] as (typeof pulls)[number]));
    }
    const purged = await client.delete(`/api/v1/repositories/hub/cache${query}`);
    expect(purged.status).toBe(200);
    expect((purged.json() as { manifests: number }).manifests).toBe(3 - kept.length);
    await fault.down();
    const cached = await Promise.all(pulls.map(isCached));
    expect(cached).toEqual([false, kept.includes('v2'), kept.includes('other')]);
    await fault.up();
    clock.advance(120);
    const answer = await client.get(`/v2/hub/team/app/blobs/${own[0]}`);
    expect([answer.status, digest(answer.body)]).toEqual([200, own[0]]);
  });

  it('cannot be purged for a repository that is not a cache, or for a tag without its image', async () => {
    const { client } = await startRemote(cleanups);
    expect((await client.delete('/api/v1/repositories/local/cache')).codes).toEqual(['UNSUPPORTED']);
    expect((await client.delete('/api/v1/repositories/hub/cache?tag=v1')).codes).toEqual(['OPTIONS_INVALID']);
    expect((await client.delete('/api/v1/repositories/none/cache')).codes).toEqual(['NAME_UNKNOWN']);
  });
});
