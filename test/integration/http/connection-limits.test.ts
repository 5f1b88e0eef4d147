import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { Connections, type ConnectionOptions } from '../../../src/command/serve/listeners/connections.js';
import { createRegistry, type Middleware, type Registry, type RegistryEvents } from '../../../src/index.js';
import { buildRegistry } from '../../../src/registry.js';
import { createRegistryServer, type ServerOptions } from '../../../src/command/serve/server.js';
import { Client } from '../../support/clients/client.js';
import { digest, someBytes, startUpload } from '../../support/content/content.js';
import { RawConnection, rawHead } from '../../support/clients/raw.js';
import { listenOn, recordingLogger, startMemoryRegistry } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

type Refusal = RegistryEvents['client.refused'][0];

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

/** Starts the standalone server of a registry in which `/hangs` is never answered, and records what it refuses. */
async function serve(options: Partial<ServerOptions>) {
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  const { registry, reportRefusal } = buildRegistry({
    storage: folder,
    access: 'open',
    repositories: [],
    logger: recordingLogger(),
  });
  const refusals: Refusal[] = [];
  registry.events.on('client.refused', (refusal) => refusals.push(refusal));
  const middleware: Middleware = (req, res, next) => {
    if (req.url !== '/hangs') registry.middleware(req, res, next);
  };
  const hanging = Object.create(registry, { middleware: { value: middleware } }) as Registry;
  const server = createRegistryServer({ registry: hanging, reportRefusal, log: recordingLogger(), ...options });
  cleanups.add(() => server.stop(0));
  const { port } = await server.listen(0, '127.0.0.1');
  return { port, server, refusals };
}

async function openMany(port: number, count: number, write: string): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let i = 0; i < count; i++) {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    cleanups.add(() => void socket.destroy());
    await once(socket, 'connect');
    socket.resume().write(write);
    sockets.push(socket);
  }
  return sockets;
}

const openOf = (sockets: readonly Socket[]) => sockets.filter(({ closed }) => !closed).length;
const hang = rawHead('GET', '/hangs', { Connection: 'keep-alive' });

describe('connections of one client', () => {
  it('are closed beyond the limit while all others are busy', async () => {
    const { port, server, refusals } = await serve({ maxConnectionsPerClient: 5 });
    const busy = await openMany(port, 5, hang);
    await expect.poll(() => server.requestsInFlight).toBe(5);
    const more = await openMany(port, 3, hang);
    await expect.poll(() => openOf(more)).toBe(0);
    expect(openOf(busy)).toBe(5);
    expect(refusals).toEqual(Array.from({ length: 3 }, () => ({ reason: 'client_connections', address: '127.0.0.1' })));
  });

  it('make room for new ones when they are idle', async () => {
    const { port, server, refusals } = await serve({ maxConnectionsPerClient: 5 });
    const idle = await openMany(port, 5, '');
    const busy = await openMany(port, 4, hang);
    await expect.poll(() => server.requestsInFlight).toBe(4);
    await expect.poll(() => openOf(idle)).toBe(1);
    expect([openOf(busy), refusals]).toEqual([4, []]);
  });

  it('are not counted for a trusted proxy', async () => {
    const { port, server } = await serve({ maxConnectionsPerClient: 5, trustedProxies: ['127.0.0.0/8'] });
    await openMany(port, 12, hang);
    await expect.poll(() => server.requestsInFlight).toBe(12);
  });
});

describe('concurrent requests of one client', () => {
  it('get 429 beyond the limit, counted by the address that a trusted proxy forwards', async () => {
    const started = await startMemoryRegistry({
      trustedProxies: ['127.0.0.1'],
      limits: { maxConnectionsPerClient: 2 },
    });
    const client = new Client(started.url);
    cleanups.add(started.close, () => client.close());
    const uploads: RawConnection[] = [];
    for (let i = 0; i < 2; i++) {
      const location = await startUpload(client, 'local/app');
      const connection = await RawConnection.open(started.port);
      cleanups.add(() => connection.cut());
      const headers = { 'Content-Length': '1000', 'X-Forwarded-For': '10.0.0.1', Expect: '100-continue' };
      await connection.write(rawHead('PATCH', location, headers));
      await connection.waitFor(/100 Continue/);
      uploads.push(connection);
    }
    const ask = (address: string) => client.get('/v2/', { 'X-Forwarded-For': address });
    const refused = await ask('10.0.0.1');
    expect([refused.status, refused.codes, refused.header('retry-after')]).toEqual([429, ['TOOMANYREQUESTS'], '1']);
    expect((await ask('10.0.0.2')).status).toBe(200);
    uploads[0]?.cut();
    await expect.poll(async () => (await ask('10.0.0.1')).status).toBe(200);
  });
});

describe('incomplete request heads', () => {
  const half = `GET / HTTP/1.1\r\nX: ${'x'.repeat(1000)}`;
  const limits = { idleMs: 60_000, maxUnfinishedHeads: 3, checkMs: 20 };

  function guard(server: Server, options: Partial<ConnectionOptions> = {}) {
    const refusals: Refusal[] = [];
    const counts = { answers: 0 };
    const onRefused = (reason: Refusal['reason'], address: string) => void refusals.push({ reason, address });
    const connections = new Connections(server, { ...limits, onRefused, ...options });
    server.on('request', (req, res) => {
      connections.note(res);
      req.resume();
      if (req.url !== '/hangs') res.end('answered', () => (counts.answers += 1));
    });
    return { refusals, counts };
  }

  it('are kept up to a maximum that does not count idle and busy connections', async () => {
    const server = createServer();
    const { refusals, counts } = guard(server);
    const listening = await listenOn(server);
    const { port } = listening;
    cleanups.add(() => listening.close());
    const whole = rawHead('GET', '/', { Connection: 'keep-alive' });
    const post = `${rawHead('POST', '/', { Connection: 'keep-alive', 'Content-Length': '5' })}hello`;
    const others = [
      ...(await openMany(port, 3, '')),
      ...(await openMany(port, 3, whole)),
      ...(await openMany(port, 3, post)),
      ...(await openMany(port, 3, hang)),
    ];
    const halves = await openMany(port, 10, half);
    await expect.poll(() => openOf(halves)).toBe(3);
    expect(openOf(others)).toBe(12);
    expect(refusals).toEqual(Array.from({ length: 7 }, () => ({ reason: 'unfinished_heads', address: '127.0.0.1' })));
    // Also after a first request.
    const second = await openMany(port, 5, whole);
    await expect.poll(() => counts.answers).toBe(11);
    for (const socket of second) socket.write(half);
    await expect.poll(() => openOf([...halves, ...second])).toBe(3);
    expect(openOf(others)).toBe(12);
  });

  it('are counted under TLS', async () => {
    const folder = path.resolve('test/support/tls');
    const [cert, key] = await Promise.all(
      ['test-only-certificate.pem', 'test-only-key.pem'].map((name) => readFile(path.join(folder, name))),
    );
    const server = createTlsServer({ cert, key });
    const { refusals } = guard(server, { maxPerClient: 8 });
    const listening = await listenOn(server);
    const { port } = listening;
    cleanups.add(() => listening.close());
    const open = async (text: string): Promise<Socket> => {
      const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }).on('error', () => {});
      cleanups.add(() => void socket.destroy());
      await once(socket, 'secureConnect');
      socket.resume().write(text);
      return socket;
    };
    const idle = await Promise.all(Array.from({ length: 2 }, () => open('')));
    const halves = await Promise.all(Array.from({ length: 6 }, () => open(half)));
    await expect.poll(() => openOf(halves)).toBe(3);
    expect([openOf(idle), refusals.length]).toEqual([2, 3]);
    // There is room for three more; then the oldest idle connections are closed.
    const busy = await Promise.all(Array.from({ length: 5 }, () => open(hang)));
    await expect.poll(() => openOf([...idle, ...halves, ...busy])).toBe(8);
    expect(openOf(busy)).toBe(5);
  });
});

describe('downloads that clients do not read', () => {
  it('hold 64 buffers of 1 MiB together, and 128 KiB each beyond that', async () => {
    const folder = await makeScratchFolder();
    const registry = createRegistry({
      storage: folder,
      access: 'open',
      repositories: [{ name: 'local', type: 'local' }],
    });
    cleanups.add(() => removeScratchFolder(folder));
    await registry.ready();
    const server = createRegistryServer({ registry, log: recordingLogger() });
    cleanups.add(() => server.stop(0));
    const { port } = await server.listen(0, '127.0.0.1');
    const bytes = someBytes('unread', 12 * 1024 * 1024);
    const client = new Client(`http://127.0.0.1:${port}`);
    await client.post(`/v2/local/app/blobs/uploads/?digest=${digest(bytes)}`, { body: bytes });
    await client.close();
    const unread = 80;
    const before = process.memoryUsage().arrayBuffers;
    const connections = await Promise.all(Array.from({ length: unread }, () => RawConnection.open(port)));
    for (const connection of connections) {
      connection.socket.pause();
      await connection.write(rawHead('GET', `/v2/local/app/blobs/${digest(bytes)}`));
    }
    await expect.poll(() => server.requestsInFlight).toBe(unread);
    let last = 0;
    // Wait until no more bytes move.
    await expect
      .poll(
        () => {
          const held = process.memoryUsage().arrayBuffers;
          const isStill = held === last;
          last = held;
          return isStill;
        },
        { interval: 300 },
      )
      .toBe(true);
    const held = (process.memoryUsage().arrayBuffers - before) / 1024 / 1024;
    // 160 MiB without the limit, two buffers each; 74 MiB with it. The rest is other memory of a process shared by tests.
    expect(held).toBeLessThan(128);
    for (const connection of connections) connection.cut();
  });
});
