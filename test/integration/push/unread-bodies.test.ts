import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { holdConnection } from '../../../src/http/bodies/body.js';
import { createRegistry, type Registry } from '../../../src/index.js';
import { createRegistryServer, type RegistryServer } from '../../../src/command/serve/server.js';
import { openFilesUnder } from '../../support/storage/open-files.js';
import { RawConnection, rawHead } from '../../support/clients/raw.js';
import { hostFor, listen, listenOn, recordingLogger } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const endless = { 'Content-Length': '1000000000', Connection: 'keep-alive' };

function countConnections(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}

/** Answers at once and discards the body within small limits. */
async function withServer(
  answer: (res: ServerResponse) => void,
  limits: Parameters<typeof holdConnection>[1],
  test: (port: number, server: Server) => Promise<void>,
): Promise<void> {
  const listening = await listen((req: IncomingMessage, res: ServerResponse) => {
    const discardRest = holdConnection(req, limits);
    answer(res);
    void discardRest();
  });
  try {
    await test(listening.port, listening.server);
  } finally {
    await listening.close();
  }
}

describe('the unread rest of a body after its request was answered', () => {
  const refuse = (res: ServerResponse) => void res.writeHead(401, { 'Content-Length': 7 }).end('refused');

  it('closes the connection when it exceeds the limit', async () => {
    await withServer(refuse, { maxBytes: 1_000_000, maxMs: 60_000, lingerMs: 10 }, async (port, server) => {
      const connection = await RawConnection.open(port);
      void connection.write(rawHead('POST', '/', endless) + 'x'.repeat(3_000_000));
      expect(await connection.untilClosed()).toMatchObject({ status: 401 });
      expect(await countConnections(server)).toBe(0);
    });
  });

  it('closes each of many connections on which nothing more arrives', async () => {
    await withServer(refuse, { maxBytes: 1e9, maxMs: 50, lingerMs: 10 }, async (port, server) => {
      const connections = await Promise.all(Array.from({ length: 150 }, () => RawConnection.open(port)));
      for (const connection of connections) await connection.write(rawHead('POST', '/', endless));
      const answers = await Promise.all(connections.map((connection) => connection.untilClosed()));
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 401));
      await expect.poll(() => countConnections(server)).toBe(0);
    });
  });

  it('closes the connection of a client that does not read the answer either', async () => {
    const long = (res: ServerResponse) => void res.end(Buffer.alloc(20_000_000));
    await withServer(long, { maxBytes: 1e9, maxMs: 50, lingerMs: 10 }, async (port, server) => {
      const connection = await RawConnection.open(port);
      connection.socket.pause();
      await connection.write(rawHead('POST', '/', endless));
      await expect.poll(() => countConnections(server)).toBe(1);
      await expect.poll(() => countConnections(server)).toBe(0);
      connection.cut();
    });
  });

  it('keeps the connection when it ends within the limits', async () => {
    await withServer(refuse, { maxBytes: 1000, maxMs: 60_000, lingerMs: 10 }, async (port) => {
      const connection = await RawConnection.open(port);
      const head = rawHead('POST', '/', { 'Content-Length': '10', Connection: 'keep-alive' });
      await connection.write(head);
      await connection.waitFor(/refused/);
      await connection.write(`0123456789${rawHead('GET', '/')}`);
      expect((await connection.untilClosed()).body).toMatch(/^refusedHTTP\/1.1 401/);
    });
  });
});

describe('a refused upload of 64 MiB and more', () => {
  let folder: string;
  let registry: Registry;
  let own: RegistryServer;
  let server: Server;
  let close: () => Promise<void>;
  const ports = { own: 0, host: 0 };
  beforeAll(async () => {
    folder = await makeScratchFolder();
    registry = createRegistry({ storage: folder, repositories: [{ name: 'local', type: 'local' }] });
    await registry.ready();
    own = createRegistryServer({ registry, log: recordingLogger() });
    ports.own = (await own.listen(0, '127.0.0.1')).port;
    server = createServer(hostFor(registry));
    const listening = await listenOn(server);
    close = () => listening.close();
    ports.host = listening.port;
  });
  afterAll(async () => {
    await close();
    await own.stop(0);
    await removeScratchFolder(folder);
  });

  it.each(['own', 'host'] as const)(
    'receives its answer on the %s server, which then closes the connection',
    async (which) => {
      const connection = await RawConnection.open(ports[which]);
      const sockets = async () => (await openFilesUnder('socket:')).length;
      const before = await sockets();
      await connection.write(rawHead('POST', '/v2/local/app/blobs/uploads/', endless));
      const mebibyte = Buffer.alloc(1024 * 1024);
      for (let i = 0; i < 200 && !connection.socket.closed; i++) await connection.write(mebibyte);
      expect(connection.socket.closed).toBe(true);
      expect((await connection.untilClosed()).status).toBe(403);
      // Connections of earlier tests in this process may end meanwhile too.
      await expect.poll(sockets).toBeLessThanOrEqual(before - 2);
    },
  );

  const closing = [
    { name: 'a client that closes the connection', version: '1.1', headers: { Connection: 'close' } },
    { name: 'a client of HTTP/1.0', version: '1.0', headers: {} },
  ];
  const targets = [
    { path: '/v2/local/app/blobs/uploads/', status: 403 },
    { path: '/elsewhere', status: 404 },
  ];
  const rows = closing.flatMap((client) => targets.flatMap((target) => ({ ...client, ...target })));
  it.each(rows)(
    '$name sends all of it and receives the $status for $path',
    async ({ version, headers, path, status }) => {
      const bytes = 4 * 1024 * 1024;
      const connection = await RawConnection.open(ports.own);
      const errors: Error[] = [];
      connection.socket.on('error', (error) => errors.push(error));
      const head = rawHead('POST', path, { ...headers, 'Content-Length': String(bytes) });
      await connection.write(head.replace('HTTP/1.1', `HTTP/${version}`));
      await connection.waitFor(/\r\n\r\n.*\}$/s);
      for (let sent = 0; sent < bytes; sent += 65536) await connection.write(Buffer.alloc(65536));
      expect((await connection.untilClosed()).status).toBe(status);
      expect(errors).toEqual([]);
    },
  );

  const health = rawHead('GET', '/healthz', { Connection: 'keep-alive' }).repeat(3);
  const malformed = 'GET /v2/\n\r\n';
  const parts = [
    { name: 'requests after the rest', first: 'half', rest: 'half', others: health },
    { name: 'requests in the same packet', first: '', rest: 'half-half', others: health },
    { name: 'a malformed request after the rest', first: 'half', rest: 'half', others: malformed },
    { name: 'a malformed request in the same packet', first: '', rest: 'half-half', others: malformed },
  ].flatMap((part) => targets.map((target) => ({ ...part, ...target })));
  it.each(parts)('is the last one: $name get no response, for $path', async ({ first, rest, others, ...target }) => {
    const connection = await RawConnection.open(ports.own);
    const length = String(first.length + rest.length);
    const refused = rawHead('POST', target.path, { Connection: 'close', 'Content-Length': length });
    if (first !== '') {
      await connection.write(refused + first);
      await connection.waitFor(/\r\n\r\n.*\}$/s);
    }
    await connection.write((first === '' ? refused : '') + rest + others);
    const { status, body } = await connection.untilClosed();
    expect([status, body]).toEqual([target.status, expect.not.stringContaining('HTTP/1.1')]);
  });
});
