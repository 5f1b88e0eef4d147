import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { RefusalReason, RegistryOptions } from '../../../src/index.js';
import { refusalReasons } from '../../../src/protocol/refusal-reasons.js';
import { buildRegistry } from '../../../src/registry.js';
import { createRegistryServer, type RegistryServer, type ServerOptions } from '../../../src/command/serve/server.js';
import { Client } from '../../support/clients/client.js';
import { RawConnection, rawHead } from '../../support/clients/raw.js';
import { recordingLogger } from '../../support/servers/registry.js';
import { Cleanups } from '../../support/upstreams/remote.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const clientHeaders = { 'X-Forwarded-For': '10.0.0.1' };

interface Scene {
  readonly port: number;
  readonly server: RegistryServer;
  readonly client: Client;
}

async function serve(limits: RegistryOptions['limits'], options: Partial<ServerOptions> = {}): Promise<Scene> {
  const storage = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(storage));
  const logger = recordingLogger();
  const { registry, reportRefusal } = buildRegistry({
    storage,
    access: 'open',
    repositories: [{ name: 'local', type: 'local' }],
    logger,
    trustedProxies: ['127.0.0.1'],
    ...(limits === undefined ? {} : { limits }),
  });
  await registry.ready();
  const server = createRegistryServer({ registry, reportRefusal, log: logger, ...options });
  const { port } = await server.listen(0, '127.0.0.1');
  const client = new Client(`http://127.0.0.1:${port}`);
  cleanups.add(() => server.stop(0));
  cleanups.add(() => client.close());
  return { port, server, client };
}

/** Begins an upload whose body does not come. */
async function holdUpload({ port }: Scene): Promise<RawConnection> {
  const connection = await RawConnection.open(port);
  cleanups.add(async () => connection.cut());
  const path = `/v2/local/app/blobs/uploads/?digest=sha256:${'0'.repeat(64)}`;
  await connection.write(rawHead('POST', path, { ...clientHeaders, 'Content-Length': '9', Expect: '100-continue' }));
  await connection.waitFor(/100 Continue/);
  return connection;
}

/** A connection with a request in progress does not make room for a second one. */
async function exceedConnections(options: Partial<ServerOptions>): Promise<Scene> {
  const scene = await serve({}, options);
  const held = await holdUpload(scene);
  const refused = connect(scene.port, '127.0.0.1').on('error', () => {});
  await once(refused, 'close');
  held.cut();
  await expect.poll(() => scene.server.requestsInFlight).toBe(0);
  return scene;
}

/** Clients that meet a limit. Unit tests cover the limits that need time or many bytes. */
const rows: readonly [RefusalReason, () => Promise<Scene>][] = [
  ['connections', () => exceedConnections({ maxConnections: 1 })],
  ['client_connections', () => exceedConnections({ maxConnectionsPerClient: 1 })],
  [
    'client_requests',
    async () => {
      const scene = await serve({ maxConnectionsPerClient: 1 });
      await holdUpload(scene);
      expect((await scene.client.get('/v2/', clientHeaders)).status).toBe(429);
      return scene;
    },
  ],
  [
    'request_rate',
    async () => {
      const scene = await serve({ maxRequestsPerMinutePerClient: 1 });
      expect((await scene.client.get('/v2/', clientHeaders)).status).toBe(200);
      expect((await scene.client.get('/v2/', clientHeaders)).status).toBe(429);
      return scene;
    },
  ],
];

describe('the health document', () => {
  it.each(rows)('counts a client that meets the limit %s', async (reason, meet) => {
    const { client } = await meet();
    const answer = await client.get('/readyz');
    expect(answer.json()).toMatchObject({
      status: 'ok',
      refusals: { ...Object.fromEntries(refusalReasons.map((one) => [one, 0])), [reason]: 1 },
    });
  });
});
