import { EventEmitter } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createRegistry, type Middleware, type Registry, type RegistryEvents } from '../../../src/index.js';
import { Refusals } from '../../../src/composition/operations/refusal-counts.js';
import { createRegistryServer, type RegistryServer, type ServerOptions } from '../../../src/command/serve/server.js';
import { Client } from '../../support/clients/client.js';
import { imageManifest, pushManifest, startUpload } from '../../support/content/content.js';
import { exchangeRaw, RawConnection, rawHead, type RawAnswer } from '../../support/clients/raw.js';
import { recordingLogger, type LogLine } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { shown } from '../../support/shown.js';
import { Cleanups } from '../../support/upstreams/remote.js';

/** Returns what a client receives: a status, and an error that explains it. */
function tell({ status, headers, body }: RawAnswer) {
  const { errors } = JSON.parse(body) as { errors: { code: string; message: string }[] };
  expect(headers).toMatchObject({
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  });
  expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  return [status, errors[0]?.message];
}

let folder: string;
let registry: Registry;
let server: RegistryServer;
let client: Client;
let port: number;
const log = recordingLogger();
beforeAll(async () => {
  folder = await makeScratchFolder();
  registry = createRegistry({
    storage: folder,
    access: 'open',
    repositories: [{ name: 'local', type: 'local', sparse: true }],
  });
  await registry.ready();
  server = createRegistryServer({ registry, log, headersTimeoutSeconds: 0.3 });
  ({ port } = await server.listen(0, '127.0.0.1'));
  client = new Client(`http://127.0.0.1:${port}`);
});
afterAll(async () => {
  await server.stop(0);
  await client.close();
  await removeScratchFolder(folder);
});

const invalid = 'invalid HTTP/1.1 request';
const host = 'Host: a\r\n';

const refused: readonly (readonly [request: string, status: number, message: string])[] = [
  ['nonsense\r\n\r\n', 400, invalid],
  ['\x16\x03\x01\x02\x00\x01\x00', 400, invalid],
  ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, invalid],
  [`GET /v2/ HTTP/9.9\r\n${host}\r\n`, 400, invalid],
  [`GET /v2/\r\n${host}\r\n`, 505, 'only HTTP/1.1 and HTTP/1.0 are supported'],
  [`GET /v2/ HTTP/0.9\r\n${host}\r\n`, 505, 'only HTTP/1.1 and HTTP/1.0 are supported'],
  [`GET /v2/ HTTP/2.0\r\n${host}\r\n`, 505, 'only HTTP/1.1 and HTTP/1.0 are supported'],
  [`get /v2/ HTTP/1.1\r\n${host}\r\n`, 400, invalid],
  [`GET /v2/ x HTTP/1.1\r\n${host}\r\n`, 400, invalid],
  [`GET v2 HTTP/1.1\r\n${host}\r\n`, 400, invalid],
  [`GET /v2/\x01 HTTP/1.1\r\n${host}\r\n`, 400, invalid],
  // Bare line ends: two requests for one parser may be one for another.
  ['GET /v2/ HTTP/1.1\nHost: a\n\n', 400, invalid],
  [`GET /v2/ HTTP/1.1\r\n${host}X: 1\nY: 2\r\n\r\n`, 400, invalid],
  [`GET /v2/ HTTP/1.1\r\n${host}X: 1\rY: 2\r\n\r\n`, 400, invalid],
  // Header names and values.
  ['GET /v2/ HTTP/1.1\r\nHost : a\r\n\r\n', 400, invalid],
  [`GET /v2/ HTTP/1.1\r\n${host} folded: x\r\n\r\n`, 400, invalid],
  [`GET /v2/ HTTP/1.1\r\n${host}: x\r\n\r\n`, 400, invalid],
  [`GET /v2/ HTTP/1.1\r\n${host}X\x00: x\r\n\r\n`, 400, invalid],
  [`GET /v2/ HTTP/1.1\r\n${host}X: \x00\r\n\r\n`, 400, invalid],
  // Two conflicting ways to find the end of a body.
  [`POST /v2/ HTTP/1.1\r\n${host}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400, invalid],
  [`POST /v2/ HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n`, 400, invalid],
  [`POST /v2/ HTTP/1.1\r\n${host}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`, 400, invalid],
  [`POST /v2/ HTTP/1.1\r\n${host}Content-Length: -1\r\n\r\n`, 400, invalid],
  [`POST /v2/ HTTP/1.1\r\n${host}Content-Length: +3\r\n\r\nabc`, 400, invalid],
  [`POST /v2/ HTTP/1.1\r\n${host}Content-Length: 99999999999999999999\r\n\r\n`, 400, invalid],
  // The Host header.
  ['GET /v2/ HTTP/1.1\r\n\r\n', 400, 'missing Host header'],
  [`GET /v2/ HTTP/1.1\r\n${host}${host}\r\n`, 400, 'more than one Host header'],
  [`GET /v2/ HTTP/1.1\r\n${host}hOST: b\r\n\r\n`, 400, 'more than one Host header'],
  // Exceeded limits.
  [`GET /v2/ HTTP/1.1\r\n${host}X: ${'x'.repeat(70_000)}\r\n\r\n`, 431, 'the headers are too large'],
  [`GET /v2/ HTTP/1.1\r\n${host}X: ${'x'.repeat(2_000_000)}\r\n\r\n`, 431, 'the headers are too large'],
  [`GET /v2/ HTTP/1.1\r\n${host}${'X: 1\r\n'.repeat(200)}\r\n`, 431, 'too many headers'],
  // Newer releases of Node count them before the registry does.
  [
    `GET /v2/ HTTP/1.1\r\n${host}${'X: 1\r\n'.repeat(3000)}\r\n`,
    431,
    expect.stringMatching(/headers are too large|too many headers/) as string,
  ],
  [`GET /v2/?n=${'1'.repeat(8192)} HTTP/1.1\r\n${host}\r\n`, 414, 'the URL is too long'],
  [`GET ftp://registry.example:80:80/v2/ HTTP/1.1\r\n${host}\r\n`, 400, 'invalid URL'],
  // Unsupported features.
  ['CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n', 405, 'CONNECT is not supported: this server is not a proxy'],
  [
    `GET /v2/ HTTP/1.1\r\n${host}Expect: miracles\r\n\r\n`,
    417,
    'unsupported Expect header: only 100-continue is supported',
  ],
  [
    `POST /v2/ HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(20_000)}`,
    413,
    'the chunk extensions are too large',
  ],
];

describe('an invalid request', () => {
  it.each(refused.map((row) => [shown(row[0]), ...row] as const))(
    'is refused: %s',
    async (_title, request, status, message) => {
      expect(tell(await exchangeRaw(port, request))).toEqual([status, message]);
    },
  );

  it('is logged at debug level without its content', async () => {
    await exchangeRaw(port, `GET /v2/ HTTP/1.1\r\n${host}Authorization : secret\r\n\r\n`);
    const line = log.lines.findLast(({ message }: LogLine) => message === 'malformed request refused');
    expect(line).toMatchObject({
      level: 'debug',
      fields: { code: 'HPE_INVALID_HEADER_TOKEN', remoteAddress: '127.0.0.1' },
    });
    expect(JSON.stringify(line)).not.toContain('secret');
  });

  it('gets no answer when the client has disconnected', async () => {
    const connection = await RawConnection.open(port);
    await connection.write('GET /v2/');
    connection.cut();
    expect((await client.get('/v2/')).status).toBe(200);
  });

  it('may consist of headers that never end', async () => {
    const connection = await RawConnection.open(port);
    await connection.write('GET /v2/ HTTP/1.1\r\nHost: a\r\n');
    expect(tell(await connection.untilClosed())).toEqual([408, 'the headers took too long to arrive']);
  });
});

describe('an unusual but valid request', () => {
  it.each([
    ['with HTTP/1.0 and without Host', 'GET /v2/ HTTP/1.0\r\n\r\n'],
    [
      'with the maximum number of headers',
      rawHead('GET', '/v2/').replace('\r\n\r\n', `\r\n${'X: 1\r\n'.repeat(198)}\r\n`),
    ],
    ['with a long URL', rawHead('GET', `/v2/?n=${'1'.repeat(8000)}`)],
    ['that offers an upgrade to HTTP/2', rawHead('GET', '/v2/', { Upgrade: 'h2c', Connection: 'Upgrade, close' })],
    [
      'that offers an upgrade to WebSocket',
      rawHead('GET', '/v2/', { Upgrade: 'websocket', Connection: 'Upgrade, close' }),
    ],
  ])('is answered: %s', async (_title, request) => {
    expect((await exchangeRaw(port, request)).status).toBe(200);
  });
});

describe('a request', () => {
  it.each<[method: string, target: string, status: number, code: string, allow?: string]>([
    ['OPTIONS', '*', 404, 'NOT_FOUND'],
    ['GET', '*', 404, 'NOT_FOUND'],
    ['OPTIONS', 'http://a', 404, 'NOT_FOUND'],
    ['OPTIONS', 'http://a/', 404, 'NOT_FOUND'],
    ['GET', 'ftp://a/v2/', 404, 'NOT_FOUND'],
    ['TRACE', '/', 404, 'NOT_FOUND'],
    ['OPTIONS', '/v2/', 405, 'UNSUPPORTED', 'GET, HEAD'],
    ['TRACE', '/v2/', 405, 'UNSUPPORTED', 'GET, HEAD'],
    ['OPTIONS', 'http://a/v2/', 405, 'UNSUPPORTED', 'GET, HEAD'],
    ['OPTIONS', '/v2/local/app/manifests/v1', 405, 'UNSUPPORTED', 'HEAD, GET, PUT, DELETE'],
    ['TRACE', '/v2/local/app/manifests/v1', 405, 'UNSUPPORTED', 'HEAD, GET, PUT, DELETE'],
    ['OPTIONS', '/api/v1/health', 405, 'UNSUPPORTED', 'GET, HEAD'],
  ])('%s %s is answered %i %s', async (method, target, status, code, allow) => {
    const answer = await exchangeRaw(port, rawHead(method, target));
    const { errors } = JSON.parse(answer.body) as { errors: { code: string }[] };
    expect([answer.status, errors.map((error) => error.code)]).toEqual([status, [code]]);
    expect(answer.headers).toMatchObject({ 'content-type': 'application/json', 'x-request-id': expect.any(String) });
    expect(answer.headers['allow']).toBe(allow);
  });
});

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

/** Starts a server whose registry answers as the test specifies. */
async function serve(middleware: Middleware, options: Partial<ServerOptions> = {}): Promise<number> {
  const events = new EventEmitter<RegistryEvents>();
  const fake: Registry = {
    middleware,
    management: (_req, _res, next) => next(),
    ui: (_req, _res, next) => next(),
    metrics: () => Promise.reject(new Error('not here')),
    ready: async () => {},
    health: async () => ({ status: 'ok', refusals: new Refusals({ emit: () => {} }).counts() }),
    events,
    get repositories(): never {
      throw new Error('not here');
    },
    collectGarbage: () => Promise.reject(new Error('not here')),
    reload: () => Promise.reject(new Error('not here')),
    close: async () => {},
  };
  const started = createRegistryServer({ registry: fake, log: recordingLogger(), ...options });
  cleanups.add(() => started.stop(0));
  return (await started.listen(0, '127.0.0.1')).port;
}

describe('a server with TLS', () => {
  it('answers an invalid request, and closes a connection that does not speak TLS', async () => {
    const certificates = path.join(import.meta.dirname, '../../support/tls');
    const cert = await readFile(path.join(certificates, 'test-only-certificate.pem'));
    const key = await readFile(path.join(certificates, 'test-only-key.pem'));
    const secure = await serve((_req, res) => res.end('ok'), { tls: { cert, key } });
    expect((await exchangeRaw(secure, rawHead('GET', '/v2/'))).status).toBe(0);
    const socket = connectTls({ port: secure, host: '127.0.0.1', ca: cert, servername: 'localhost' });
    socket.write('nonsense\r\n\r\n');
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  });
});

const kept = rawHead('GET', '/v2/', { Connection: 'keep-alive' });

describe('invalid bytes after a request', () => {
  it('are answered once the request has been answered', async () => {
    const connection = await RawConnection.open(port);
    await connection.write(kept);
    await connection.waitFor(/\r\n\r\n\{\}$/);
    await connection.write('nonsense\r\n\r\n');
    const { status, body } = await connection.untilClosed();
    expect([status, body.match(/HTTP\/1\.1 [0-9]+/g)]).toEqual([200, ['HTTP/1.1 400']]);
  });

  it.each([
    ['before its answer began', false],
    ['in the middle of its answer', true],
  ])('are never mistaken for its answer: %s', async (_title, hasBegun) => {
    const late = await serve((_req, res) => {
      if (hasBegun) res.writeHead(200, { 'Content-Length': 4 }).flushHeaders();
      setTimeout(() => res.end('late'), 50);
    });
    const answer = await exchangeRaw(late, `${kept}nonsense\r\n\r\nmore nonsense\r\n\r\n`);
    expect(answer.status).toBe(200);
    expect(answer.body).toContain('late');
    expect(answer.body).not.toContain('HTTP/1.1');
  });

  it.each([
    ['a chunk without a size', 'x\r\n'],
    ['a chunk that exceeds its size', '1\r\nabc\r\n'],
    ['a chunk size that is not a number', '-1\r\nabc\r\n'],
    ['a chunk that ends in a bare line feed', '3\nabc\n0\n\n'],
  ])('are answered when they are in its body, and earlier bytes are kept: %s', async (_title, chunk) => {
    const location = await startUpload(client, 'local/app');
    const connection = await RawConnection.open(port);
    const headers = { 'Transfer-Encoding': 'chunked', Connection: 'keep-alive', Expect: '100-continue' };
    await connection.write(rawHead('PATCH', location, headers));
    await connection.waitFor(/100 Continue\r\n\r\n/);
    await connection.write('5\r\n01234\r\n');
    // Bytes that are still in transit when a connection ends are lost.
    await client.catchUp();
    await connection.write(chunk);
    const { body } = await connection.untilClosed();
    expect(body).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n[^]*Connection: close\r\n[^]*invalid HTTP/);
    await expect.poll(async () => (await client.get(location)).header('range')).toMatch(/^0-[456]$/);
  });

  it('in the body of a pipelined request do not affect earlier answers', async () => {
    const late = await serve((req, res) => void setTimeout(() => res.end(req.url), 50));
    const second = rawHead('POST', '/v2/second', { 'Transfer-Encoding': 'chunked', Connection: 'keep-alive' });
    const connection = await RawConnection.open(late);
    await connection.write(`${kept}${second}nonsense\r\n`);
    expect(await connection.untilClosed()).toMatchObject({ status: 200, body: expect.stringMatching(/^\/v2\//) });
  });

  it('are not waited for when they never end', async () => {
    const connection = await RawConnection.open(port);
    await connection.write('nonsense\r\n\r\n');
    for (let i = 0; i < 50 && !connection.socket.closed; i++) {
      await connection.write('x'.repeat(10_000));
      await sleep(1);
    }
    expect(tell(await connection.untilClosed())[0]).toBe(400);
  });
});

describe('a header that would override the request', () => {
  const overrides = {
    'X-HTTP-Method-Override': 'DELETE',
    'X-HTTP-Method': 'DELETE',
    'X-Method-Override': 'DELETE',
    'X-Original-URL': '/v2/local/other/tags/list',
    'X-Original-URI': '/v2/local/other/tags/list',
    'X-Rewrite-URL': '/v2/local/other/tags/list',
    'X-Forwarded-Prefix': '/elsewhere',
    'X-Forwarded-Uri': '/v2/local/other/tags/list',
    'X-Forwarded-Method': 'DELETE',
    'X-Forwarded-Host': 'elsewhere.example',
    Forwarded: 'host=elsewhere.example;proto=https',
  };

  it.each(Object.entries(overrides))('has no effect: %s: %s', async (name, value) => {
    await pushManifest(client, 'local/app', 'latest', imageManifest('overridden'));
    const list = await exchangeRaw(port, rawHead('GET', '/v2/local/app/tags/list?_method=DELETE', { [name]: value }));
    expect([list.status, list.body]).toEqual([200, '{"name":"local/app","tags":["latest"]}']);
    const path = '/v2/local/app/manifests/latest?_method=DELETE&method=DELETE';
    expect((await exchangeRaw(port, rawHead('GET', path, { [name]: value }))).status).toBe(200);
    expect((await client.get('/v2/local/app/manifests/latest')).status).toBe(200);
    const started = await exchangeRaw(
      port,
      rawHead('POST', '/v2/local/app/blobs/uploads/', { 'Content-Length': '0', [name]: value }),
    );
    expect(started.headers['location']).toMatch(/^\/v2\/local\/app\/blobs\/uploads\//);
  });
});
