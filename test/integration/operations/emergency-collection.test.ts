import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RegistryOptions } from '../../../src/index.js';
import { json } from '../../support/access/access.js';
import { Client } from '../../support/clients/client.js';
import { basic, startAccess } from '../../support/access/access.js';
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
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { Cleanups } from '../../support/upstreams/remote.js';

interface Report {
  readonly blobs_deleted: number;
  readonly bytes_freed: number;
  readonly pending: { readonly blobs: number; readonly bytes: number; readonly until_at?: string };
}

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

/** The default grace period is a day, and collections do not start by themselves. */
const options: Partial<RegistryOptions> = { garbageCollection: { intervalSeconds: 0 } };
const cleanups = new Cleanups();
let started: TestRegistry;
let client: Client;

beforeAll(async () => {
  started = await startRegistry({ ...options, repositories: [{ name: 'local', type: 'local', trashSeconds: 0 }] });
  cleanups.add(() => started.close());
  client = new Client(started.url);
  cleanups.add(() => client.close());
});
afterAll(() => cleanups.run());

async function collectNow(by = client): Promise<Report> {
  const answer = await by.post('/api/v1/gc', { headers: json, body: '{"grace_seconds":0}' });
  expect(answer.status, answer.body.toString()).toBe(200);
  return answer.json() as Report;
}

async function filesOnDisk(): Promise<string[]> {
  const entries = await readdir(path.join(started.folder, 'blobs'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

/** Pushes as clients do: asks for each blob first, and uploads those that are absent. */
async function push(by: Client, name: string, image: Image, tag: string): Promise<void> {
  for (const bytes of image.blobs) {
    const { status } = await by.head(`/v2/${name}/blobs/${digest(bytes)}`);
    if (status === 404) await pushBlob(by, name, bytes);
    else expect(status).toBe(200);
  }
  await pushManifest(by, name, tag, image.manifest);
}

async function expectWhole(by: Client, name: string, image: Image): Promise<void> {
  const answer = await by.get(`/v2/${name}/manifests/${image.manifest.digest}`);
  expect([answer.status, digest(answer.body)]).toEqual([200, image.manifest.digest]);
  for (const bytes of image.blobs) {
    const blob = await by.get(`/v2/${name}/blobs/${digest(bytes)}`);
    expect([blob.status, digest(blob.body)]).toEqual([200, digest(bytes)]);
  }
}

describe('POST /api/v1/gc with grace_seconds', () => {
  it('brings a disk with six pushes of :latest back to one image, right after the deletes', async () => {
    const base = someBytes('base', 20_000);
    const images = Array.from({ length: 6 }, (_, i) => imageOf(`build ${i}`, [base, someBytes(`build ${i}`, 50_000)]));
    for (const image of images) await push(client, 'local/app', image, 'latest');
    expect(await filesOnDisk()).toHaveLength(1 + 6 * 3);
    const latest = images.at(-1) as Image;
    const going = images.slice(0, -1);
    for (const { manifest } of going) {
      expect((await client.delete(`/v2/local/app/manifests/${manifest.digest}`)).status).toBe(202);
    }
    const freed = going.reduce((sum, { manifest, blobs: [config, , own] }) => {
      return sum + manifest.bytes.length + (config?.length ?? 0) + (own?.length ?? 0);
    }, 0);
    const counted = await client.post('/api/v1/gc?dry_run=true', { headers: json, body: '{"grace_seconds":0}' });
    expect(counted.json()).toMatchObject({ dry_run: true, blobs_deleted: 15, bytes_freed: freed });
    const report = await collectNow();
    expect(report).toMatchObject({ blobs_deleted: 15, bytes_freed: freed, pending: { blobs: 0, bytes: 0 } });
    const left = [latest.manifest.bytes, ...latest.blobs].map((bytes) => digest(bytes).slice('sha256:'.length));
    expect((await filesOnDisk()).sort()).toEqual(left.sort());
    await expectWhole(client, 'local/app', latest);
  });

  it('reports a layer without a manifest as pending, and the push completes', async () => {
    const image = imageOf('pausing', [someBytes('pausing', 3000)]);
    for (const bytes of image.blobs) await pushBlob(client, 'local/pausing', bytes);
    const { pending } = await collectNow();
    expect(pending.blobs).toBe(2);
    expect(Date.parse(pending.until_at ?? '') - Date.now()).toBeGreaterThan(10 * 60_000);
    await pushManifest(client, 'local/pausing', 'v1', image.manifest);
    await expectWhole(client, 'local/pausing', image);
    expect((await collectNow()).pending.blobs).toBe(0);
  });

  it('runs as a job with the same parameters', async () => {
    await collectNow();
    const answer = await client.get('/api/v1/jobs?kind=garbage&n=1');
    expect((answer.json() as { jobs: object[] }).jobs).toMatchObject([
      { kind: 'garbage', state: 'succeeded', params: { grace_seconds: 0 }, report: { pending: { blobs: 0 } } },
    ]);
  });

  it.each([
    ['{"grace_seconds":-1}', 400, 'grace_seconds'],
    ['{"grace_seconds":"0"}', 400, 'grace_seconds'],
    ['{"graceSeconds":0}', 400, 'graceSeconds'],
    ['{"grace":0}', 400, 'grace'],
    ['[]', 400, ''],
    ['{', 400, undefined],
  ])('refuses the body %s', async (body, status, at) => {
    const answer = await client.post('/api/v1/gc', { headers: json, body });
    expect([answer.status, answer.codes]).toEqual([status, ['OPTIONS_INVALID']]);
    const [error] = (answer.json() as { errors: { detail?: { path: string }[] }[] }).errors;
    expect(error?.detail?.[0]?.path).toBe(at);
  });

  it('is for administrators only', async () => {
    const scene = await startAccess(cleanups, {
      users: ['root', 'watcher'],
      access: {
        rules: [
          { users: ['root'], allow: ['admin'] },
          { users: ['watcher'], allow: ['pull', 'push', 'delete', 'monitor'] },
        ],
      },
    });
    const send = { headers: json, body: '{"grace_seconds":0}' };
    expect((await scene.as(basic('watcher'))('POST', '/api/v1/gc', send)).status).toBe(403);
    expect((await scene.as(basic('root'))('POST', '/api/v1/gc', send)).status).toBe(200);
  });
});

describe('eight clients that push and delete', () => {
  it('are not disturbed by collections without a grace period, which free everything in the end', async () => {
    const layers = Array.from({ length: 4 }, (_, i) => someBytes(`shared ${i}`, 3000 + i));
    const rounds = 12;
    const kept: { readonly name: string; readonly image: Image }[] = [];
    const pushing = new AbortController();
    let collections = 0;
    const collecting = (async () => {
      const collector = new Client(started.url);
      while (!pushing.signal.aborted) {
        await collectNow(collector);
        collections++;
      }
      await collector.close();
    })();
    const work = async (who: number): Promise<void> => {
      const own = new Client(started.url);
      let before: { readonly name: string; readonly image: Image } | undefined;
      for (let round = 0; round < rounds; round++) {
        // Two images, so that clients share layers whose last manifest another one deletes.
        const name = `local/shared-${(who + round) % 2}`;
        const shared = layers.filter((_, i) => (who + round + i) % 3 !== 0);
        const image = imageOf(`${who} ${round}`, shared);
        await push(own, name, image, `t${who}`);
        await expectWhole(own, name, image);
        if (before !== undefined) {
          const gone = await own.delete(`/v2/${before.name}/manifests/${before.image.manifest.digest}`);
          expect(gone.status).toBe(202);
        }
        before = { name, image };
      }
      if (before !== undefined) kept.push(before);
      await own.close();
    };
    try {
      await Promise.all(Array.from({ length: 8 }, (_, who) => work(who)));
    } finally {
      pushing.abort();
      await collecting;
    }
    expect(collections).toBeGreaterThan(3);
    for (const { name, image } of kept) await expectWhole(client, name, image);
    for (const { name, image } of kept) await client.delete(`/v2/${name}/manifests/${image.manifest.digest}`);
    expect((await collectNow()).pending).toEqual({ blobs: 0, bytes: 0 });
    for (const bytes of layers) expect(await filesOnDisk()).not.toContain(digest(bytes).slice('sha256:'.length));
  });
});
