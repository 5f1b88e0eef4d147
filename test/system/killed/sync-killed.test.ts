import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../../support/clients/client.js';
import { digest } from '../../support/content/content.js';
import { bundledCommand, Command, originOf } from '../../support/servers/command.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { startFaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { Cleanups } from '../../support/upstreams/remote.js';
import { sceneOf } from '../../support/upstreams/sync-scene.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

describe('an interrupted sync', () => {
  it('is resumed after kill -9, and every image is complete', async () => {
    const folder = await makeScratchFolder();
    cleanups.add(() => removeScratchFolder(folder));
    await mkdir(path.join(folder, 'data'));
    const fault = await startFaultUpstream();
    cleanups.add(() => fault.close());
    for (let i = 0; i < 10; i++) fault.images.addImage(`app${i}`, 'v1', [30_000, 40_000]);
    const config = path.join(folder, 'config.yaml');
    const repositories = [
      { name: 'mirror', type: 'local' },
      { name: 'hub', type: 'remote', url: fault.url },
    ];
    const sync = [{ name: 's', from: 'hub', to: 'mirror', images: ['**'], everySeconds: 0 }];
    await writeFile(config, JSON.stringify({ access: 'open', repositories, sync }));
    const serve = async (): Promise<{ command: Command; scene: ReturnType<typeof sceneOf>; client: Client }> => {
      const args = ['serve', '--config', config, '--port', '0', '--data', path.join(folder, 'data')];
      const command = new Command(bundledCommand, args, { cwd: folder });
      cleanups.add(() => command.destroy());
      const client = new Client(await originOf(command));
      cleanups.add(() => client.close());
      return { command, scene: sceneOf({ client }), client };
    };
    fault.fault('/blobs/', { method: 'GET', slow: { chunkBytes: 3000, delayMs: 4 } });
    const first = await serve();
    const id = await first.scene.start();
    while (fault.bytes('/blobs/') < 200_000) await sleep(5);
    await first.command.destroy();
    fault.heal();
    const { scene, client, command } = await serve();
    expect((await scene.ended(id)).state).toBe('succeeded');
    for (let i = 0; i < 10; i++) {
      const manifest = await client.get(`/v2/mirror/app${i}/manifests/v1`);
      const { layers } = manifest.json() as { layers: { digest: string }[] };
      for (const { digest: key } of layers) {
        expect(digest((await client.get(`/v2/mirror/app${i}/blobs/${key}`)).body)).toBe(key);
      }
    }
    expect((await scene.get('syncs/s')).json()).toMatchObject({
      origin: 'declared',
      status: { last_run: { state: 'succeeded' } },
    });
    await command.stop();
  });
});
