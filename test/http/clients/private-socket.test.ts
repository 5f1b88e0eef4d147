import { once } from 'node:events';
import { chmod, mkdir } from 'node:fs/promises';
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
beforeAll(async () => {
  folder = await makeScratchFolder();
  open = await startRegistry();
});
afterAll(async () => {
  await open.close();
  await removeScratchFolder(folder);
});

/** Serves the open registry on a Unix socket in a folder with this mode. Returns the status of a management request. */
async function statusOn(
  mode: number,
  headers: Record<string, string>,
  place = '/api/v1/repositories',
): Promise<number> {
  const own = path.join(folder, `${mode}`);
  await mkdir(own, { recursive: true });
  await chmod(own, mode);
  const socketPath = path.join(own, 's');
  const server = createServer(hostFor(open.registry)).listen(socketPath);
  await once(server, 'listening');
  try {
    const req = request({ socketPath, path: place, headers }).end();
    const [answer] = (await once(req, 'response')) as [IncomingMessage];
    await json(answer);
    return answer.statusCode ?? 0;
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

describe('the management API of an open registry, on a Unix socket', () => {
  it.each<[what: string, mode: number, headers: Record<string, string>, status: number]>([
    ['in a folder that only its user can enter', 0o700, { Host: 'localhost' }, 200],
    ['in a folder of a group', 0o750, { Host: 'localhost' }, 403],
    ['in a folder of everyone', 0o755, { Host: 'localhost' }, 403],
    ['in a folder that others may only search', 0o711, { Host: 'localhost' }, 403],
    ['under the name of a web page', 0o700, { Host: 'evil.example' }, 403],
    ['behind a proxy', 0o700, { Host: 'localhost', 'X-Forwarded-For': '10.0.0.1' }, 403],
  ])('%s (mode %o) answers %o with %i', async (_what, mode, headers, status) => {
    expect(await statusOn(mode, headers)).toBe(status);
  });

  it('answers health checks on any socket', async () => {
    expect(await statusOn(0o755, { Host: 'localhost' }, '/api/v1/health')).toBe(200);
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
