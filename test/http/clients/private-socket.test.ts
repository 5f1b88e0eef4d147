import { once } from 'node:events';
import { chmod, mkdtemp } from 'node:fs/promises';
import { createServer, request, type IncomingMessage } from 'node:http';
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isOnPrivateSocket } from '../../../src/http/clients/private-socket.js';
import { startRegistry, hostFor, type TestRegistry } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

let folder: string;
let open: TestRegistry;
let proxied: TestRegistry;
beforeAll(async () => {
  folder = await makeScratchFolder();
  open = await startRegistry();
  proxied = await startRegistry({ trustedProxies: ['unix:'] });
});
afterAll(async () => {
  await open.close();
  await proxied.close();
  await removeScratchFolder(folder);
});

interface Place {
  /** Modes of the folder and of the socket in it. */
  readonly modes: readonly [folder: number, socket: number];
  readonly trustedProxies?: boolean;
  readonly path?: string;
}

/** Serves an open registry on a Unix socket. Returns the status of a management request. */
async function statusOn({ modes, trustedProxies, ...place }: Place, headers: Record<string, string>): Promise<number> {
  const own = await mkdtemp(path.join(folder, 's-'));
  const socketPath = path.join(own, 's');
  const { registry } = trustedProxies === true ? proxied : open;
  const server = createServer(hostFor(registry)).listen(socketPath);
  await once(server, 'listening');
  await chmod(socketPath, modes[1]);
  await chmod(own, modes[0]);
  try {
    const req = request({ socketPath, path: place.path ?? '/api/v1/repositories', headers }).end();
    const [answer] = (await once(req, 'response')) as [IncomingMessage];
    await json(answer);
    return answer.statusCode ?? 0;
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

describe('the management API of an open registry, on a Unix socket', () => {
  it.each<[folder: number, socket: number, status: number]>([
    [0o700, 0o777, 200],
    [0o700, 0o660, 200],
    [0o755, 0o600, 200],
    [0o755, 0o700, 200],
    // A group: its members include the workers of a proxy.
    [0o755, 0o660, 403],
    [0o755, 0o620, 403],
    [0o750, 0o660, 403],
    [0o710, 0o640, 403],
    [0o755, 0o602, 403],
    [0o755, 0o666, 403],
    [0o711, 0o777, 403],
  ])('in a folder of mode %o with mode %o, answers %i', async (folderMode, socketMode, status) => {
    expect(await statusOn({ modes: [folderMode, socketMode] }, { Host: 'localhost' })).toBe(status);
  });

  it.each<[headers: Record<string, string>]>([
    [{ Host: 'evil.example' }],
    [{ Host: 'localhost', 'X-Forwarded-For': '10.0.0.1' }],
    [{ Host: 'localhost', Via: '1.1 proxy' }],
  ])('refuses %j on a private socket', async (headers) => {
    expect(await statusOn({ modes: [0o700, 0o600] }, headers)).toBe(403);
  });

  it('refuses every socket when trustedProxies includes unix:', async () => {
    expect(await statusOn({ modes: [0o700, 0o600], trustedProxies: true }, { Host: 'localhost' })).toBe(403);
  });

  it('answers health checks on any socket', async () => {
    const place = { modes: [0o755, 0o777], trustedProxies: true, path: '/api/v1/health' } as const;
    expect(await statusOn(place, { Host: 'localhost' })).toBe(200);
  });
});

describe('isOnPrivateSocket', () => {
  it('is false for a connection over TCP, even after it is closed and its addresses are gone', async () => {
    const server = createTcpServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const client = connect(port, '127.0.0.1');
    const [socket] = (await once(server, 'connection')) as [Socket];
    expect(isOnPrivateSocket(socket)).toBe(false);
    client.destroy();
    socket.destroy();
    await once(socket, 'close');
    await turn();
    expect(socket.localAddress).toBeUndefined();
    expect(isOnPrivateSocket(socket)).toBe(false);
    server.close();
  });
});
