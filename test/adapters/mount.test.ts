import type { RequestListener } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import connect from 'connect';
import express from 'express';
import express4 from 'express4';
import fastify, { type FastifyInstance } from 'fastify';
import { Hono } from 'hono';
import Koa from 'koa';
import { mountRegistry as mountInConnect } from 'artifactapi/connect';
import { mountRegistry as mountInExpress } from 'artifactapi/express';
import { mountRegistry as mountInFastify } from 'artifactapi/fastify';
import { mountRegistry as mountInHono, type HonoMount } from 'artifactapi/hono';
import { mountRegistry as mountInKoa } from 'artifactapi/koa';
import { createRegistryListener, type MountOptions } from 'artifactapi/node';
import { createRegistry, type Middleware, type Registry } from 'artifactapi';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { managementEndpoints } from '../../src/protocol/tables/management.js';
import { Client } from '../support/clients/client.js';
import { types } from '../support/content/content.js';
import { koaListener } from '../support/servers/hosts.js';
import { pushAndPull } from '../support/clients/push-and-pull.js';
import { listen, recordingLogger } from '../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { Cleanups } from '../support/upstreams/remote.js';

let folder: string;
let registry: Registry;
beforeAll(async () => {
  folder = await makeScratchFolder();
  registry = createRegistry({
    storage: folder,
    access: 'open',
    repositories: [{ name: 'local', type: 'local' }],
    logger: recordingLogger(),
  });
  await registry.ready();
});
afterAll(async () => {
  await registry.close();
  await removeScratchFolder(folder);
});

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

async function clientOf(listener: RequestListener): Promise<Client> {
  const listening = await listen(listener);
  const client = new Client(listening.url);
  cleanups.add(
    () => listening.close(),
    () => client.close(),
  );
  return client;
}

/** Express and Connect without an adapter. */
describe.each<[string, (middleware: Middleware) => RequestListener]>([
  ['Express 5', (middleware) => express().use('/v2', middleware)],
  ['Express 4', (middleware) => express4().use('/v2', middleware)],
  ['Connect', (middleware) => connect().use('/v2', middleware)],
])('the middleware mounted at /v2 in %s', (host, createHost) => {
  it('serves the paths below /v2 and no others', async () => {
    const client = await clientOf(createHost(registry.middleware));
    await pushAndPull(client, `local/${host.toLowerCase().replace(' ', '-')}`);
    for (const path of ['/v2.evil/', '/api/v1/repositories', '/']) expect((await client.get(path)).status).toBe(404);
  });
});

type Mount = (options: MountOptions) => RequestListener | Promise<RequestListener>;

const mounts: readonly [string, Mount][] = [
  ['Express 5', (options) => mounted(express(), (app) => mountInExpress(app, registry, options))],
  ['Express 4', (options) => mounted(express4(), (app) => mountInExpress(app, registry, options))],
  ['Connect', (options) => mounted(connect(), (app) => mountInConnect(app, registry, options))],
  ['Fastify', (options) => fastifyListener((app) => mountInFastify(app, registry, options))],
  ['Koa', (options) => koaListener(mounted(new Koa(), (app) => mountInKoa(app, registry, options)))],
  ['Hono', (options) => honoListener(mountInHono(new Hono(), registry, options))],
  ['node:http', (options) => createRegistryListener(registry, options)],
];

function mounted<App>(app: App, mount: (app: App) => void): App {
  mount(app);
  return app;
}

async function fastifyListener(mount: (app: FastifyInstance) => void): Promise<RequestListener> {
  const app = mounted(fastify(), mount);
  await app.ready();
  return (req, res) => app.routing(req, res);
}

function honoListener(mount: HonoMount<Hono['fetch']>): RequestListener {
  const [listener] = createAdaptorServer(mount).listeners('request');
  return listener as RequestListener;
}

describe('Fastify', () => {
  it('sends the headers that hooks of the host set, unless the registry sets them too', async () => {
    const app = fastify();
    app.addHook('onRequest', (_request, reply, done) => {
      void reply.headers({
        'Strict-Transport-Security': 'max-age=1',
        'Content-Type': 'text/plain',
        'Set-Cookie': ['a', 'b'],
      });
      done();
    });
    mountInFastify(app, registry);
    await app.ready();
    const client = await clientOf((req, res) => app.routing(req, res));
    const answer = await client.get('/v2/');
    expect(answer.header('strict-transport-security')).toBe('max-age=1');
    expect(answer.header('content-type')).toBe('application/json');
    expect(answer.headers['set-cookie']).toEqual(['a', 'b']);
    expect((await client.get('/other')).header('strict-transport-security')).toBe('max-age=1');
  });
});

describe.each(mounts)('the management API in %s', (_host, mount) => {
  it('is not served unless it is mounted', async () => {
    const client = await clientOf(await mount({}));
    expect((await client.get('/api/v1/health')).status).toBe(404);
    expect((await client.get('/v2/')).status).toBe(200);
  });

  it.each(['/registry', '/registry/'])('can be mounted at %s', async (management) => {
    const client = await clientOf(await mount({ management }));
    const made = await client.post('/registry/api/v1/repositories', {
      headers: { 'Content-Type': 'application/json' },
      body: '{"name":"made","package_type":"docker","repo_type":"local"}',
    });
    expect([made.status, made.header('location')]).toEqual([201, '/registry/api/v1/repositories/made']);
    expect((await client.delete(made.header('location'))).status).toBe(204);
    // No other spelling may bypass a guard of the host for /registry/.
    for (const path of ['', '/registry-2', '/registryhttp://host', '/registry/registry']) {
      expect([path, (await client.get(`${path}/api/v1/health`)).status]).toEqual([path, 404]);
    }
  });

  it.each([
    ['/', '/ui/'],
    ['/registry', '/registry/ui/'],
  ])('can have the web UI beside it, at %s', async (management, page) => {
    const client = await clientOf(await mount({ management, ui: true }));
    expect((await client.get(page)).header('content-type')).toBe('text/html;charset=utf-8');
    const moved = await client.get(page.slice(0, -1));
    expect([moved.status, moved.header('location')]).toEqual([308, 'ui/']);
    expect((await client.get(page.replace('ui/', 'api/v1/session'))).status).toBe(200);
    const without = await clientOf(await mount({ management }));
    expect((await without.get(page)).status).toBe(404);
  });

  it('serves all of its paths', async () => {
    const client = await clientOf(await mount({ management: '/' }));
    for (const { method, path } of managementEndpoints) {
      // Any value will do: the test checks only that the registry answers.
      const answer = await client.send(method, path.replaceAll(/:\w+/g, 'x'));
      expect(answer.header('docker-distribution-api-version'), `${method} ${path}`).toBe('registry/2.0');
    }
  });
});

it('createRegistryListener passes other requests to the fallback with their whole URL', async () => {
  const fallback: RequestListener = (req, res) => res.end(req.url);
  const client = await clientOf(createRegistryListener(registry, { management: '/registry', fallback }));
  for (const path of ['/registry/others?n=1', '/registry', '/others']) {
    expect((await client.get(path)).body.toString()).toBe(path);
  }
});

it('a Fastify plugin can mount the registry', async () => {
  const client = await clientOf(
    await fastifyListener((app) => {
      void app.register((scope, _options, done) => {
        mountInFastify(scope, registry);
        done();
      });
    }),
  );
  await pushAndPull(client, 'local/plugin');
});

it('a preHandler hook of Fastify runs before the registry', async () => {
  const client = await clientOf(
    await fastifyListener((app) => {
      mountInFastify(app, registry);
      app.addHook('preHandler', (_request, reply) => reply.code(401).send());
    }),
  );
  expect((await client.get('/v2/')).status).toBe(401);
  expect((await client.put('/v2/local/app/manifests/v1', { body: '{}' })).status).toBe(401);
});

it('earlier Koa middleware continues when the answer of the registry is complete', async () => {
  const observed: unknown[] = [];
  const app = new Koa();
  app.use(async (context, next) => {
    await next();
    observed.push(context.status, context.res.writableFinished);
  });
  mountInKoa(app, registry);
  const client = await clientOf(koaListener(app));
  await client.get('/v2/local/app/manifests/absent');
  await client.get('/v2.evil/');
  expect(observed).toEqual([404, true, 404, false]);
});

it('errors of later Koa middleware are handled by Koa', async () => {
  const app = new Koa();
  mountInKoa(app, registry, { management: '/' });
  app.use((context) => context.throw(409, 'of the host'));
  const client = await clientOf(koaListener(app));
  const answer = await client.get('/hello');
  expect([answer.status, answer.body.toString()]).toEqual([409, 'of the host']);
});

describe('a registry behind a body parser', () => {
  const inFront = 'mount the registry in front of the body parsers';

  it.each<[string, () => void]>([
    ['Express 5', () => mountInExpress(express().use(express.json()), registry)],
    ['Express 5 and another parser', () => mountInExpress(express().use(express.raw()), registry)],
    ['Express 4', () => mountInExpress(express4().use(express4.json()), registry)],
    ['Connect', () => mountInConnect(connect().use(express.urlencoded()), registry)],
  ])('cannot be mounted in %s', (_host, mount) => {
    expect(mount).toThrow(inFront);
  });

  it.each<[string, () => void]>([
    ['Express 5', () => mountInExpress(express().use('/api', express.json()), registry)],
    ['Express 4', () => mountInExpress(express4().use('/api', express4.json()), registry)],
    ['Express 4, empty', () => mountInExpress(express4(), registry)],
    ['Connect', () => mountInConnect(connect().use('/api', express.json()), registry)],
  ])('can be mounted if the parser is for another path: %s', (_host, mount) => {
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
    [
      'Koa',
      () => {
        const app = new Koa();
        app.use(async ({ req }, next) => {
          await req.resume().toArray();
          return next();
        });
        mountInKoa(app, registry);
        return koaListener(app);
      },
    ],
  ])('fails a push with advice if the parser was not detected: %s', async (_host, createHost) => {
    const client = await clientOf(createHost());
    const answer = await client.put('/v2/local/app/manifests/v1', {
      headers: { 'Content-Type': types.ociImage },
      body: '{}',
    });
    expect(answer.status).toBe(500);
    expect(answer.body.toString()).toContain('mount the registry in front of body parsers');
    expect((await client.get('/v2/')).status).toBe(200);
  });
});
