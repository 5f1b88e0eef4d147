import { request as httpRequest } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RegistryOptions } from '../../../src/index.js';
import { Client, type Answer } from '../../support/clients/client.js';
import {
  describeBytes,
  digest,
  manifestOf,
  pushBlob,
  pushManifest,
  someBytes,
  types,
  type Manifest,
} from '../../support/content/content.js';
import { startMemoryRegistry, startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { SmallDisk } from '../../support/storage/small-disk.js';
import { Cleanups, MovableClock } from '../../support/upstreams/remote.js';

const day = 24 * 3600;
const name = 'local/team/app';
const json = { 'Content-Type': 'application/json' };

interface Image {
  readonly manifest: Manifest;
  readonly blobs: readonly Buffer[];
}

function imageOf(label: string, size = 500): Image {
  const blobs = [Buffer.from(JSON.stringify({ label })), someBytes(label, size)] as const;
  const manifest = manifestOf(types.ociImage, {
    config: describeBytes(types.ociConfig, blobs[0]),
    layers: [describeBytes(types.ociLayer, blobs[1])],
  });
  return { manifest, blobs };
}

function indexOf(...images: readonly Image[]): Manifest {
  const manifests = images.map(({ manifest }) => ({
    mediaType: manifest.type,
    digest: manifest.digest,
    size: manifest.bytes.length,
  }));
  return manifestOf(types.ociIndex, { manifests });
}

const cleanups = new Cleanups();
let clock: MovableClock;
let server: TestRegistry;
let client: Client;

async function start(options: Partial<RegistryOptions> = {}): Promise<void> {
  server = await startMemoryRegistry({ garbageCollection: { intervalSeconds: 0 }, ...options });
  cleanups.add(() => server.close());
  client = new Client(server.url);
  cleanups.add(() => client.close());
}

async function push(image: Image, tag: string): Promise<void> {
  for (const bytes of image.blobs) await pushBlob(client, name, bytes);
  await pushManifest(client, name, tag, image.manifest);
}

const trash = async (): Promise<Record<string, unknown>[]> => {
  const answer = await client.get('/api/v1/repositories/local/trash');
  return (answer.json() as { items: Record<string, unknown>[] }).items;
};
const restore = (document: object): Promise<Answer> =>
  client.post('/api/v1/repositories/local/trash/restore', { headers: json, body: JSON.stringify(document) });
const remove = (reference: string): Promise<Answer> => client.delete(`/v2/${name}/manifests/${reference}`);

async function expectPull(reference: string, image: Image): Promise<void> {
  const pulled = await client.get(`/v2/${name}/manifests/${reference}`);
  expect([pulled.status, digest(pulled.body)]).toEqual([200, image.manifest.digest]);
  for (const bytes of image.blobs) {
    expect((await client.get(`/v2/${name}/blobs/${digest(bytes)}`)).body.equals(bytes)).toBe(true);
  }
}

/** Sends the headers of a request whose body never comes, and returns the status. */
function announce(path: string, headers: Readonly<Record<string, string>>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(new URL(path, server.url), { method: 'PATCH', headers }, (answer) => {
      resolve(answer.statusCode);
      answer.resume();
      sent.destroy();
    });
    sent.on('error', reject);
    sent.flushHeaders();
  });
}

beforeEach(() => {
  clock = new MovableClock();
});
afterEach(async () => {
  await cleanups.run();
  clock.restore();
});

describe('the trash of a local repository', () => {
  const image = imageOf('image');

  it('restores a deleted image with its tags after collections, for seven days', async () => {
    await start();
    await push(image, 'v1');
    await pushManifest(client, name, 'latest', image.manifest);
    expect((await remove(image.manifest.digest)).status).toBe(202);
    expect((await client.get(`/v2/${name}/manifests/v1`)).status).toBe(404);
    expect((await client.get(`/v2/${name}/manifests/${image.manifest.digest}`)).status).toBe(404);
    clock.advance(6 * day);
    await server.registry.collectGarbage();
    const bytes = image.manifest.bytes.length + image.blobs.reduce((sum, blob) => sum + blob.length, 0);
    expect(await trash()).toMatchObject([
      { image: 'team/app', digest: image.manifest.digest, tags: ['latest', 'v1'], bytes, by: { via: 'anonymous' } },
    ]);
    const restored = await restore({ image: 'team/app', digest: image.manifest.digest });
    expect([restored.status, restored.json()]).toEqual([
      200,
      { digest: image.manifest.digest, tags: ['latest', 'v1'], manifests: 1 },
    ]);
    await expectPull('v1', image);
    await expectPull('latest', image);
    expect(await trash()).toEqual([]);
  });

  it('is emptied by the first collection after seven days, which frees everything', async () => {
    await start();
    await push(image, 'v1');
    await remove(image.manifest.digest);
    clock.advance(7 * day + 1);
    expect(await server.registry.collectGarbage()).toMatchObject({ trashExpired: 1, blobsDeleted: 3 });
    expect(server.disk?.blobs.size).toBe(0);
    expect(await trash()).toEqual([]);
    expect((await restore({ image: 'team/app', digest: image.manifest.digest })).status).toBe(404);
  });

  describe('of which a client deletes a layer', () => {
    const layer = image.blobs[1] as Buffer;

    async function deleteLayer(): Promise<void> {
      await start();
      await push(image, 'v1');
      await remove(image.manifest.digest);
      expect((await client.delete(`/v2/${name}/blobs/${digest(layer)}`)).status).toBe(202);
      expect((await client.get(`/v2/${name}/blobs/${digest(layer)}`)).status).toBe(404);
    }

    it('restores the image with the layer after a collection', async () => {
      await deleteLayer();
      expect((await client.post('/api/v1/gc', { headers: json, body: '{"grace_seconds":0}' })).status).toBe(200);
      expect((await restore({ image: 'team/app', digest: image.manifest.digest })).status).toBe(200);
      await expectPull('v1', image);
    });

    it('frees the layer once it is emptied', async () => {
      await deleteLayer();
      expect((await client.delete('/api/v1/repositories/local/trash')).status).toBe(200);
      clock.advance(day + 1);
      expect(await server.registry.collectGarbage()).toMatchObject({ blobsDeleted: 3 });
      expect(server.disk?.blobs.size).toBe(0);
    });
  });

  it('keeps the blobs of an image that is pushed again while it is in the trash', async () => {
    await start();
    await push(image, 'v1');
    await remove(image.manifest.digest);
    await push(image, 'v2');
    expect(await trash()).toEqual([]);
    clock.advance(30 * day);
    await server.registry.collectGarbage();
    await expectPull('v2', image);
  });

  it('restores an index with the manifests that it names', async () => {
    await start();
    const other = imageOf('other');
    await push(image, 'a');
    await push(other, 'b');
    const index = indexOf(image, other);
    await pushManifest(client, name, 'multi', index);
    for (const { digest: gone } of [index, image.manifest, other.manifest]) await remove(gone);
    expect((await restore({ image: 'team/app', digest: index.digest })).json()).toMatchObject({ manifests: 3 });
    for (const each of [image, other]) await expectPull(each.manifest.digest, each);
    expect((await client.get(`/v2/${name}/manifests/multi`)).status).toBe(200);
    expect((await client.get(`/v2/${name}/manifests/a`)).status).toBe(404);
  });

  it('does not move a tag that exists again', async () => {
    await start();
    const newer = imageOf('newer');
    await push(image, 'v1');
    await remove(image.manifest.digest);
    await push(newer, 'v1');
    const document = { image: 'team/app', digest: image.manifest.digest };
    const refused = await restore(document);
    expect([refused.status, refused.codes]).toEqual([409, ['CONFLICT']]);
    await expectPull('v1', newer);
    expect((await restore({ ...document, tags: ['v1-restored'] })).status).toBe(200);
    await expectPull('v1-restored', image);
    await expectPull('v1', newer);
  });

  it('can be emptied, of one image or as a whole, after a dry run', async () => {
    await start();
    await push(image, 'v1');
    await remove(image.manifest.digest);
    const empty = async (query: string): Promise<unknown> =>
      (await client.delete(`/api/v1/repositories/local/trash${query}`)).json();
    expect(await empty('?dry_run=true')).toMatchObject({ dry_run: true, manifests: 1 });
    expect(await empty('?image=other')).toEqual({ dry_run: false, manifests: 0, bytes: 0 });
    expect(await trash()).toHaveLength(1);
    expect(await empty('')).toMatchObject({ dry_run: false, manifests: 1 });
    clock.advance(day + 1);
    expect(await server.registry.collectGarbage()).toMatchObject({ blobsDeleted: 3 });
  });

  it('is listed in pages', async () => {
    await start();
    for (const label of ['a', 'b', 'c']) {
      const each = imageOf(label);
      await push(each, label);
      await remove(each.manifest.digest);
      clock.advance(60);
    }
    const tags: unknown[] = [];
    let next: string | undefined = '/api/v1/repositories/local/trash?n=2';
    while (next !== undefined) {
      const answer: Answer = await client.get(next);
      tags.push((answer.json() as { items: { tags: string[] }[] }).items.map((item) => item.tags));
      next = /<(?<url>[^>]+)>/.exec(answer.headers['link']?.toString() ?? '')?.groups?.['url'];
    }
    expect(tags).toEqual([[['a'], ['b']], [['c']]]);
  });

  it('does not exist with trashSeconds: 0', async () => {
    await start({ repositories: [{ name: 'local', type: 'local', trashSeconds: 0 }] });
    await push(image, 'v1');
    await remove(image.manifest.digest);
    expect(await trash()).toEqual([]);
    clock.advance(day + 1);
    expect(await server.registry.collectGarbage()).toMatchObject({ blobsDeleted: 3 });
  });

  it('is emptied before it expires when the disk is full, of the oldest deletions first and of no more than a push needs', async () => {
    const folder = await makeScratchFolder();
    cleanups.add(() => removeScratchFolder(folder));
    const disk = await SmallDisk.open(folder, 1_000_000, 0);
    server = await startRegistry({ storage: disk.storage, garbageCollection: { intervalSeconds: 0 } });
    cleanups.add(() => server.close());
    client = new Client(server.url);
    cleanups.add(() => client.close());
    const [old, recent] = [imageOf('old', 300_000), imageOf('recent', 300_000)];
    await push(old, 'old');
    await push(recent, 'recent');
    await remove(old.manifest.digest);
    clock.advance(2 * day);
    await remove(recent.manifest.digest);
    const emptied: object[] = [];
    server.registry.events.on('trash.emptied', (event) => emptied.push(event));
    const next = imageOf('next', 600_000);
    await push(next, 'next');
    expect(emptied).toMatchObject([{ manifests: 1, bytes: expect.any(Number) as number }]);
    const purged = (await client.get('/api/v1/events?types=manifest.purged')).json();
    expect(purged).toMatchObject({ events: [{ digest: old.manifest.digest, by: { principal: 'system' } }] });
    const { problems } = (await client.get('/api/v1/status')).json() as { problems: { kind: string }[] };
    expect(problems.map(({ kind }) => kind)).toContain('trash-emptied');
    expect((await trash()).map(({ tags }) => tags)).toEqual([['recent']]);
    await expectPull('next', next);
    const tooLarge = someBytes('too large', 600_000);
    const refused = await client.post(`/v2/${name}/blobs/uploads/?digest=${digest(tooLarge)}`, { body: tooLarge });
    expect([refused.status, refused.codes]).toEqual([507, ['UNAVAILABLE']]);
    expect(await trash()).toHaveLength(1);
    // What was deleted just now goes too, if the push needs it.
    clock.advance(day / 24);
    await push(imageOf('last', 350_000), 'last');
    expect(await trash()).toEqual([]);
    expect(emptied).toMatchObject([{ manifests: 1 }, { manifests: 1 }]);
  });

  it('stays when an upload announces more than emptying it could make room for, or than the registry takes', async () => {
    const folder = await makeScratchFolder();
    cleanups.add(() => removeScratchFolder(folder));
    const disk = await SmallDisk.open(folder, 1_000_000, 0);
    server = await startRegistry({
      storage: disk.storage,
      garbageCollection: { intervalSeconds: 0 },
      limits: { maxBlobBytes: 950_000 },
    });
    cleanups.add(() => server.close());
    client = new Client(server.url);
    cleanups.add(() => client.close());
    await push(imageOf('old', 300_000), 'old');
    await remove(imageOf('old', 300_000).manifest.digest);
    clock.advance(2 * day);
    await push(imageOf('present', 100_000), 'present');
    for (const [end, status] of [
      [999_999_999_999, 413],
      [940_000, 507],
    ] as const) {
      const started = await client.post(`/v2/${name}/blobs/uploads/`);
      const headers = {
        'Content-Range': `0-${end}`,
        'Content-Length': String(end + 1),
        'Content-Type': 'application/octet-stream',
      };
      const refused = await announce(started.header('location'), headers);
      expect(refused).toBe(status);
      expect(await trash()).toHaveLength(1);
    }
  });

  it.each([
    { what: 'an image that is not there', document: { image: 'none', digest: image.manifest.digest }, status: 404 },
    { what: 'no image', document: { digest: image.manifest.digest }, status: 400 },
    { what: 'an invalid digest', document: { image: 'team/app', digest: 'sha256:x' }, status: 400 },
    {
      what: 'an invalid tag',
      document: { image: 'team/app', digest: image.manifest.digest, tags: ['/'] },
      status: 400,
    },
    {
      what: 'tags that are not a list',
      document: { image: 'x', digest: image.manifest.digest, tags: 'v1' },
      status: 400,
    },
    { what: 'an unknown field', document: { image: 'x', digest: image.manifest.digest, tag: 'v1' }, status: 400 },
    { what: 'a list', document: [], status: 400 },
  ])('refuses to restore $what with $status and loses nothing', async ({ document, status }) => {
    await start();
    await push(image, 'v1');
    await remove(image.manifest.digest);
    expect((await restore(document)).status).toBe(status);
    expect(await trash()).toHaveLength(1);
  });

  it.each([
    ['GET', 'hub/trash', 405],
    ['GET', 'none/trash', 404],
    ['DELETE', 'hub/trash', 405],
    ['GET', 'local/trash?last=x', 400],
    ['DELETE', 'local/trash?dry_run=maybe', 400],
    ['DELETE', 'local/trash?images=x', 400],
  ] as const)('answers %s %s with %i', async (method, path, status) => {
    await start({
      repositories: [
        { name: 'local', type: 'local' },
        { name: 'hub', type: 'remote', url: 'http://127.0.0.1:1' },
      ],
    });
    expect((await client.send(method, `/api/v1/repositories/${path}`)).status).toBe(status);
  });

  it('refuses a trash of more than ten years', async () => {
    await expect(start({ repositories: [{ name: 'local', type: 'local', trashSeconds: 4e8 }] })).rejects.toThrow(
      /repositories\[0\]\.trashSeconds/,
    );
  });
});
