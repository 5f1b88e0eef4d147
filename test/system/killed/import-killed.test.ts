import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { postJob, type JobDocument } from '../../support/clients/jobs.js';
import { digest } from '../../support/content/content.js';
import { manyImages } from '../../support/migration/import-scene.js';
import { DistributionFolder } from '../../support/migration/old-registry.js';
import { bundledCommand, Command, originOf } from '../../support/servers/command.js';
import { pullsCompletely, pushSmallImage, type PushedImage } from '../../support/storage/backup-scene.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

async function serve(folder: string): Promise<{ command: Command; client: Client }> {
  const flags = ['--config', path.join(folder, 'config.yaml'), '--data', path.join(folder, 'data')];
  const command = new Command(bundledCommand, ['serve', '--port', '0', ...flags], { cwd: folder });
  cleanups.add(() => command.destroy());
  const client = new Client(await originOf(command));
  cleanups.add(() => client.close());
  return { command, client };
}

async function stateOf(client: Client, id: string): Promise<JobDocument & { readonly done?: number }> {
  return (await client.get(`/api/v1/jobs/${id}`)).json() as JobDocument;
}

/** Pushes images beside the imported ones until the process dies. Returns those that were acknowledged. */
async function pushUntilDead(client: Client): Promise<readonly PushedImage[]> {
  const acknowledged: PushedImage[] = [];
  try {
    for (let i = 0; ; i++) acknowledged.push(await pushSmallImage(client, `local/app${i % 10}`, `mine-${i}`));
  } catch {
    return acknowledged;
  }
}

it('an import continues by itself after kill -9; everything that was imported or pushed is complete, and stays', async () => {
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  const old = new DistributionFolder(path.join(folder, 'old'));
  const images = manyImages(600);
  for (const [i, image] of images.entries()) await old.putImage(`app${i % 10}`, image, [`t${i}`]);
  const config = { access: 'open', repositories: [{ name: 'local', type: 'local' }], imports: { folders: ['old'] } };
  await writeFile(path.join(folder, 'config.yaml'), JSON.stringify(config));

  const first = await serve(folder);
  const pusher = new Client(await originOf(first.command));
  cleanups.add(() => pusher.close());
  const pushing = pushUntilDead(pusher);
  const { id } = (
    await postJob(first.client, { kind: 'import', folder: '.', repository: 'local' })
  ).json() as JobDocument;
  while (((await stateOf(first.client, id)).done ?? 0) < 1) await sleep(2);
  await first.command.destroy();
  const acknowledged = await pushing;

  const { client } = await serve(folder);
  let job = await stateOf(client, id);
  while (job.state === 'running') {
    await sleep(5);
    job = await stateOf(client, id);
  }
  expect(job).toMatchObject({ state: 'succeeded', report: { images: 10, problems: [] } });
  const headers = { 'Content-Type': 'application/json' };
  for (let pass = 0; pass < 2; pass++) {
    for (const image of acknowledged)
      expect([image.tag, await pullsCompletely(client, image)]).toEqual([image.tag, true]);
    for (const [i, { manifest, blobs }] of images.entries()) {
      const pulled = await client.get(`/v2/local/app${i % 10}/manifests/t${i}`);
      expect([i, digest(pulled.body)]).toEqual([i, manifest.digest]);
      for (const bytes of blobs) {
        const blob = await client.get(`/v2/local/app${i % 10}/blobs/${digest(bytes)}`);
        expect([i, blob.body.equals(bytes)]).toEqual([i, true]);
      }
    }
    expect((await client.post('/api/v1/gc', { headers, body: '{"grace_seconds":0}' })).status).toBe(200);
  }
});
