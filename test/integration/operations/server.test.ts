import { EventEmitter, once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { afterEach, describe, expect, it } from 'vitest';
import {
  createRegistry,
  type HealthReport,
  type Middleware,
  type Registry,
  type RegistryEvents,
} from '../../../src/index.js';
import { Refusals } from '../../../src/composition/operations/refusal-counts.js';
import { createRegistryServer, type ServerOptions } from '../../../src/command/serve/server.js';
import { Client } from '../../support/clients/client.js';
import { startUpload } from '../../support/content/content.js';
import { pushAndPull } from '../../support/clients/push-and-pull.js';
import { exchangeRaw, RawConnection, rawHead } from '../../support/clients/raw.js';
import { recordingLogger } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

type Options = Partial<Omit<ServerOptions, 'registry' | 'log'>>;

async function serve(registry: Registry, options: Options = {}) {
  const log = recordingLogger();
  const server = createRegistryServer({ registry, log, ...options });
  const { port } = await server.listen(0, '127.0.0.1');
  const client = new Client(`http://127.0.0.1:${port}`);
  cleanups.add(
    () => server.stop(0),
    () => client.close(),
  );
  return { server, port, client, log: log.lines };
}

/** The server around a real registry with the local repository `local`, open to all. */
async function serveRegistry(options: Options = {}) {
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  const registry = createRegistry({
    storage: folder,
    access: 'open',
    repositories: [{ name: 'local', type: 'local' }],
  });
  await registry.ready();
  return { registry, ...(await serve(registry, options)) };
}

/** A registry that answers as the test says. */
function fakeRegistry(middleware: Middleware, health: Omit<HealthReport, 'refusals'> = { status: 'ok' }): Registry {
  const events = new EventEmitter<RegistryEvents>();
  return {
    middleware,
    management: (_req, _res, next) => next(),
    ui: (_req, _res, next) => next(),
    metrics: () => Promise.reject(new Error('not here')),
    ready: async () => {},
    health: async () => ({ ...health, refusals: new Refusals({ emit: () => {} }).counts() }),
    events,
    get repositories(): never {
      throw new Error('not here');
    },
    collectGarbage: () => Promise.reject(new Error('not here')),
    reload: () => Promise.reject(new Error('not here')),
    close: async () => {},
  };
}

describe('the server', () => {
  it.each([
    [true, 'text/html,application/xhtml+xml,*/*;q=0.8', 302, 'ui/', 200],
    [true, '*/*', 404, '', 200],
    [false, 'text/html', 404, '', 404],
  ])('with ui: %s, answers / for Accept: %s with %i', async (ui, accept, status, location, page) => {
    const { client } = await serveRegistry({ ui });
    const answer = await client.get('/', { Accept: accept });
    expect([answer.status, answer.header('location')]).toEqual([status, location]);
    expect((await client.send('POST', '/', { headers: { Accept: accept } })).status).toBe(404);
    expect((await client.get('/ui/')).status).toBe(page);
  });

  it('serves the registry, its management API and the probes, and nothing else', async () => {
    const { client } = await serveRegistry();
    const answers = [];
    for (const url of ['/v2/', '/api/v1/health', '/healthz', '/readyz', '/', '/api', '/v2.evil/', '/healthzz']) {
      const { status, headers } = await client.get(url);
      expect(headers['x-request-id'], url).toMatch(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      answers.push([url, status, headers['content-type']]);
    }
    expect(answers).toEqual([
      ['/v2/', 200, 'application/json'],
      ['/api/v1/health', 200, 'application/json'],
      ['/healthz', 200, 'application/json'],
      ['/readyz', 200, 'application/json'],
      ['/', 404, 'application/json'],
      ['/api', 404, 'application/json'],
      ['/v2.evil/', 404, 'application/json'],
      ['/healthzz', 404, 'application/json'],
    ]);
    expect((await client.get('/')).codes).toEqual(['NOT_FOUND']);
  });

  it('accepts pushes and answers pulls', async () => {
    const { client } = await serveRegistry();
    await pushAndPull(client, 'local/team/app');
  });

  it('serves https', async () => {
    const folder = path.join(import.meta.dirname, '../../support/tls');
    const cert = await readFile(path.join(folder, 'test-only-certificate.pem'));
    const key = await readFile(path.join(folder, 'test-only-key.pem'));
    const { port, server } = await serveRegistry({ tls: { cert, key } });
    const dispatcher = new Agent({ connect: { ca: cert }, keepAliveTimeout: 60_000 });
    const { statusCode, body } = await request(`https://localhost:${port}/v2/`, { dispatcher });
    await body.dump();
    expect(statusCode).toBe(200);
    // The connection is kept for the next request, so this waits for nothing.
    await server.stop(60);
    await dispatcher.destroy();
  });

  it('refuses a certificate that does not belong to the key', () => {
    const registry = fakeRegistry((_req, _res, next) => next());
    const tls = { cert: Buffer.from('no'), key: Buffer.from('no') };
    expect(() => createRegistryServer({ registry, log: recordingLogger(), tls })).toThrow();
  });

  it('is alive but not ready while the registry cannot be opened', async () => {
    const { client } = await serve(
      fakeRegistry((_req, _res, next) => next(), { status: 'unavailable', reason: 'the disk reports errors' }),
    );
    expect((await client.get('/healthz')).status).toBe(200);
    const answer = await client.get('/readyz');
    expect(answer.status).toBe(503);
    expect(answer.json()).toMatchObject({ status: 'unavailable', reason: 'the disk reports errors' });
  });

  it.each<[string, Middleware]>([
    ['throws', () => fail()],
    ['passes an error on', (_req, _res, next) => next(new Error('secret'))],
  ])('shows no stack to clients when a middleware %s', async (_what, middleware) => {
    const { client, log } = await serve(fakeRegistry(middleware));
    const answer = await client.get('/v2/');
    expect([answer.status, answer.codes]).toEqual([500, ['UNKNOWN']]);
    expect(answer.body.toString()).not.toContain('secret');
    const id = answer.header('x-request-id');
    expect(answer.body.toString()).toContain(id);
    expect(log).toMatchObject([{ level: 'error', fields: { id, err: { message: 'secret' } } }]);
  });

  it('does not read a body that no handler needs', async () => {
    const { port } = await serveRegistry();
    const head = rawHead('POST', '/nowhere', { 'Content-Length': '1000000000000', Connection: 'keep-alive' });
    const connection = await RawConnection.open(port);
    await connection.write(head);
    expect(await connection.waitFor(/\}$/)).toMatch(/^HTTP\/1.1 404 .*\r\nConnection: close\r\n/s);
    connection.cut();
  });

  it('logs requests if configured, and probes only at the debug level', async () => {
    const { client, log } = await serveRegistry({ accessLog: true });
    const id = (await client.get('/v2/local/app/tags/list?n=1')).header('x-request-id');
    await client.get('/api/v1/health');
    expect(log).toMatchObject([
      { level: 'info', message: 'request', fields: { id, op: 'tag.list', method: 'GET', status: 404 } },
      { level: 'debug', message: 'request', fields: { op: 'health.get', status: 200 } },
    ]);
    expect((await serveRegistry()).registry.events.listenerCount('request')).toBe(0);
  });
});

function fail(): never {
  throw new Error('secret');
}

describe('the timeouts', () => {
  it('close the connection of an idle upload, which then resumes', async () => {
    const { client, port } = await serveRegistry({ idleTimeoutSeconds: 0.3 });
    const location = await startUpload(client, 'local/app');
    const upload = await RawConnection.open(port);
    await upload.write(`${rawHead('PATCH', location, { 'Content-Length': '100' })}0123456789`);
    expect((await upload.untilClosed()).status).toBe(0);
    await expect.poll(async () => (await client.get(location)).header('range')).toBe('0-9');
  });

  it('do not affect a slow upload while bytes arrive', async () => {
    const { client, port } = await serveRegistry({ idleTimeoutSeconds: 4 });
    const location = await startUpload(client, 'local/app');
    const upload = await RawConnection.open(port);
    await upload.write(rawHead('PATCH', location, { 'Content-Length': '25' }));
    for (let i = 0; i < 25; i++) {
      await sleep(200);
      await upload.write('.');
    }
    expect((await upload.untilClosed()).headers).toMatchObject({ range: '0-24' });
  });

  it('do not affect a request that the registry answers slowly', async () => {
    const { client } = await serve(
      fakeRegistry((_req, res) => void setTimeout(() => res.end('late'), 500)),
      { idleTimeoutSeconds: 0.1 },
    );
    expect((await client.get('/v2/')).body.toString()).toBe('late');
  });

  it('close the connection of a client that does not read its answer', async () => {
    const left = new EventEmitter();
    const { port } = await serve(
      fakeRegistry((_req, res) => {
        res.once('close', () => left.emit('left'));
        res.end(Buffer.alloc(64 * 1024 * 1024));
      }),
      { idleTimeoutSeconds: 0.2 },
    );
    const client = connect(port, '127.0.0.1').pause();
    client.write(rawHead('GET', '/v2/'));
    await once(left, 'left');
    client.destroy();
  });

  it('close a connection whose headers remain incomplete', async () => {
    const { port } = await serveRegistry({ headersTimeoutSeconds: 0.2 });
    const answer = await exchangeRaw(port, 'GET /v2/ HTTP/1.1\r\nHost: x\r\n');
    expect(answer.status).toBe(408);
  });

  it('close an unused keep-alive connection', async () => {
    const { port } = await serveRegistry({ keepAliveTimeoutSeconds: 0.1 });
    const head = rawHead('GET', '/v2/', { Connection: 'keep-alive' });
    expect(await exchangeRaw(port, head)).toMatchObject({ status: 200, headers: { connection: 'keep-alive' } });
  });

  it('are not reached by long headers, such as large tokens', async () => {
    const { client } = await serveRegistry();
    expect((await client.get('/v2/', { Authorization: `Bearer ${'x'.repeat(40_000)}` })).status).toBe(200);
  });
});

/** Sends the head of an upload, and resolves when the server is at work on it. */
async function begin(upload: RawConnection, location: string, headers: Record<string, string>): Promise<void> {
  await upload.write(rawHead('PATCH', location, { ...headers, Expect: '100-continue' }));
  await upload.waitFor(/^HTTP\/1.1 100 Continue\r\n\r\n/);
}

describe('stopping', () => {
  it('lets an upload in flight complete, and refuses new connections', async () => {
    const { client, port, server } = await serveRegistry();
    const location = await startUpload(client, 'local/app');
    const [upload, idle] = [await RawConnection.open(port), await RawConnection.open(port)];
    await begin(upload, location, { 'Content-Length': '10', Connection: 'keep-alive' });
    const stopped = server.stop(60);
    await idle.untilClosed();
    await expect(RawConnection.open(port)).rejects.toThrow('ECONNREFUSED');
    await upload.write('0123456789');
    const answer = await upload.untilClosed();
    expect(answer.body).toMatch(/^HTTP\/1.1 202 [\s\S]*\r\nRange: 0-9\r\n[\s\S]*\r\nConnection: close\r\n/);
    await stopped;
  });

  it('closes the remaining connections after the grace period', async () => {
    const { client, port, server } = await serveRegistry();
    const location = await startUpload(client, 'local/app');
    const upload = await RawConnection.open(port);
    await begin(upload, location, { 'Content-Length': '10' });
    await server.stop(0.1);
    expect((await upload.untilClosed()).body).toBe('');
  });

  it('does not truncate an answer that a slow client is still reading', async () => {
    const size = 8 * 1024 * 1024;
    const { port, server } = await serve(
      fakeRegistry((_req, res) => {
        res.writeHead(200, { 'Content-Length': size });
        res.end(Buffer.alloc(size));
      }),
    );
    const client = connect(port, '127.0.0.1').pause();
    client.write(rawHead('GET', '/v2/', { Connection: 'keep-alive' }));
    await once(client, 'readable');
    const stopped = server.stop(60);
    let received = 0;
    for await (const chunk of client) received += (chunk as Buffer).length;
    expect(received).toBeGreaterThan(size);
    await stopped;
  });
});
