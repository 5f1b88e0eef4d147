/**
 * A full disk: a foreign file fills a small loop-mounted ext4. Pushes are refused early, and everything that reads or
 * frees space works, even after a restart. Once there is room again, nothing acknowledged from then on may be lost. A
 * cache on a full disk keeps serving.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { header } from '../../e2e-docker/support/registry-http.js';
import { describeOnDisk } from './support/describe-on-disk.js';
import { imageOf, Ledger, pushImage } from './support/ledger.js';
import { Life, waitForReserve } from './support/life.js';
import { LoopDisk } from './support/loop-disk.js';
import type { PatientClient } from './support/patient-client.js';
import { listBlobFiles } from './support/verify.js';

const repositories = [{ name: 'local', type: 'local', trashSeconds: 0 }];
const garbageCollection = { graceSeconds: 0, intervalSeconds: 0 };
const name = 'local/app';
const tagsAfterwards = 300;

await describeOnDisk('a full disk', 'ext4', () => {
  let disk: LoopDisk;
  const lives: Life[] = [];

  beforeEach(async () => {
    disk = await LoopDisk.create('ext4', 192);
  });
  afterEach(async () => {
    for (const life of lives.splice(0)) await life.end('kill');
    await disk?.release();
  });

  function live(config: Readonly<Record<string, unknown>>): Life {
    const life = new Life(disk.folder, { config, data: join(disk.path, 'data') });
    lives.push(life);
    return life;
  }

  test('refuses pushes early, and still reads, deletes, cancels, collects garbage and starts', async () => {
    const life = live({ repositories, garbageCollection });
    const ledger = new Ledger();
    let client = await life.start();
    for (let number = 0; number < 4; number++)
      await pushImage(client, ledger, name, `v${number}`, imageOf(number, 200_000));
    const [, second, third] = ledger.kept.map(({ image }) => image);
    const started = await client.insist('POST upload', uploadsOf(name), [202], { method: 'POST' });
    const body = Buffer.alloc(1_000_000, 1);
    const upload = await client.insist('PATCH', header(started, 'location'), [202], { method: 'PATCH', body });
    await waitForReserve(join(disk.path, 'data'));

    await disk.fill();
    await expectRefused(client);
    await ledger.verify(client, 'on the full disk');
    client = await life.restart('kill');
    await ledger.verify(client, 'on the full disk after SIGKILL');
    await expectRefused(client);

    const files = (await listBlobFiles(join(disk.path, 'data'))).length;
    await client.delete('DELETE tag', `/v2/${name}/manifests/v1`);
    await client.delete('DELETE manifest', `/v2/${name}/manifests/${second?.manifest.digest}`);
    await client.delete('DELETE manifest', `/v2/${name}/manifests/${third?.manifest.digest}`);
    ledger.kept.splice(1, 2);
    for (const reference of ['v1', 'v2', third?.manifest.digest ?? ''])
      ledger.drop({ name, reference, origin: 'full' });
    await client.insist('DELETE upload', header(upload, 'location'), [204], { method: 'DELETE' });
    await client.collect();
    expect(await listBlobFiles(join(disk.path, 'data'))).toHaveLength(files - 6);
    client = await life.restart('stop');
    await ledger.verify(client, 'on the full disk after SIGTERM');
    await disk.empty();
    await expectServiceKept(life, ledger);
  });

  test('loses nothing acknowledged after the index has hit the full disk without a reserve', async () => {
    const life = live({ repositories, garbageCollection, reserveBytes: 0 });
    const ledger = new Ledger();
    const client = await life.start();
    const image = imageOf(1, 50_000);
    await pushImage(client, ledger, name, 'first', image);
    const tags = Array.from({ length: 200 }, (_, number) => `gone-${number}`);
    for (const tag of tags) await client.putManifest('PUT tag', name, tag, image.manifest);
    await disk.fill();
    expect(await deleteUntilRefused(client, ledger, tags), 'refusals').toBeGreaterThan(0);
    await disk.empty();
    await expectServiceKept(life, ledger);
  });

  /**
   * Checks that the server works without a restart once there is room, and that everything acknowledged from then on
   * survives SIGTERM and SIGKILL.
   */
  async function expectServiceKept(life: Life, ledger: Ledger): Promise<void> {
    let { client } = life;
    // The last measurement of the free space may still predate the removal of the file.
    await sleep(1000);
    client.begin(0);
    const image = imageOf(1000, 20_000);
    await pushImage(client, ledger, name, 'after', image);
    for (let number = 0; number < tagsAfterwards; number++) {
      await client.putManifest('PUT tag', name, `after-${number}`, image.manifest);
      ledger.keep({ name, tag: `after-${number}`, image, origin: 'after the disk had room again' });
    }
    for (const how of ['stop', 'kill'] as const) {
      client = await life.restart(how);
      await ledger.verify(client, `after the disk was full, ${how} and a start`);
    }
  }

  test('a cache keeps serving stale tags, and blobs that it cannot store', async () => {
    const upstream = new Life(join(disk.folder, 'upstream'), { config: { repositories, garbageCollection } });
    lives.push(upstream);
    const [cached, uncached] = [imageOf(1, 100_000), imageOf(2, 3_000_000)];
    const source = await upstream.start();
    const pushed = new Ledger();
    await pushImage(source, pushed, name, 'cached', cached);
    await pushImage(source, pushed, name, 'uncached', uncached);

    const hub = { name: 'hub', type: 'remote', url: upstream.server.origin, cache: true, tagTtlSeconds: 1 };
    const life = live({ repositories: [hub], garbageCollection });
    const client = await life.start();
    await client.pull(`hub/${name}`, 'cached', cached);
    await waitForReserve(join(disk.path, 'data'));
    await disk.fill();
    await sleep(1100);
    const data = join(disk.path, 'data');
    const before = await listBlobFiles(data);
    for (let round = 0; round < 2; round++) {
      await client.pull(`hub/${name}`, 'cached', cached);
      await client.pull(`hub/${name}`, 'uncached', uncached);
      await sleep(1100);
    }
    const [layer] = uncached.layers;
    expect(await listBlobFiles(data)).not.toContain(layer?.digest.replace(/^sha256:(..)/, 'sha256/$1/$1'));
    expect(before.length).toBeGreaterThan(0);

    await disk.empty();
    await sleep(1100);
    await client.pull(`hub/${name}`, 'uncached', uncached);
    await upstream.end('stop');
    await client.pull(`hub/${name}`, 'uncached', uncached);
    await client.pull(`hub/${name}`, 'cached', cached);
  });
});

function uploadsOf(image: string): string {
  return `/v2/${image}/blobs/uploads/`;
}

/** Expects a refusal before any content was sent. */
async function expectRefused(client: PatientClient): Promise<void> {
  // The registry measures the free space at most a few times a second.
  await sleep(500);
  const answer = await client.send('POST upload on a full disk', uploadsOf(name), { method: 'POST' });
  expect([answer.status, answer.body.toString('utf8')]).toEqual([507, expect.stringContaining('UNAVAILABLE')]);
}

/** Deletes tags until the log of the index has hit the full disk three times. */
async function deleteUntilRefused(client: PatientClient, ledger: Ledger, tags: readonly string[]): Promise<number> {
  client.begin(3);
  for (const tag of tags) {
    const path = `/v2/${name}/manifests/${tag}`;
    const answer = await client.attempt('DELETE on a full disk', path, [202], { method: 'DELETE' });
    if (answer !== undefined) ledger.drop({ name, reference: tag, origin: 'on the full disk' });
    if (client.refusals.length === 3) break;
  }
  expect(client.refusals.filter(({ status }) => status === 500)).toEqual([]);
  return client.refusals.length;
}
