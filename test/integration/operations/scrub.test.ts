import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { postJob, runJob } from '../../support/clients/jobs.js';
import { digest, pushBlob } from '../../support/content/content.js';
import { startRegistry, type TestRegistry } from '../../support/servers/registry.js';
import { blobFile, flipByte, pullsCompletely, pushSmallImage, quiet } from '../../support/storage/backup-scene.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

let folder: string;
let registry: TestRegistry;
let client: Client;
const start = async (): Promise<void> => {
  registry = await startRegistry({ ...quiet, storage: path.join(folder, 'data') });
  client = new Client(registry.url);
};
const stop = async (): Promise<void> => {
  await client.close();
  await registry.close();
};

beforeEach(async () => {
  folder = await makeScratchFolder();
  await start();
});
afterEach(async () => {
  await stop();
  await removeScratchFolder(folder);
});

describe('the job scrub', () => {
  it('finds a flipped byte of one blob among many; pulls of it get 404, also after a restart, until a push heals it', async () => {
    const images = [];
    for (let i = 0; i < 40; i++) images.push(await pushSmallImage(client, `local/team/app${i}`, 'v1', 300));
    const [image] = images.slice(23);
    if (image === undefined) throw new Error('nothing was pushed');
    await flipByte(blobFile(registry.folder, image.layer));
    const events: string[] = [];
    registry.registry.events.on('blob.damaged', (record) => events.push(`damaged ${record.digest}`));
    const job = await runJob(client, { kind: 'scrub' });
    const damaged = { digest: digest(image.layer), problem: 'digest' };
    const uses = [{ repository: 'local', image: 'team/app23', tag: 'v1' }];
    expect(job).toMatchObject({
      state: 'partly',
      report: { blobs: 120, damaged_count: 1, damaged: [{ ...damaged, uses }], healed: 0, drifted_count: 0 },
    });
    expect(events).toEqual([`damaged ${digest(image.layer)}`]);

    await stop();
    await start();
    const url = `/v2/local/team/app23/blobs/${digest(image.layer)}`;
    expect([(await client.head(url)).status, (await client.get(url)).status]).toEqual([404, 404]);
    expect((await client.head('/v2/local/team/app23/manifests/v1')).status).toBe(200);
    expect(await (await client.get('/api/v1/damage')).json()).toMatchObject({ blobs: [{ ...damaged, uses }] });

    registry.registry.events.on('blob.healed', (healed) => {
      // Otherwise a power cut could bring the damaged bytes back without their record.
      expect(readFileSync(blobFile(registry.folder, image.layer))).toEqual(image.layer);
      events.push(`healed ${healed.digest}`);
    });
    await pushBlob(client, 'local/team/app23', image.layer);
    expect(await pullsCompletely(client, image)).toBe(true);
    expect(events.at(-1)).toBe(`healed ${digest(image.layer)}`);
    expect(await readFile(blobFile(registry.folder, image.layer))).toEqual(image.layer);
    expect(await (await client.get('/api/v1/damage')).json()).toEqual({ blobs: [] });
    expect(await runJob(client, { kind: 'scrub' })).toMatchObject({ state: 'succeeded', report: { damaged_count: 0 } });
  });

  it('a damaged manifest is absent for HEAD and GET, and a push heals it', async () => {
    const image = await pushSmallImage(client, 'local/a', 'v1');
    await flipByte(blobFile(registry.folder, image.manifest.bytes));
    await runJob(client, { kind: 'scrub', repository: 'local' });
    const url = '/v2/local/a/manifests/v1';
    expect([(await client.head(url)).status, (await client.get(url)).status]).toEqual([404, 404]);
    expect(await pullsCompletely(client, await pushSmallImage(client, 'local/a', 'v1'))).toBe(true);
  });

  it('is not needed for a small blob: the first GET finds the damage, and the next ones get 404 until a push heals it', async () => {
    const image = await pushSmallImage(client, 'local/a', 'v1');
    await flipByte(blobFile(registry.folder, image.layer));
    const url = `/v2/local/a/blobs/${digest(image.layer)}`;
    const refused = await client.get(url);
    expect([refused.status, refused.codes]).toEqual([503, ['UNAVAILABLE']]);
    expect(refused.header('docker-content-digest')).toBe('');
    expect([(await client.get(url)).status, (await client.head(url)).status]).toEqual([404, 404]);
    const damaged = { digest: digest(image.layer), problem: 'digest' };
    expect(await (await client.get('/api/v1/damage')).json()).toMatchObject({ blobs: [damaged] });
    await pushBlob(client, 'local/a', image.layer);
    expect(await pullsCompletely(client, image)).toBe(true);
    expect(await (await client.get('/api/v1/damage')).json()).toEqual({ blobs: [] });
  });

  it.each([
    ['a rate that is not a number', { bytes_per_second: 'fast' }, 400],
    ['a rate of 0', { bytes_per_second: 0 }, 400],
    ['a name that no repository has', { repository: 'Not A Name' }, 400],
    ['an unknown parameter', { speed: 1 }, 400],
  ])('refuses %s', async (_name, document, status) => {
    expect((await postJob(client, { kind: 'scrub', ...document })).status).toBe(status);
  });

  it('fails for an unknown repository', async () => {
    expect(await runJob(client, { kind: 'scrub', repository: 'other' })).toMatchObject({
      state: 'failed',
      error: 'unknown repository "other"',
    });
  });
});
