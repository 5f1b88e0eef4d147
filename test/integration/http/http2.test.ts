import { createServer, type Http2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { createRegistry, type Registry, type RegistryOptions } from '../../../src/index.js';
import type { RequestEvent } from '../../../src/ports/runtime.js';
import { digestOf } from '../../../src/protocol/digest.js';
import { Http2Client, UnendedRequest } from '../../support/clients/http2.js';
import { someBytes } from '../../support/content/content.js';
import { hostFor, recordingLogger } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

interface Host {
  readonly port: number;
  readonly registry: Registry;
  readonly client: Http2Client;
  readonly logger: ReturnType<typeof recordingLogger>;
  readonly events: readonly RequestEvent[];
}

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** Mounts a registry in an HTTP/2 server. */
async function start(options: Partial<RegistryOptions> = {}): Promise<Host> {
  const folder = await makeScratchFolder();
  const logger = recordingLogger();
  const repositories: RegistryOptions['repositories'] = [{ name: 'local', type: 'local' }];
  const registry = createRegistry({ storage: folder, access: 'open', repositories, logger, ...options });
  const events: RequestEvent[] = [];
  registry.events.on('request', (event) => events.push(event));
  const listener = hostFor(registry);
  // The types of the compatibility API differ; hosts pass its requests on like this.
  const server: Http2Server = createServer((req, res) =>
    listener(req as unknown as IncomingMessage, res as unknown as ServerResponse & { req: IncomingMessage }),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const client = new Http2Client(port);
  closers.push(
    () => removeScratchFolder(folder),
    () => registry.close(),
    () => new Promise((resolve) => server.close(resolve)),
    () => Promise.resolve(client.close()),
  );
  await registry.ready();
  return { port, registry, client, logger, events };
}

const manifest = Buffer.from(
  JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [] }),
);

function startUnended(port: number, method: string, path: string): UnendedRequest {
  const request = new UnendedRequest(port, method, path, manifest);
  closers.push(() => Promise.resolve(request.close()));
  return request;
}

it('a push and a pull work over HTTP/2, also with bodies of unknown length', async () => {
  const { client, events, logger } = await start();
  const bytes = someBytes('http2', 3_000_000);
  const digest = digestOf(bytes);
  const started = await client.send('POST', '/v2/local/app/blobs/uploads/');
  const location = started.headers.location ?? '';
  expect((await client.send('PATCH', location, bytes)).status).toBe(202);
  expect((await client.send('PUT', `${location}?digest=${digest}`)).status).toBe(201);
  expect((await client.send('PUT', '/v2/local/app/manifests/1', manifest)).status).toBe(201);
  expect((await client.send('GET', '/v2/local/app/manifests/1')).body.equals(manifest)).toBe(true);
  const pulled = await client.send('GET', `/v2/local/app/blobs/${digest}`);
  expect([pulled.status, pulled.body.equals(bytes)]).toEqual([200, true]);

  const told = events.map(({ op, bytesReceived, bytesSent }) => [op, bytesReceived, bytesSent]);
  expect(told).toEqual([
    ['upload.start', 0, 0],
    ['upload.append', bytes.length, 0],
    ['upload.complete', 0, 0],
    ['manifest.put', manifest.length, 0],
    ['manifest.get', 0, manifest.length],
    ['blob.get', 0, bytes.length],
  ]);
  expect(logger.lines.filter(({ level }) => level === 'error')).toEqual([]);
});

it('the authority of a request over HTTP/2 is its host, in challenges and for the management API', async () => {
  const guarded = await start({ access: { rules: [{ anonymous: true, names: 'local/public', allow: ['pull'] }] } });
  const refused = await guarded.client.send('GET', '/v2/local/private/tags/list');
  expect(refused.status).toBe(401);
  expect(refused.headers['www-authenticate']).toContain(`realm="http://127.0.0.1:${guarded.port}/v2/token"`);

  const open = await start({ hosts: { 'short.example': 'local' } });
  expect((await open.client.send('GET', '/api/v1/repositories')).status).toBe(200);
  await open.client.send('PUT', '/v2/local/app/manifests/1', manifest);
  const tags = await open.client.send('GET', '/v2/app/tags/list', undefined, { ':authority': 'short.example' });
  expect(JSON.parse(tags.body.toString())).toEqual({ name: 'app', tags: ['1'] });
});

it('a manifest whose request is reset before its end is not stored', async () => {
  const { port, client, events } = await start();
  const request = startUnended(port, 'PUT', '/v2/local/app/manifests/1');
  await expect.poll(() => client.send('GET', '/v2/local/app/manifests/1').then(({ status }) => status)).toBe(404);
  request.reset();
  await expect.poll(() => events.filter(({ op }) => op === 'manifest.put')).toMatchObject([{ status: 400 }]);
  expect((await client.send('GET', '/v2/local/app/manifests/1')).status).toBe(404);
});

it('a manifest whose request is reset while its user is looked up is not stored either', async () => {
  const { port, client, events } = await start({
    access: {
      rules: [{ users: ['host'], allow: ['pull', 'push'] }],
      authenticate: async () => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        return { id: 'host' };
      },
    },
  });
  const request = startUnended(port, 'PUT', '/v2/local/app/manifests/1');
  request.reset();
  await expect.poll(() => events.filter(({ op }) => op === 'manifest.put')).toMatchObject([{ status: 400 }]);
  expect((await client.send('GET', '/v2/local/app/manifests/1')).status).toBe(404);
});

it('clients that reset an upload or a download over HTTP/2 are not logged as errors', async () => {
  const { port, client, events, logger } = await start();
  const bytes = someBytes('reset', 3_000_000);
  const path = `/v2/local/app/blobs/uploads/?digest=${digestOf(bytes)}`;
  await client.send('POST', path, bytes);
  await client.resetDownload(`/v2/local/app/blobs/${digestOf(bytes)}`);
  startUnended(port, 'POST', path).reset();
  await expect.poll(() => events.filter(({ op }) => op === 'upload.start').length).toBe(2);
  await expect.poll(() => events.filter(({ op }) => op === 'blob.get').length).toBe(1);
  expect(logger.lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
});

it('a refused upload over HTTP/2 is answered and leaves the other requests of the connection alone', async () => {
  const { client } = await start();
  const bytes = someBytes('refused', 3_000_000);
  const digest = digestOf(bytes);
  const [refused, stored] = await Promise.all([
    client.send('PUT', '/v2/unknown/app/manifests/1', bytes),
    client.send('POST', `/v2/local/app/blobs/uploads/?digest=${digest}`, bytes),
  ]);
  expect([refused.status, stored.status]).toEqual([404, 201]);
});

describe('downloads of a large blob on one connection over HTTP/2', () => {
  const bytes = someBytes('large', 6_000_000);
  const path = `/v2/local/app/blobs/${digestOf(bytes)}`;
  const large = Buffer.from(
    JSON.stringify({ ...JSON.parse(manifest.toString()), annotations: { a: 'a'.repeat(1e6) } }),
  );

  async function startWithBlob(): Promise<Host> {
    const host = await start();
    await host.client.send('POST', `/v2/local/app/blobs/uploads/?digest=${digestOf(bytes)}`, bytes);
    await host.client.send('PUT', '/v2/local/app/manifests/large', large);
    return host;
  }

  it.each(['/v2/local/app/manifests/large', path])(
    'that the client does not read let it send further requests: %s',
    async (stalled) => {
      const { client } = await startWithBlob();
      for (let i = 0; i < 60; i++) expect((await client.stallDownload(stalled)).status).toBe(200);
      expect((await client.send('GET', '/v2/')).status).toBe(200);
    },
  );

  it('that the client resets are served until the server ends the connection after the requests in progress', async () => {
    const { client } = await startWithBlob();
    const stalled = await client.stallDownload(path);
    let count = 0;
    while (!client.isEnding) {
      await client.resetDownload(path);
      count += 1;
    }
    expect(count).toBeGreaterThan(100);
    expect((await stalled.read()).equals(bytes)).toBe(true);
  });
});
