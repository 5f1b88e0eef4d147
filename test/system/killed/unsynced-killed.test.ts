import { readdir, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { describeBytes, digest, manifestOf, pushBlob, someBytes, types } from '../../support/content/content.js';
import { bundledCommand, Command, originOf } from '../../support/servers/command.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

async function serve(folder: string): Promise<{ command: Command; client: Client }> {
  const command = new Command(bundledCommand, ['serve', '--port', '0', '--data', path.join(folder, 'data')], {
    cwd: folder,
  });
  cleanups.add(() => command.destroy());
  const client = new Client(await originOf(command));
  cleanups.add(() => client.close());
  return { command, client };
}

it('blobs survive kill -9; those that a power cut damages then are absent until they are pushed again', async () => {
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  const [config, kept, torn, zeroed] = ['config', 'kept', 'torn', 'zeroed'].map((name) => someBytes(name, 10_000));
  const blobs = [config, kept, torn, zeroed] as Buffer[];
  const put = { headers: { 'Content-Type': types.ociImage } };
  const manifest = manifestOf(types.ociImage, {
    config: describeBytes(types.ociConfig, blobs[0] as Buffer),
    layers: blobs.slice(1).map((layer) => describeBytes(types.ociLayer, layer)),
  });

  const first = await serve(folder);
  for (const blob of blobs) await pushBlob(first.client, 'local/app', blob);
  await first.command.destroy();
  const unsynced = path.join(folder, 'data', 'unsynced');
  const fileOf = (blob: Buffer | undefined) => path.join(unsynced, digest(blob as Buffer).replace(':', '-'));
  expect(await readdir(unsynced)).toHaveLength(4);
  // What a power cut may leave of bytes that were not synced.
  await truncate(fileOf(torn), 4096);
  await writeFile(fileOf(zeroed), Buffer.alloc(10_000));

  const { client, command } = await serve(folder);
  expect(await readdir(unsynced)).toEqual([]);
  const status = async (blob: Buffer | undefined, method: 'head' | 'get') =>
    (await client[method](`/v2/local/app/blobs/${digest(blob as Buffer)}`)).status;
  for (const method of ['head', 'get'] as const)
    expect(await Promise.all(blobs.map((blob) => status(blob, method)))).toEqual([200, 200, 404, 404]);
  const mount = (blob: Buffer | undefined) =>
    client.post(`/v2/local/copy/blobs/uploads/?mount=${digest(blob as Buffer)}&from=local/app`);
  expect([(await mount(kept)).status, (await mount(torn)).status]).toEqual([201, 202]);
  const refused = await client.put('/v2/local/app/manifests/v1', { ...put, body: manifest.bytes });
  expect(refused.status).toBe(400);
  expect(refused.json()).toMatchObject({
    errors: [torn, zeroed].map((blob) => ({
      code: 'MANIFEST_BLOB_UNKNOWN',
      detail: { digest: digest(blob as Buffer) },
    })),
  });
  for (const blob of [torn, zeroed]) await pushBlob(client, 'local/app', blob as Buffer);
  expect((await client.put('/v2/local/app/manifests/v1', { ...put, body: manifest.bytes })).status).toBe(201);
  expect(await readdir(unsynced)).toEqual([]);
  await command.waitFor(/(blob lost before it was on the disk.*\n?){2}/s, 'stderr');
});
