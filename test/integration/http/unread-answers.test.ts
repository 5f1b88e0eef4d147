import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { createRegistry } from '../../../src/index.js';
import { Client } from '../../support/clients/client.js';
import { imageManifest, pushManifest } from '../../support/content/content.js';
import { RawConnection, rawHead } from '../../support/clients/raw.js';
import { hostFor, listenOn } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

it('Unread answers of one client hold at most 64 MiB of manifests; further ones get 429 until they are closed', async () => {
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  const registry = createRegistry({
    storage: folder,
    access: 'open',
    repositories: [{ name: 'local', type: 'local', sparse: true }],
  });
  const server = createServer(hostFor(registry));
  const host = await listenOn(server);
  cleanups.add(() => host.close());
  const client = new Client(host.url);
  cleanups.add(() => client.close());
  const path = '/v2/local/app/manifests/large';
  await pushManifest(client, 'local/app', 'large', imageManifest('large', { annotations: { text: 'x'.repeat(4e6) } }));

  const refused: object[] = [];
  registry.events.on('client.refused', (event) => void refused.push(event));
  const connections: RawConnection[] = [];
  for (let i = 0; i < 30 && refused.length === 0; i++) {
    // System buffers take megabytes, whatever the client reads. This socket accepts no bytes, like one whose buffers are full.
    const answered = new Promise<void>((resolve) => {
      const hang = (): void => resolve();
      server.once('connection', (socket: Socket) => Object.assign(socket, { _write: hang, _writev: hang }));
    });
    const connection = await RawConnection.open(host.port);
    connections.push(connection);
    await connection.write(rawHead('GET', path));
    await answered;
  }
  expect(refused).toEqual([{ reason: 'large_answers', address: '127.0.0.1' }]);
  expect(connections).toHaveLength(17);
  for (const connection of connections) connection.cut();
  await expect.poll(async () => (await client.get(path)).status).toBe(200);
});
