import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { patternBytes } from '../../support/content/bytes.js';
import { Client } from '../../support/clients/client.js';
import { bundledCommand, Command, originOf } from '../../support/servers/command.js';
import { digest } from '../../support/content/content.js';
import { startFaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { Cleanups } from '../../support/upstreams/remote.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

it('a cache serves only right bytes after kill -9 in the middle of fills', async () => {
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  await mkdir(path.join(folder, 'data'));
  const fault = await startFaultUpstream();
  cleanups.add(() => fault.close());
  const blobs = Array.from({ length: 6 }, (_, i) => patternBytes(600_000, i + 1));
  const keys = blobs.map((bytes) => fault.images.addBlob('app', bytes));
  const { manifest } = fault.images.addImage('app', 'v1');
  const config = path.join(folder, 'config.yaml');
  await writeFile(
    config,
    JSON.stringify({ access: 'open', repositories: [{ name: 'hub', type: 'remote', url: fault.url }] }),
  );
  const start = async (): Promise<{ command: Command; client: Client }> => {
    const args = ['serve', '--config', config, '--port', '0', '--data', path.join(folder, 'data')];
    const command = new Command(bundledCommand, args, { cwd: folder });
    cleanups.add(() => command.destroy());
    const client = new Client(await originOf(command));
    cleanups.add(() => client.close());
    return { command, client };
  };
  // Each round ends at another moment: early in the fills, in between, when some are whole.
  for (const killedAfter of [50_000, 1_000_000, 2_600_000]) {
    const removeSlowness = fault.fault('/blobs/', { slow: { chunkBytes: 50_000, delayMs: 5 } });
    const { command, client } = await start();
    const before = fault.bytes('/blobs/');
    const answers = keys.map((key) => client.get(`/v2/hub/app/blobs/${key}`).catch(() => undefined));
    answers.push(client.get('/v2/hub/app/manifests/v1').catch(() => undefined));
    while (fault.bytes('/blobs/') - before < killedAfter) {
      await sleep(2);
      // What is whole already comes from the disk, so that fewer bytes may come.
      if (await Promise.race([Promise.all(answers).then(() => true), sleep(0).then(() => false)])) break;
    }
    await command.destroy();
    for (const [i, answer] of (await Promise.all(answers)).slice(0, keys.length).entries()) {
      if (answer?.status === 200) expect(digest(answer.body)).toBe(keys[i]);
    }
    removeSlowness();
  }
  const { command, client } = await start();
  expect(await readdir(path.join(folder, 'data', 'staged'))).toEqual([]);
  for (const [i, key] of keys.entries()) {
    const answer = await client.get(`/v2/hub/app/blobs/${key}`);
    expect([answer.status, answer.body.equals(blobs[i] ?? Buffer.alloc(0))]).toEqual([200, true]);
  }
  expect((await client.get('/v2/hub/app/manifests/v1')).body.equals(manifest.bytes)).toBe(true);
  await fault.down();
  for (const key of keys) expect(digest((await client.get(`/v2/hub/app/blobs/${key}`)).body)).toBe(key);
  await command.stop();
});
