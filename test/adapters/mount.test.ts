import type { RequestListener } from 'node:http';
import connect from 'connect';
import express from 'express';
import express4 from 'express4';
import { mountRegistry as mountInConnect } from 'artifactapi/connect';
import { mountRegistry as mountInExpress } from 'artifactapi/express';
import { createRegistry, type Registry } from 'artifactapi';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../support/client.js';
import { types } from '../support/content.js';
import { pushAndPull } from '../support/push-and-pull.js';
import { listen } from '../support/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../support/scratch.js';

let folder: string;
let registry: Registry;
beforeAll(async () => {
  folder = await makeScratchFolder();
  registry = createRegistry({ storage: folder, access: 'open', repositories: [{ name: 'local', type: 'local' }] });
  await registry.ready();
});
afterAll(async () => {
  await registry.close();
  await removeScratchFolder(folder);
});

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function clientOf(listener: RequestListener): Promise<Client> {
  const listening = await listen(listener);
  const client = new Client(listening.url);
  cleanups.push(
    () => listening.close(),
    () => client.close(),
  );
  return client;
}

/** A host with a JSON route of its own behind the registry. */
function expressHost(create: typeof express, mount: (app: express.Express) => void): RequestListener {
  const app = create();
  mount(app);
  app.use(create.json());
  app.post('/echo', (req, res) => void res.json(req.body));
  app.get('/v2.evil/', (_req, res) => void res.send('host'));
  return app;
}

/** What a host without a framework does. */
function bareHost(passedOn: RequestListener): RequestListener {
  return (req, res) => registry.middleware(req, res, () => registry.management(req, res, () => passedOn(req, res)));
}

function connectHost(mount: (app: connect.Server) => void): RequestListener {
  const app = connect();
  mount(app);
  app.use(express.json());
  app.use('/echo', (req, res) => res.end(JSON.stringify((req as unknown as { body: unknown }).body)));
  app.use('/v2.evil', (_req, res) => res.end('host'));
  return app;
}

const everywhere = { management: '/' };
const hosts: readonly [string, () => RequestListener][] = [
  ['Express 5', () => expressHost(express, (app) => mountInExpress(app, registry, everywhere))],
  ['Express 4', () => expressHost(express4, (app) => mountInExpress(app, registry, everywhere))],
  ['Express 5, under /v2', () => expressHost(express, (app) => void app.use('/v2', registry.middleware))],
  ['Express 4, under /v2', () => expressHost(express4, (app) => void app.use('/v2', registry.middleware))],
  ['Connect', () => connectHost((app) => mountInConnect(app, registry, everywhere))],
  ['Connect, under /v2', () => connectHost((app) => void app.use('/v2', registry.middleware))],
  ['node:http', () => bareHost(connectHost(() => {}))],
];

describe.each(hosts)('in %s', (host, createHost) => {
  it('takes pushes and answers pulls', async () => {
    const client = await clientOf(createHost());
    expect((await client.get('/v2/')).header('docker-distribution-api-version')).toBe('registry/2.0');
    await pushAndPull(client, `local/${host.toLowerCase().replace(/[^a-z0-9]+/g, '-')}`);
  });

  it('leaves the routes of the host and their body parsers alone', async () => {
    const client = await clientOf(createHost());
    const answer = await client.post('/echo', { headers: { 'Content-Type': 'application/json' }, body: '{"a":1}' });
    expect(answer.json()).toEqual({ a: 1 });
    expect((await client.get('/v2.evil/')).body.toString()).toBe('host');
    expect((await client.get('/nowhere')).status).toBe(404);
  });

  it('has the management API only where it was mounted', async () => {
    const client = await clientOf(createHost());
    expect((await client.get('/api/v1/repositories')).status).toBe(host.endsWith('/v2') ? 404 : 200);
  });
});

describe('the management API', () => {
  it.each<[string, () => RequestListener]>([
    ['Express 5', () => expressHost(express, (app) => mountInExpress(app, registry, { management: '/registry' }))],
    ['Express 4', () => expressHost(express4, (app) => mountInExpress(app, registry, { management: '/registry' }))],
    ['Connect', () => connectHost((app) => mountInConnect(app, registry, { management: '/registry' }))],
  ])('can be mounted at another path of %s', async (_host, createHost) => {
    const client = await clientOf(createHost());
    expect((await client.get('/registry/api/v1/repositories')).status).toBe(200);
    expect((await client.get('/api/v1/repositories')).status).toBe(404);
  });
});

describe('behind a body parser', () => {
  const inFront = 'mount the registry in front of the body parsers';

  it.each<[string, () => void]>([
    ['Express 5', () => mountInExpress(express().use(express.json()), registry)],
    ['Express 5 and another parser', () => mountInExpress(express().use(express.raw()), registry)],
    ['Express 4', () => mountInExpress(express4().use(express4.json()), registry)],
    ['Connect', () => mountInConnect(connect().use(express.urlencoded()), registry)],
  ])('it is not mounted in %s', (_host, mount) => {
    expect(mount).toThrow(inFront);
  });

  it.each<[string, () => void]>([
    ['Express 5', () => mountInExpress(express().use('/api', express.json()), registry)],
    ['Express 4', () => mountInExpress(express4().use('/api', express4.json()), registry)],
    ['Express 4, empty', () => mountInExpress(express4(), registry)],
    ['Connect', () => mountInConnect(connect().use('/api', express.json()), registry)],
  ])('of another path, it is: %s', (_host, mount) => {
    expect(mount).not.toThrow();
  });

  it.each<[string, () => RequestListener]>([
    ['Express 5', () => express().use(express.json({ type: () => true }), registry.middleware)],
    ['Express 4', () => express4().use(express4.json({ type: () => true }), registry.middleware)],
    [
      'Connect',
      () =>
        connect()
          .use(express.json({ type: () => true }))
          .use(registry.middleware),
    ],
  ])('that was not noticed, a push says what is wrong: %s', async (_host, createHost) => {
    const client = await clientOf(createHost());
    const answer = await client.put('/v2/local/app/manifests/v1', {
      headers: { 'Content-Type': types.ociImage },
      body: '{}',
    });
    expect(answer.status).toBe(500);
    expect(answer.body.toString()).toContain('mount it in front of body parsers');
    expect((await client.get('/v2/')).status).toBe(200);
  });
});
