import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import path from 'node:path';
import connect from 'connect';
import express from 'express';
import express4 from 'express4';
import request from 'supertest';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createRegistry, OptionsError, type Middleware, type Registry, type RequestEvent } from '../../../src/index.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { MemoryBlobStore } from '../../support/storage/memory-blob-store.js';
import { Client } from '../../support/clients/client.js';
import {
  digest,
  imageManifest,
  pushBlob,
  pushManifest,
  someBytes,
  startUpload,
  types,
} from '../../support/content/content.js';
import {
  answerNotOurs,
  hostFor,
  listen,
  recordingLogger,
  startMemoryRegistry,
  type Listening,
} from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

/** What each test starts, closed afterwards in reverse order. */
const started: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of started.splice(0).toReversed()) await close();
});

function later<T extends { close(): Promise<void> }>(thing: T): T {
  started.push(() => thing.close());
  return thing;
}

interface Opened {
  readonly registry: Registry;
  readonly folder: string;
}

let one: Opened;
let prefixed: Opened;

async function openRegistry(prefix: string): Promise<Opened> {
  const folder = await makeScratchFolder();
  const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
  const registry = createRegistry({
    storage: { blobs: new MemoryBlobStore(), metadata },
    access: 'open',
    prefix,
    repositories: [{ name: 'local', type: 'local', sparse: true }],
    logger: recordingLogger(),
  });
  await registry.ready();
  return { registry, folder };
}

beforeAll(async () => {
  one = await openRegistry('');
  prefixed = await openRegistry('/deep/registry');
});
afterAll(async () => {
  for (const { registry, folder } of [one, prefixed]) {
    await registry.close();
    await removeScratchFolder(folder);
  }
});

type Listener = (req: IncomingMessage, res: ServerResponse) => void;

/** Each way to mount a middleware, with a host that answers 418 to all other requests. */
const hosts: readonly [string, (middleware: Middleware, at?: string) => Listener][] = [
  ['bare http', (middleware) => (req, res) => middleware(req, res, () => answerNotOurs(req, res))],
  ['Connect', (middleware, at = '/') => connect().use(at, middleware).use(answerNotOurs)],
  ['Express 5', (middleware, at = '/') => express().use(at, middleware).use(answerNotOurs)],
  ['Express 4', (middleware, at = '/') => express4().use(at, middleware).use(answerNotOurs)],
  [
    'an Express router',
    (middleware, at = '/') => express().use(express.Router().use(at, middleware)).use(answerNotOurs),
  ],
];

async function serve(listener: Listener): Promise<{ listening: Listening; client: Client }> {
  const listening = later(await listen(listener));
  return { listening, client: later(new Client(listening.url)) };
}

/** Takes an image through its whole life: pushed in three ways, listed in pages, pulled, deleted. */
async function pushAndPull(client: Client, prefix: string, name: string): Promise<void> {
  const base = `${prefix}/v2/${name}`;
  const bytes = someBytes(name, 5000);
  const upload = (await client.post(`${base}/blobs/uploads/`)).header('location');
  expect(upload.startsWith(`${base}/blobs/uploads/`)).toBe(true);
  const patched = await client.patch(upload, { body: bytes });
  expect([patched.status, patched.header('location'), patched.header('range')]).toEqual([202, upload, '0-4999']);
  const refused = await client.patch(upload, { headers: { 'Content-Range': '1-1' }, body: 'x' });
  expect([refused.status, refused.header('location')]).toEqual([416, upload]);
  const put = await client.put(`${upload}?digest=${digest(bytes)}`);
  expect([put.status, put.header('location')]).toEqual([201, `${base}/blobs/${digest(bytes)}`]);
  expect((await client.get(put.header('location'))).body.equals(bytes)).toBe(true);
  const mounted = await client.post(`${base}-copy/blobs/uploads/?mount=${digest(bytes)}&from=${name}`);
  expect([mounted.status, mounted.header('location')]).toEqual([201, `${base}-copy/blobs/${digest(bytes)}`]);
  const manifest = imageManifest(name);
  const pushed = await client.put(`${base}/manifests/${manifest.digest}?tag=a&tag=b`, {
    headers: { 'Content-Type': types.ociImage },
    body: manifest.bytes,
  });
  expect([pushed.status, pushed.header('location')]).toEqual([201, `${base}/manifests/${manifest.digest}`]);
  const list = await client.get(`${base}/tags/list?n=1`);
  expect([list.json(), list.next]).toEqual([{ name, tags: ['a'] }, `${base}/tags/list?n=1&last=a`]);
  expect((await client.get(list.next ?? '')).json()).toEqual({ name, tags: ['b'] });
  const catalog = await client.get(`${prefix}/v2/_catalog?n=1&last=${name.slice(0, -1)}`);
  expect(catalog.json()).toEqual({ repositories: [name] });
  expect((await client.delete(`${base}/manifests/${manifest.digest}`)).status).toBe(202);
  expect((await client.delete(`${base}-copy/blobs/${digest(bytes)}`)).status).toBe(202);
}

describe.each(hosts)('the middleware in %s', (host, mount) => {
  const slug = host.toLowerCase().replaceAll(' ', '-');

  it('serves /v2 at the root, and leaves everything else to the host', async () => {
    const { client } = await serve(mount(one.registry.middleware));
    await pushAndPull(client, '', `local/root/${slug}`);
    for (const path of ['/', '/v2.evil', '/V2/', '/api/v1/repositories', '/deep/registry/v2/', '/v1/_ping']) {
      expect((await client.get(path)).status).toBe(418);
    }
  });

  it('serves its prefix, and nothing at the root', async () => {
    const { client } = await serve(mount(prefixed.registry.middleware));
    expect((await client.get('/deep/registry/v2')).status).toBe(200);
    await pushAndPull(client, '/deep/registry', `local/prefix/${slug}`);
    for (const path of ['/v2/', '/registry/v2/', '/deep/registryv2/', '/deep/registry/', '/deep/registry/v2.evil']) {
      expect((await client.get(path)).status).toBe(418);
    }
  });

  if (host !== 'bare http') {
    it.each(['/v2', '/v2/'])('serves the same URLs when mounted at %s', async (at) => {
      const { client } = await serve(mount(one.registry.middleware, at));
      expect((await client.get('/v2/')).body.toString()).toBe('{}');
      await pushAndPull(client, '', `local/mount${at.length}/${slug}`);
      expect((await client.get('/')).status).toBe(418);
    });

    it('serves the same URLs when mounted above its own prefix', async () => {
      const { client } = await serve(mount(prefixed.registry.middleware, '/deep'));
      await pushAndPull(client, '/deep/registry', `local/deep/${slug}`);
    });

    it('serves nothing when mounted at a path other than its prefix', async () => {
      const { client } = await serve(mount(one.registry.middleware, '/elsewhere'));
      expect((await client.get('/elsewhere/v2/')).status).toBe(418);
      expect((await client.get('/v2/')).status).toBe(418);
    });
  }
});

describe('the management API', () => {
  it.each(hosts.filter(([host]) => host !== 'bare http'))(
    'in %s can be mounted at any path, which its URLs include',
    async (host, mount) => {
      const { client } = await serve(mount(one.registry.management, '/admin'));
      const headers = { 'Content-Type': 'application/json' };
      const name = `made-in-${host.toLowerCase().replaceAll(' ', '-')}`;
      const body = JSON.stringify({ name, package_type: 'docker', repo_type: 'local' });
      const made = await client.post('/admin/api/v1/repositories', { headers, body });
      expect(made.status).toBe(201);
      // Every URL in an answer has the form that the client used (design 6).
      expect(made.header('location')).toBe(`/admin/api/v1/repositories/${name}`);
      expect((await client.delete(made.header('location'))).status).toBe(204);
      expect((await client.get('/api/v1/repositories')).status).toBe(418);
      expect((await client.get('/admin/v2/')).status).toBe(418);
    },
  );

  it('has Links that lead back to its mount path', async () => {
    const { client } = await serve(connect().use(one.registry.middleware).use('/admin', one.registry.management));
    for (const name of ['local/link-a', 'local/link-b']) await pushManifest(client, name, 'x', imageManifest(name));
    const page = await client.get('/admin/api/v1/repositories/local/images?n=1&last=link');
    expect(page.next).toBe('/admin/api/v1/repositories/local/images?n=1&last=link-a');
    expect((await client.get(page.next ?? '')).json()).toMatchObject({ images: [{ name: 'link-b' }] });
  });

  it('is not served by a host that did not mount it', async () => {
    const { client } = await serve(connect().use(one.registry.middleware).use(answerNotOurs));
    expect((await client.get('/api/v1/repositories')).status).toBe(418);
  });
});

describe('a body already read by another middleware', () => {
  const everything = { type: () => true, limit: '10mb' };
  const { type, bytes, digest: expected } = imageManifest('eaten');

  it.each([
    ['express.json', express.json(everything)],
    ['express.raw', express.raw(everything)],
    ['express.text', express.text(everything)],
  ])('causes a clear error instead of an empty manifest: %s', async (_title, parser) => {
    const { client } = await serve(express().use(parser, one.registry.middleware));
    for (const path of [`/v2/local/eaten/manifests/${expected}`, `/v2/local/eaten/manifests/latest`]) {
      const answer = await client.put(path, { headers: { 'Content-Type': type }, body: bytes });
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.header('content-type')).toBe('application/json');
      expect(answer.body.toString()).toMatch(/body .*before/);
    }
    expect((await client.head('/v2/local/eaten/manifests/latest')).status).toBe(404);
  });

  it('causes a clear error for a blob by PATCH, PUT and POST', async () => {
    const { client } = await serve(express().use(express.raw(everything), one.registry.middleware));
    const location = await startUpload(client, 'local/eaten');
    const blob = digest('blob');
    for (const answer of [
      await client.patch(location, { body: 'blob' }),
      await client.put(`${location}?digest=${blob}`, { body: 'blob' }),
      await client.post(`/v2/local/eaten/blobs/uploads/?digest=${blob}`, { body: 'blob' }),
    ]) {
      expect(answer.body.toString()).toMatch(/body .*before/);
    }
    expect((await client.get(location)).header('range')).toBe('0--1');
  });

  it('causes a clear error in the management API', async () => {
    const { client } = await serve(express().use(express.json(), one.registry.management));
    const answer = await client.post('/api/v1/repositories', {
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ name: 'x', package_type: 'docker', repo_type: 'local' }),
    });
    expect(answer.body.toString()).toMatch(/body .*before/);
  });

  it.each([
    ['express.json', express.json({ type: () => true, strict: false })],
    ['express.raw', express.raw(everything)],
    ['express.urlencoded', express.urlencoded({ extended: true, type: () => true })],
  ])('causes no error for a request without a body: %s', async (_title, parser) => {
    const { client } = await serve(express().use(parser, one.registry.middleware));
    // The POST of crane says application/json and has no body.
    const started = await client.post('/v2/local/unharmed/blobs/uploads/', {
      headers: { 'Content-Type': 'application/json', 'Content-Length': '0' },
    });
    expect(started.status).toBe(202);
    const put = await client.put(`${started.header('location')}?digest=${digest('')}`, {
      headers: { 'Content-Length': '0' },
    });
    expect(put.status).toBe(201);
  });

  it('is not a problem when the parser only reads its own types', async () => {
    const { client } = await serve(express().use(express.json(), express.urlencoded(), one.registry.middleware));
    const blob = await pushBlob(client, 'local/typed', someBytes('typed', 100_000));
    await pushManifest(client, 'local/typed', 'latest', imageManifest('typed'));
    expect((await client.head(`/v2/local/typed/blobs/${blob}`)).status).toBe(200);
  });
});

describe('a host in front of the middleware', () => {
  it('may wait before it passes a request on, and no byte of the body is lost', async () => {
    const slow = express().use((_req, _res, next) => void setTimeout(next, 20), one.registry.middleware);
    const { client } = await serve(slow);
    const bytes = someBytes('slow', 300_000);
    const blob = await pushBlob(client, 'local/slow', bytes);
    expect((await client.get(`/v2/local/slow/blobs/${blob}`)).body.equals(bytes)).toBe(true);
  });

  it('may set its own headers, which appear in the answer', async () => {
    const app = connect()
      .use((_req: IncomingMessage, res: ServerResponse, next: () => void) => {
        res.setHeader('X-Host', 'mine');
        next();
      })
      .use(one.registry.middleware);
    const { client } = await serve(app);
    const answer = await client.get('/v2/');
    expect([answer.header('x-host'), answer.header('content-type')]).toEqual(['mine', 'application/json']);
  });

  it('never receives a protocol error in its own error handler', async () => {
    const seen: unknown[] = [];
    const app = connect()
      .use(one.registry.middleware)
      .use((error: unknown, _req: IncomingMessage, res: ServerResponse, _next: () => void) => {
        seen.push(error);
        res.end();
      });
    const { listening } = await serve(app);
    await request(listening.url).get('/v2/local/APP/tags/list').expect(400);
    await request(listening.url).get('/v2/none/app/tags/list').expect(404);
    expect(seen).toEqual([]);
  });

  it('is called exactly once for a request that is not for the registry', () => {
    let asked = 0;
    const req = { method: 'GET', url: '/other', headers: {} } as IncomingMessage;
    one.registry.middleware(req, {} as ServerResponse, (...error: unknown[]) => {
      expect(error).toEqual([]);
      asked++;
    });
    expect(asked).toBe(1);
  });
});

describe('two registries in one process', () => {
  it('do not interfere', async () => {
    const { client } = await serve((req, res) =>
      one.registry.middleware(req, res, () => prefixed.registry.middleware(req, res, () => answerNotOurs(req, res))),
    );
    const secret = Buffer.from('only in one');
    const blob = await pushBlob(client, 'local/twin', secret);
    await pushManifest(client, 'local/twin', 'latest', imageManifest('twin'));
    expect((await client.get('/deep/registry/v2/local/twin/manifests/latest')).status).toBe(404);
    expect((await client.get(`/deep/registry/v2/local/twin/blobs/${blob}`)).status).toBe(404);
    expect((await client.post(`/deep/registry/v2/local/twin/blobs/uploads/?mount=${blob}`)).status).toBe(202);
    const upload = await startUpload(client, 'local/twin');
    expect((await client.get(`/deep/registry${upload}`)).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    expect((await client.get('/deep/registry/v2/_catalog')).body.toString()).not.toContain('twin');
  });

  it('cannot share a folder: the second answers 503, and the first keeps working', async () => {
    const folder = await makeScratchFolder();
    started.push(() => removeScratchFolder(folder));
    const options = {
      storage: folder,
      access: 'open' as const,
      repositories: [{ name: 'local', type: 'local' as const, sparse: true }],
      logger: recordingLogger(),
    };
    const first = later(createRegistry(options));
    await first.ready();
    const second = later(createRegistry(options));
    await expect(second.ready()).rejects.toThrow(/./);
    const { client } = await serve(hostFor(second));
    expect((await client.get('/v2/')).codes).toEqual(['UNAVAILABLE']);
    const alive = await serve(hostFor(first));
    await pushManifest(alive.client, 'local/app', 'latest', imageManifest('alive'));
  });
});

describe('a registry that is not ready', () => {
  it('holds requests until it is, and loses none', async () => {
    const folder = await makeScratchFolder();
    started.push(() => removeScratchFolder(folder));
    const registry = later(
      createRegistry({ storage: folder, access: 'open', repositories: [{ name: 'local', type: 'local' }] }),
    );
    expect(() => registry.repositories).toThrow(/ready/);
    const { client } = await serve(hostFor(registry));
    const [ping, pushed, listed, left] = await Promise.all([
      client.get('/v2/'),
      pushBlob(client, 'local/early', Buffer.from('early')),
      client.get('/api/v1/repositories'),
      client.get('/not-ours'),
    ]);
    expect([ping.status, listed.status, left.status]).toEqual([200, 200, 418]);
    expect((await client.get(`/v2/local/early/blobs/${pushed}`)).body.toString()).toBe('early');
    await registry.ready();
    expect(registry.repositories.list().map(({ name }) => name)).toEqual(['local']);
  });
});

describe('a registry whose storage cannot be opened', () => {
  it('answers 503 to all of its requests, logs the reason, and does not end the process', async () => {
    const folder = await makeScratchFolder();
    started.push(() => removeScratchFolder(folder));
    const file = path.join(folder, 'a-file');
    await writeFile(file, 'in the way');
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    const logger = recordingLogger();
    const registry = later(createRegistry({ storage: path.join(file, 'data'), access: 'open', logger }));
    const { client } = await serve(hostFor(registry));
    for (const [method, path] of [
      ['GET', '/v2/'],
      ['GET', '/v2/_catalog'],
      ['GET', `/v2/local/app/blobs/${digest('x')}`],
      ['GET', '/v2/local/app/manifests/latest'],
      ['POST', '/v2/local/app/blobs/uploads/'],
      ['PUT', '/v2/local/app/manifests/latest'],
      ['GET', '/api/v1/health'],
      ['GET', '/api/v1/repositories'],
      ['POST', '/api/v1/gc'],
    ] as const) {
      const answer = await client.send(method, path);
      expect([path, answer.status, ...answer.codes]).toEqual([path, 503, 'UNAVAILABLE']);
      expect(answer.body.toString()).not.toContain(folder);
    }
    expect([(await client.head('/v2/')).status, (await client.get('/other')).status]).toEqual([503, 418]);
    await expect(registry.ready()).rejects.toThrow(/ENOTDIR|not a directory|EEXIST/);
    await expect(registry.collectGarbage()).rejects.toThrow(/./);
    expect(logger.lines.some(({ level, message }) => level === 'error' && message === 'registry open failed')).toBe(
      true,
    );
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', note);
    expect(unhandled).toEqual([]);
  });

  it('includes one whose folder was written by a newer version', async () => {
    const folder = await makeScratchFolder();
    started.push(() => removeScratchFolder(folder));
    await writeFile(path.join(folder, 'VERSION'), '999\n');
    const registry = later(createRegistry({ storage: folder, logger: recordingLogger() }));
    await expect(registry.ready()).rejects.toThrow(/999|version/i);
  });
});

describe('close', () => {
  it('makes later requests fail with 503, and has no effect when called twice', async () => {
    const { registry, folder } = await openRegistry('');
    started.push(() => removeScratchFolder(folder));
    const { client } = await serve(hostFor(registry));
    expect((await client.get('/v2/')).status).toBe(200);
    await registry.close();
    await registry.close();
    expect((await client.get('/v2/')).codes).toEqual(['UNAVAILABLE']);
    expect((await client.get('/api/v1/health')).codes).toEqual(['UNAVAILABLE']);
  });

  it('leaves nothing open when called before ready', async () => {
    const folder = await makeScratchFolder();
    started.push(() => removeScratchFolder(folder));
    const options = { storage: folder, repositories: [{ name: 'local', type: 'local' as const }] };
    await createRegistry(options).close();
    const again = createRegistry(options);
    await again.ready();
    await again.close();
  });
});

describe('invalid options', () => {
  it('are refused at once, with all problems together', () => {
    expect(() => createRegistry({ storage: '', prefix: 'x' })).toThrow(OptionsError);
  });
});

describe('events', () => {
  it('report what happened, after it happened', async () => {
    const server = later(await startMemoryRegistry({ repositories: [{ name: 'local', type: 'local', sparse: true }] }));
    const client = later(new Client(server.url));
    const seen: [string, unknown][] = [];
    const actors: unknown[] = [];
    for (const name of [
      'blob.pushed',
      'blob.deleted',
      'manifest.pushed',
      'manifest.deleted',
      'tag.deleted',
      'repository.created',
      'repository.replaced',
      'repository.deleted',
      'garbage.collected',
    ] as const) {
      server.registry.events.on(name, (event: object) => {
        const { by, ...rest } = event as { by?: unknown };
        actors.push(by);
        seen.push([name, rest]);
      });
    }
    const at = { repository: 'local', image: 'team/app' };
    const blob = await pushBlob(client, 'local/team/app', Buffer.from('event'));
    const location = await startUpload(client, 'local/team/app');
    await client.put(`${location}?digest=${digest('put')}`, { body: 'put' });
    await client.post(`/v2/local/other/blobs/uploads/?mount=${blob}&from=local/team/app`);
    const manifest = imageManifest('event');
    await pushManifest(client, 'local/team/app', 'v1', manifest);
    await pushManifest(client, 'local/team/app', `${manifest.digest}?tag=a&tag=b`, manifest);
    await client.delete('/v2/local/team/app/manifests/a');
    await client.delete('/v2/local/team/app/manifests/a');
    await client.delete(`/v2/local/team/app/manifests/${manifest.digest}`);
    await client.delete(`/v2/local/team/app/blobs/${blob}`);
    const headers = { 'Content-Type': 'application/json' };
    const document = JSON.stringify({ name: 'made', package_type: 'docker', repo_type: 'local' });
    await client.post('/api/v1/repositories', { headers, body: document });
    await client.post('/api/v1/repositories', { headers, body: document });
    await client.put('/api/v1/repositories/made', { headers, body: document });
    await client.delete('/api/v1/repositories/made');
    await client.post('/api/v1/gc');
    const mounts = seen.filter(([, event]) => JSON.stringify(event).includes('"image":"other"'));
    expect(mounts.every(([name]) => name === 'blob.pushed')).toBe(true);
    expect(seen.filter((event) => !mounts.includes(event))).toEqual([
      ['blob.pushed', { at, digest: blob, size: 5 }],
      ['blob.pushed', { at, digest: digest('put'), size: 3 }],
      ['manifest.pushed', { at, digest: manifest.digest, tags: ['v1'] }],
      ['manifest.pushed', { at, digest: manifest.digest, tags: ['a', 'b'] }],
      ['tag.deleted', { at, tag: 'a' }],
      ['manifest.deleted', { at, digest: manifest.digest }],
      ['blob.deleted', { at, digest: blob }],
      ['repository.created', { name: 'made' }],
      ['repository.replaced', { name: 'made' }],
      ['repository.deleted', { name: 'made' }],
      ['garbage.collected', expect.objectContaining({ dryRun: false, blobsDeleted: 0 })],
    ]);
    // Every change names who asked for it; collections are not asked for.
    expect(actors.pop()).toBeUndefined();
    for (const actor of actors) {
      const requestId: unknown = expect.any(String);
      expect(actor).toMatchObject({ principal: 'anonymous', via: 'anonymous', requestId, address: '127.0.0.1' });
    }
  });

  it('report the method, path and answer of each request', async () => {
    const server = later(await startMemoryRegistry({ repositories: [{ name: 'local', type: 'local', sparse: true }] }));
    const client = later(new Client(server.url));
    const seen: RequestEvent[] = [];
    const enough = new Promise<void>((resolve) => {
      server.registry.events.on('request', (event) => void (seen.push(event) === 5 && resolve()));
    });
    await client.get('/v2/');
    await client.get('/v2/local/app/manifests/x?ns=docker.io');
    await client.get('/v2/nonsense');
    await client.get('/other');
    await client.post('/v2/local/app/blobs/uploads/');
    await client.get('/api/v1/health');
    await enough;
    expect(seen).toEqual([
      expect.objectContaining({ op: 'version.check', method: 'GET', url: '/v2/', status: 200, principal: 'anonymous' }),
      expect.objectContaining({
        op: 'manifest.get',
        url: '/v2/local/app/manifests/x?ns=docker.io',
        status: 404,
        errorCode: 'MANIFEST_UNKNOWN',
      }),
      expect.objectContaining({ op: 'unmatched', status: 404, errorCode: 'UNSUPPORTED' }),
      expect.objectContaining({ op: 'upload.start', method: 'POST', status: 202 }),
      expect.objectContaining({ op: 'health.get', status: 200 }),
    ]);
    expect(seen[0]).not.toHaveProperty('errorCode');
    for (const { durationMs } of seen) expect(durationMs).toBeGreaterThan(0);
    expect(new Set(seen.map(({ id }) => id)).size).toBe(5);
  });

  it('do not disturb the registry when a listener throws', async () => {
    const server = later(await startMemoryRegistry({ repositories: [{ name: 'local', type: 'local', sparse: true }] }));
    const client = later(new Client(server.url));
    for (const name of ['request', 'blob.pushed', 'manifest.pushed'] as const) {
      server.registry.events.on(name, () => {
        throw new Error('listener');
      });
    }
    const blob = await pushBlob(client, 'local/app', Buffer.from('x'));
    await pushManifest(client, 'local/app', 'latest', imageManifest('x'));
    expect((await client.get(`/v2/local/app/blobs/${blob}`)).status).toBe(200);
    expect(server.log.some(({ message }) => message === 'event listener failed')).toBe(true);
  });
});

describe('an unexpected error', () => {
  it('is answered with a 500 that leaks nothing, is logged, and does not stop the server', async () => {
    const folder = await makeScratchFolder();
    const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
    started.push(() => removeScratchFolder(folder));
    const blobs = new MemoryBlobStore();
    const logger = recordingLogger();
    const registry = later(
      createRegistry({
        storage: { blobs, metadata },
        access: 'open',
        logger,
        repositories: [{ name: 'local', type: 'local' }],
      }),
    );
    await registry.ready();
    const { client } = await serve(hostFor(registry));
    const blob = await pushBlob(client, 'local/app', Buffer.from('x'));
    blobs.stat = () => Promise.reject(new Error('EIO: a secret path'));
    const answer = await client.get(`/v2/local/app/blobs/${blob}`);
    expect([answer.status, ...answer.codes]).toEqual([500, 'UNKNOWN']);
    expect(answer.body.toString()).not.toContain('secret');
    expect(logger.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
    const id = answer.header('x-request-id');
    expect(id).not.toBe('');
    expect(JSON.stringify(logger.lines.map(({ fields }) => fields))).toContain(id);
    expect((await client.get('/v2/')).status).toBe(200);
  });

  it('cuts the connection after the headers are sent, so that a truncated blob does not look complete', async () => {
    const folder = await makeScratchFolder();
    const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
    started.push(() => removeScratchFolder(folder));
    const blobs = new MemoryBlobStore();
    const registry = later(
      createRegistry({
        storage: { blobs, metadata },
        access: 'open',
        repositories: [{ name: 'local', type: 'local' }],
        logger: recordingLogger(),
      }),
    );
    await registry.ready();
    const { client } = await serve(hostFor(registry));
    const large = Buffer.alloc(100_000, 'x');
    const blob = await pushBlob(client, 'local/app', large);
    blobs.read = () =>
      Promise.resolve({
        size: large.length,
        writeTo: async (sink) => {
          sink.write('xx');
          await new Promise((resolve) => setImmediate(resolve));
          throw new Error('the disk is gone');
        },
      });
    await expect(client.get(`/v2/local/app/blobs/${blob}`)).rejects.toThrow(/./);
    expect((await client.get('/v2/')).status).toBe(200);
  });
});

it('the types fit a bare server without a cast', () => {
  const server = createServer((req, res) => one.registry.middleware(req, res, () => answerNotOurs(req, res)));
  expect(server.listening).toBe(false);
});
