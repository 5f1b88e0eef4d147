import { mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { algorithmOf, digestOf, hexOf, type Digest } from '../../../src/protocol/digest.js';
import { FsBlobStore } from '../../../src/storage/files/fs-blob-store.js';
import { Client } from '../../support/clients/client.js';
import { describeBytes, manifestOf, pushBlob, pushManifest, someBytes, types } from '../../support/content/content.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { makeScratchFolder } from '../../support/storage/scratch.js';

const config = Buffer.from('{}');
const layer = someBytes('layer', 3000);
const orphan = someBytes('orphan', 2000);
const another = someBytes('another orphan', 1000);
const headers = { 'Content-Type': 'application/json' };
const manifest = manifestOf(types.ociImage, {
  config: describeBytes(types.ociConfig, config),
  layers: [describeBytes(types.ociLayer, layer)],
});

describe('the quarantine', () => {
  let folder: string;
  let started: TestRegistry;
  let client: Client;
  async function start(): Promise<void> {
    started = await startRegistry({ storage: folder, garbageCollection: { intervalSeconds: 0 } });
    client = new Client(started.url);
  }
  async function stop(): Promise<void> {
    await client.close();
    await started.close();
  }
  beforeEach(async () => {
    folder = await makeScratchFolder();
    await start();
  });
  afterEach(async () => {
    await stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function pushImage(): Promise<void> {
    for (const bytes of [config, layer]) await pushBlob(client, 'local/app', bytes);
    await pushManifest(client, 'local/app', 'v1', manifest);
  }
  async function expectWhole(): Promise<void> {
    expect((await client.get('/v2/local/app/manifests/v1')).body).toEqual(manifest.bytes);
    for (const bytes of [config, layer]) {
      expect((await client.get(`/v2/local/app/blobs/${digestOf(bytes)}`)).body).toEqual(bytes);
    }
  }
  /** Puts a file into `blobs/`, two days old, of which the index knows nothing. */
  async function leaveOrphan(bytes: Buffer): Promise<void> {
    const file = fileOf('blobs', digestOf(bytes));
    await writeFile(file, bytes);
    const old = Date.now() / 1000 - 2 * 86_400;
    await utimes(file, old, old);
  }
  const fileOf = (place: string, digest: Digest): string => {
    const hex = hexOf(digest);
    return path.join(folder, place, algorithmOf(digest), hex.slice(0, 2), hex);
  };
  const held = async (): Promise<string[]> => {
    const found = await readdir(path.join(folder, 'quarantine', 'sha256'), { recursive: true });
    return found.map((name) => path.basename(name)).filter((name) => name.length === 64);
  };
  const collect = async () => (await client.post('/api/v1/gc')).json();
  const restore = (body: object) => client.post('/api/v1/quarantine/restore', { headers, body: JSON.stringify(body) });

  it('receives orphans, lists when they expire, and restores or deletes them on request', async () => {
    await pushImage();
    await leaveOrphan(orphan);
    await leaveOrphan(another);
    const bytes = orphan.length + another.length;
    expect((await client.post('/api/v1/gc?dry_run=true')).json()).toMatchObject({
      quarantined: 2,
      quarantined_bytes: bytes,
    });
    expect(await held()).toEqual([]);
    expect(await collect()).toMatchObject({ blobs_deleted: 0, quarantined: 2, quarantined_bytes: bytes });
    await expectWhole();

    const digests = [digestOf(orphan), digestOf(another)].sort();
    const first = await client.get('/api/v1/quarantine?n=1');
    const { blobs } = first.json() as { blobs: { digest: string; quarantined_at: string; expires_at: string }[] };
    expect(blobs.map(({ digest }) => digest)).toEqual([digests[0]]);
    const [quarantinedAt, expiresAt] = [blobs[0]?.quarantined_at, blobs[0]?.expires_at].map((time) =>
      Date.parse(time ?? ''),
    );
    expect((expiresAt ?? 0) - (quarantinedAt ?? 0)).toBe(30 * 86_400_000);
    const second = await client.get(first.next ?? '');
    expect(second.json()).toMatchObject({ blobs: [{ digest: digests[1] }] });
    expect(second.next).toBeUndefined();

    expect((await restore({ digests: [digestOf(orphan)] })).json()).toEqual({ restored: 1, missing: [] });
    expect(await held()).toEqual([hexOf(digestOf(another))]);
    // Not an orphan again: it has a candidate.
    expect(await collect()).toMatchObject({ quarantined: 0, blobs_deleted: 0 });
    const place = `/api/v1/quarantine/${digestOf(another)}`;
    expect((await client.delete(place)).status).toBe(204);
    const gone = await client.delete(place);
    expect([gone.status, gone.codes]).toEqual([404, ['NOT_FOUND']]);
    expect((await restore({ digests: [digestOf(another)] })).json()).toEqual({
      restored: 0,
      missing: [digestOf(another)],
    });
    expect((await client.get('/api/v1/quarantine')).json()).toEqual({ blobs: [] });
  });

  it.each([{}, { all: false }, { all: true, digests: [] }, { digests: ['sha256:short'] }, { digests: 'all' }, []])(
    'refuses to restore %j',
    async (body) => {
      const refused = await restore(body);
      expect([refused.status, refused.codes]).toEqual([400, ['OPTIONS_INVALID']]);
    },
  );

  it('restores blobs on their first read when the index of a backup refers to them', async () => {
    await pushImage();
    await stop();
    // What the audit does while the index is lost.
    const store = await FsBlobStore.open(folder);
    for await (const { digest } of store.list()) await store.quarantine(digest, Date.now());
    await store.close();
    expect(await held()).toHaveLength(3);
    await start();
    expect((await client.head(`/v2/local/app/blobs/${digestOf(layer)}`)).status).toBe(200);
    await expectWhole();
    expect(await held()).toEqual([]);
    expect(started.log.filter(({ level }) => level === 'error')).toEqual([]);
    expect(started.log).toContainEqual(expect.objectContaining({ message: 'blob restored from quarantine' }));
  });

  it('ignores stray files, which are logged once', async () => {
    await pushImage();
    for (const place of ['blobs', 'blobs/sha256', 'blobs/sha256/ab', 'staged', 'quarantine', 'quarantine/sha256']) {
      await writeFile(path.join(folder, place, '.DS_Store'), 'stray');
      await mkdir(path.join(folder, place, 'lost+found'));
    }
    await leaveOrphan(orphan);
    expect(await collect()).toMatchObject({ quarantined: 1 });
    expect(await collect()).toMatchObject({ quarantined: 0 });
    await expectWhole();
    const strays = started.log.filter(({ message }) => message === 'unexpected file or unusable folder skipped');
    expect(strays).toHaveLength(12);
  });
});
