import { readdir, rm, truncate } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RegistryOptions } from '../../../src/index.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { Client } from '../../support/clients/client.js';
import {
  describeBytes,
  digest,
  manifestOf,
  pushBlob,
  pushManifest,
  someBytes,
  startUpload,
  types,
  type Manifest,
} from '../../support/content/content.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { MovableClock } from '../../support/upstreams/remote.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const layer = someBytes('layer', 5000);
const shared = someBytes('shared layer', 4000);

interface Image {
  readonly manifest: Manifest;
  readonly blobs: readonly Buffer[];
}

function imageOf(label: string, layers: readonly Buffer[]): Image {
  const config = Buffer.from(JSON.stringify({ label }));
  const manifest = manifestOf(types.ociImage, {
    config: describeBytes(types.ociConfig, config),
    layers: layers.map((bytes) => describeBytes(types.ociLayer, bytes)),
  });
  return { manifest, blobs: [config, ...layers] };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** The names of the blobs that lie on the disk. */
async function blobFiles(folder: string): Promise<string[]> {
  const entries = await readdir(path.join(folder, 'blobs'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

function fileOf(folder: string, of: string): string {
  const [algorithm = '', hex = ''] = of.split(':');
  return path.join(folder, 'blobs', algorithm, hex.slice(0, 2), hex);
}

describe('garbage collection in a running registry', () => {
  let folder: string;
  let started: TestRegistry;
  let client: Client;

  async function start(options: Partial<RegistryOptions> = {}): Promise<void> {
    started = await startRegistry({
      storage: folder,
      garbageCollection: { graceSeconds: 0, intervalSeconds: 0 },
      repositories: [{ name: 'local', type: 'local', trashSeconds: 0 }],
      ...options,
    });
    client = new Client(started.url);
  }

  async function stop(): Promise<void> {
    await client.close();
    await started.close();
  }

  beforeEach(async () => {
    folder = await makeScratchFolder();
  });
  afterEach(async () => {
    await stop();
    await removeScratchFolder(folder);
  });

  async function push(name: string, image: Image, tag: string): Promise<void> {
    for (const bytes of image.blobs) await pushBlob(client, name, bytes);
    await pushManifest(client, name, tag, image.manifest);
  }

  /** Nothing is younger than the grace of 0 s when the clock has ticked. */
  async function collect(): Promise<void> {
    for (let pass = 0; pass < 2; pass++) {
      await sleep(3);
      await started.registry.collectGarbage();
    }
  }

  async function expectWhole(name: string, reference: string, image: Image): Promise<void> {
    const answer = await client.get(`/v2/${name}/manifests/${reference}`);
    expect(answer.status).toBe(200);
    expect(digest(answer.body)).toBe(image.manifest.digest);
    for (const bytes of image.blobs) {
      const blob = await client.get(`/v2/${name}/blobs/${digest(bytes)}`);
      expect(blob.status).toBe(200);
      expect(blob.body.equals(bytes)).toBe(true);
    }
  }

  async function statusOf(name: string, bytes: Buffer): Promise<number> {
    return (await client.head(`/v2/${name}/blobs/${digest(bytes)}`)).status;
  }

  /** What the index still knows of, when the registry is closed. */
  async function expectNothingLeft(): Promise<void> {
    expect(await blobFiles(folder)).toEqual([]);
    expect(await readdir(path.join(folder, 'staged'))).toEqual([]);
    await started.registry.close();
    const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
    try {
      expect(await metadata.candidates(Number.MAX_SAFE_INTEGER, 10)).toEqual([]);
      expect(await metadata.condemned()).toEqual([]);
    } finally {
      await metadata.close();
    }
  }

  describe('with all images in place', () => {
    beforeEach(() =>
      start({
        repositories: [
          { name: 'local', type: 'local', trashSeconds: 0 },
          { name: 'second', type: 'local', trashSeconds: 0 },
        ],
      }),
    );

    it('keeps all images, with moved tags and shared layers', async () => {
      const [first, second] = [imageOf('first', [layer, shared]), imageOf('second', [shared])];
      await push('local/app', first, 'latest');
      await push('local/app', second, 'latest');
      await push('second/app', second, 'v1');
      await collect();
      await expectWhole('local/app', 'latest', second);
      await expectWhole('local/app', first.manifest.digest, first);
      await expectWhole('second/app', 'v1', second);
    });

    it('frees a deleted image except the layers that another shares', async () => {
      const [going, staying] = [imageOf('going', [layer, shared]), imageOf('staying', [shared])];
      await push('local/app', going, 'v1');
      await push('second/app', staying, 'v1');
      expect((await client.delete(`/v2/local/app/manifests/${going.manifest.digest}`)).status).toBe(202);
      await collect();
      expect((await client.get('/v2/local/app/manifests/v1')).status).toBe(404);
      for (const bytes of going.blobs) expect(await statusOf('local/app', bytes)).toBe(404);
      await expectWhole('second/app', 'v1', staying);
      const left = [staying.manifest.bytes, ...staying.blobs].map((bytes) => digest(bytes).slice('sha256:'.length));
      expect((await blobFiles(folder)).sort()).toEqual(left.sort());
      await client.delete(`/v2/second/app/manifests/${staying.manifest.digest}`);
      await collect();
      await expectNothingLeft();
    });

    it('frees a deleted blob, which can be pushed again', async () => {
      await pushBlob(client, 'local/app', layer);
      expect((await client.delete(`/v2/local/app/blobs/${digest(layer)}`)).status).toBe(202);
      await collect();
      expect(await blobFiles(folder)).toEqual([]);
      const image = imageOf('again', [layer]);
      await push('local/app', image, 'v1');
      await collect();
      await expectWhole('local/app', 'v1', image);
    });
  });

  describe('while a client pauses in the middle of a push', () => {
    let clock: MovableClock;
    beforeEach(async () => {
      clock = new MovableClock();
      await start({ garbageCollection: { graceSeconds: 3600, intervalSeconds: 0 } });
    });
    afterEach(() => clock.restore());

    it('frees its layers: the manifest gets 400 with their digests, and a second push succeeds', async () => {
      const image = imageOf('interrupted', [layer, shared]);
      const [config = Buffer.alloc(0)] = image.blobs;
      for (const bytes of [layer, shared]) await pushBlob(client, 'local/app', bytes);
      clock.advance(2 * 3600);
      await started.registry.collectGarbage();
      for (const bytes of [layer, shared]) expect(await statusOf('local/app', bytes)).toBe(404);

      await pushBlob(client, 'local/app', config);
      const { type, bytes, digest: pushed } = image.manifest;
      const refused = await client.put('/v2/local/app/manifests/v1', {
        headers: { 'Content-Type': type },
        body: bytes,
      });
      expect(refused.status).toBe(400);
      expect((refused.json() as { errors: object[] }).errors).toMatchObject(
        [layer, shared].map((missing) => ({ code: 'MANIFEST_BLOB_UNKNOWN', detail: { digest: digest(missing) } })),
      );
      for (const reference of ['v1', pushed])
        expect((await client.get(`/v2/local/app/manifests/${reference}`)).status).toBe(404);

      await push('local/app', image, 'v1');
      await expectWhole('local/app', 'v1', image);
      clock.advance(2 * 3600);
      await started.registry.collectGarbage();
      await expectWhole('local/app', 'v1', image);
    });
  });

  describe('through the management API', () => {
    beforeEach(() => start({ repositories: [] }));

    const repository = JSON.stringify({
      name: 'docker-internal',
      package_type: 'docker',
      repo_type: 'local',
      trash_seconds: 0,
    });
    const headers = { 'Content-Type': 'application/json' };
    const create = () => client.post('/api/v1/repositories', { headers, body: repository });

    it('frees the bytes that the dry run counted', async () => {
      await create();
      const image = imageOf('image', [layer]);
      await push('docker-internal/app', image, 'v1');
      await client.delete(`/v2/docker-internal/app/manifests/${image.manifest.digest}`);
      await sleep(3);
      const counted = await client.post('/api/v1/gc?dry_run=true');
      expect(counted.status).toBe(200);
      expect(await blobFiles(folder)).toHaveLength(3);
      const bytes = [image.manifest.bytes, ...image.blobs].reduce((sum, { length }) => sum + length, 0);
      expect(counted.json()).toMatchObject({ dry_run: true, unlinked: 2, blobs_deleted: 3, bytes_freed: bytes });
      const freed = await client.post('/api/v1/gc');
      expect(freed.json()).toMatchObject({ dry_run: false, unlinked: 2, blobs_deleted: 3, bytes_freed: bytes });
      expect(await blobFiles(folder)).toEqual([]);
    });

    it('frees the content of a deleted repository, which is empty when it is created again', async () => {
      await create();
      const image = imageOf('image', [layer]);
      await push('docker-internal/app', image, 'v1');
      const upload = await startUpload(client, 'docker-internal/app');
      const nothingOld = async (): Promise<void> => {
        expect((await client.get('/v2/docker-internal/app/manifests/v1')).status).toBe(404);
        expect((await client.get(`/v2/docker-internal/app/manifests/${image.manifest.digest}`)).status).toBe(404);
        expect((await client.get('/v2/docker-internal/app/tags/list')).status).toBe(404);
        expect((await client.get(upload)).status).toBe(404);
        for (const bytes of image.blobs) expect(await statusOf('docker-internal/app', bytes)).toBe(404);
        expect((await client.get('/v2/_catalog')).json()).toEqual({ repositories: [] });
      };
      expect((await client.delete('/api/v1/repositories/docker-internal')).status).toBe(204);
      await nothingOld();
      expect((await create()).status).toBe(201);
      await nothingOld();
      await collect();
      await nothingOld();
      expect(await blobFiles(folder)).toEqual([]);
      await push('docker-internal/app', image, 'v1');
      await collect();
      await expectWhole('docker-internal/app', 'v1', image);
    });
  });

  describe('damaged content', () => {
    const image = imageOf('image', [layer]);
    beforeEach(async () => {
      await start();
      await push('local/app', image, 'v1');
      // What a process remembers of its files for a moment is another matter.
      await stop();
    });

    const damages: readonly [string, (file: string) => Promise<void>][] = [
      ['deleted', (file) => rm(file)],
      ['truncated', (file) => truncate(file, 100)],
      ['emptied', (file) => truncate(file, 0)],
    ];

    it.each(damages)(
      'answers 404 for a blob whose file was %s, logs it, and serves it again after a push',
      async (_how, damage) => {
        await damage(fileOf(folder, digest(layer)));
        await start();
        expect(await statusOf('local/app', layer)).toBe(404);
        const answer = await client.get(`/v2/local/app/blobs/${digest(layer)}`);
        expect(answer.status).toBe(404);
        expect(answer.codes).toEqual(['BLOB_UNKNOWN']);
        expect((await client.get(`/v2/local/app/blobs/${digest(layer)}`, { Range: 'bytes=0-9' })).status).toBe(404);
        expect(started.log.filter(({ level }) => level === 'error')).toContainEqual(
          expect.objectContaining({ fields: expect.objectContaining({ digest: digest(layer) }) as object }),
        );
        await pushBlob(client, 'local/app', layer);
        await expectWhole('local/app', 'v1', image);
      },
    );

    it.each(damages)(
      'answers 404 for a manifest whose file was %s, logs it, and serves it again after a push',
      async (_how, damage) => {
        await damage(fileOf(folder, image.manifest.digest));
        await start();
        for (const reference of ['v1', image.manifest.digest]) {
          const answer = await client.get(`/v2/local/app/manifests/${reference}`);
          expect(answer.status).toBe(404);
          expect(answer.codes).toEqual(['MANIFEST_UNKNOWN']);
        }
        expect(started.log.filter(({ level }) => level === 'error')).toContainEqual(
          expect.objectContaining({ fields: expect.objectContaining({ digest: image.manifest.digest }) as object }),
        );
        await pushManifest(client, 'local/app', image.manifest.digest, image.manifest);
        await expectWhole('local/app', 'v1', image);
        await stop();
        await start();
        await expectWhole('local/app', 'v1', image);
      },
    );

    it.each(damages)(
      'never sends other bytes of a small blob that it sent before its file was %s',
      async (_how, damage) => {
        await start();
        await expectWhole('local/app', 'v1', image);
        await damage(fileOf(folder, digest(layer)));
        const answer = await client.get(`/v2/local/app/blobs/${digest(layer)}`);
        // The registry may have looked for the file since.
        expect(answer.status === 404 || answer.body.equals(layer)).toBe(true);
      },
    );

    it.each(damages)('never sends a large blob as complete just after its file was %s', async (_how, damage) => {
      await start();
      const large = someBytes('large layer', 100_000);
      const other = imageOf('image with a large layer', [large]);
      await push('local/app', other, 'v2');
      await expectWhole('local/app', 'v2', other);
      await damage(fileOf(folder, digest(large)));
      const whole = await client.get(`/v2/local/app/blobs/${digest(large)}`).then(
        ({ status }) => status === 200,
        () => false,
      );
      expect(whole).toBe(false);
    });
  });

  describe('under load', () => {
    const repositories = ['one', 'two'] as const;
    const layers = Array.from({ length: 5 }, (_, i) => someBytes(`layer ${i}`, 1000 + i * 700));
    /** Every image that a client has been told is stored, and did not delete since; by `<name>@<digest>`. */
    const stored = new Map<string, Image>();
    /** By `<name>:<tag>`. */
    const tagged = new Map<string, Image>();

    /** The same numbers for the same seed (mulberry32). */
    function random(seed: number): (below: number) => number {
      let state = seed;
      return (below) => {
        state = (state + 0x6d2b79f5) | 0;
        let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
        mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
        return ((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below) | 0;
      };
    }

    const nameOf = (pick: (below: number) => number): string => `${repositories[pick(2)] ?? 'one'}/app-${pick(2)}`;

    async function bring(name: string, bytes: Buffer, how: number): Promise<void> {
      if ((await statusOf(name, bytes)) === 200) return;
      if (how === 0) {
        const from = name.startsWith('one') ? name.replace('one', 'two') : name.replace('two', 'one');
        const answer = await client.post(`/v2/${name}/blobs/uploads/?mount=${digest(bytes)}&from=${from}`);
        expect([201, 202]).toContain(answer.status);
        if (answer.status === 201) return;
        const put = await client.put(`${answer.header('location')}?digest=${digest(bytes)}`, { body: bytes });
        expect(put.status).toBe(201);
      } else if (how === 1) {
        const location = await startUpload(client, name);
        expect((await client.patch(location, { body: bytes })).status).toBe(202);
        expect((await client.put(`${location}?digest=${digest(bytes)}`)).status).toBe(201);
      } else {
        await pushBlob(client, name, bytes);
      }
    }

    /** How often it had to begin again. */
    async function pushUntilTaken(
      name: string,
      tag: string,
      image: Image,
      pick: (below: number) => number,
    ): Promise<number> {
      for (let attempt = 0; attempt < 100; attempt++) {
        for (const bytes of image.blobs) await bring(name, bytes, pick(3));
        const answer = await client.put(`/v2/${name}/manifests/${tag}`, {
          headers: { 'Content-Type': image.manifest.type },
          body: image.manifest.bytes,
        });
        if (answer.status === 201) return attempt;
        expect(answer.status).toBe(400);
        expect([...new Set(answer.codes)]).toEqual(['MANIFEST_BLOB_UNKNOWN']);
      }
      throw new Error('the image was never taken');
    }

    async function work(id: number, isEnough: () => boolean): Promise<void> {
      const pick = random(id + 1);
      for (let round = 0; round < 20 || !isEnough(); round++) {
        const name = nameOf(pick);
        const tag = `client-${id}-${pick(3)}`;
        const own = [...stored].filter(([key, { manifest }]) => key.startsWith(`${name}@`) && isOf(id, manifest));
        const chosen = own[pick(own.length)];
        const action = pick(10);
        if (action < 6 || chosen === undefined) {
          // The config makes it this client's own: nobody else deletes it.
          const image = imageOf(
            `client-${id}, round ${pick(6)}`,
            [...new Set([pick(5), pick(5), pick(5)])].map((i) => layers[i] ?? layer),
          );
          await pushUntilTaken(name, tag, image, pick);
          stored.set(`${name}@${image.manifest.digest}`, image);
          tagged.set(`${name}:${tag}`, image);
        } else if (action < 8) {
          const [, image] = chosen;
          await pushUntilTaken(name, tag, image, pick);
          tagged.set(`${name}:${tag}`, image);
        } else {
          const [key, image] = chosen;
          stored.delete(key);
          for (const [at, of] of tagged)
            if (of.manifest.digest === image.manifest.digest && at.startsWith(`${name}:`)) tagged.delete(at);
          expect((await client.delete(`/v2/${name}/manifests/${image.manifest.digest}`)).status).toBe(202);
        }
      }
    }

    const owners = new Map<string, number>();
    function isOf(id: number, { digest: of, bytes }: Manifest): boolean {
      const known = owners.get(of);
      if (known !== undefined) return known === id;
      const configs = Array.from(
        { length: 6 },
        (_, round) => imageOf(`client-${id}, round ${round}`, []).blobs[0] ?? layer,
      );
      const mine = configs.some((config) => bytes.includes(digest(config)));
      if (mine) owners.set(of, id);
      return mine;
    }

    it('keeps the images of four clients that push, retag and delete, and leaves no garbage', async () => {
      await start({
        repositories: repositories.map((name) => ({ name, type: 'local', sparse: false, trashSeconds: 0 })),
        garbageCollection: { graceSeconds: 0.04, intervalSeconds: 0, uploadExpirySeconds: 60 },
      });
      // The first run of a process looks at the whole store, which takes its time beside busy clients.
      await started.registry.collectGarbage();
      const clients = { atWork: true };
      let runs = 0;
      const collecting = (async () => {
        for (; clients.atWork; runs++) {
          await started.registry.collectGarbage();
          await sleep(1);
        }
      })();
      try {
        await Promise.all([0, 1, 2, 3].map((id) => work(id, () => runs > 5)));
      } finally {
        clients.atWork = false;
      }
      await collecting;
      expect(stored.size).toBeGreaterThan(4);
      for (const [at, image] of tagged) {
        const [name = '', tag = ''] = at.split(':');
        await expectWhole(name, tag, image);
      }
      for (const [at, image] of stored) await expectWhole(at.slice(0, at.indexOf('@')), image.manifest.digest, image);
      expect(started.log.filter(({ level }) => level === 'error')).toEqual([]);

      for (const [at, { manifest }] of stored) {
        expect((await client.delete(`/v2/${at.slice(0, at.indexOf('@'))}/manifests/${manifest.digest}`)).status).toBe(
          202,
        );
      }
      for (let pass = 0; pass < 2; pass++) {
        await sleep(45);
        await started.registry.collectGarbage();
      }
      await expectNothingLeft();
    });
  });
});
