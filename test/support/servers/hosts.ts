import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import connect from 'connect';
import express from 'express';
import express4 from 'express4';
import fastify from 'fastify';
import { Hono } from 'hono';
import Koa from 'koa';
import koaMount from 'koa-mount';
import type { Registry } from 'artifactapi';
import { mountRegistry as mountInConnect } from 'artifactapi/connect';
import { mountRegistry as mountInExpress } from 'artifactapi/express';
import { mountRegistry as mountInFastify } from 'artifactapi/fastify';
import { mountRegistry as mountInHono } from 'artifactapi/hono';
import { mountRegistry as mountInKoa } from 'artifactapi/koa';
import { createRegistryListener } from 'artifactapi/node';
import { listenOn, type Listening } from './registry.js';

/** The registry and how a host mounts it. */
interface HostSetup {
  readonly registry: Registry;
  /** The mount point, which equals the registry's own `prefix`: '' or '/registry'. */
  readonly place: string;
  /** What the host does with each request before the registry, such as authentication. */
  readonly before: (req: IncomingMessage) => void;
}

/**
 * Starts a host with its own routes behind the registry and its management API: POST /echo returns its JSON body, GET
 * /v2.evil/ and GET /api/v1/others return `host`, and everything else gets the host's 404.
 */
export type StartHost = (setup: HostSetup) => Promise<Listening>;

/** All hosts that have an adapter. */
export const hosts: Readonly<Record<string, StartHost>> = {
  'Express 5': (setup) => listenOn(createServer(expressHost(express, setup))),
  'Express 4': (setup) => listenOn(createServer(expressHost(express4, setup))),
  Connect: (setup) => listenOn(createServer(connectHost(setup))),
  Fastify: startFastify,
  Koa: (setup) => listenOn(createServer(koaHost(setup))),
  Hono: startHono,
  'node:http': (setup) => listenOn(createServer(bareHost(setup))),
};

function expressHost(create: typeof express, { registry, place, before }: HostSetup): RequestListener {
  const app = create();
  app.use((req, _res, next) => {
    before(req);
    next();
  });
  const mounted = place === '' ? app : create();
  mountInExpress(mounted, registry, { management: '/' });
  if (mounted !== app) app.use(place, mounted);
  app.use(create.json());
  app.post('/echo', (req, res) => void res.json(req.body));
  app.get(['/v2.evil/', '/api/v1/others'], (_req, res) => void res.send('host'));
  return app;
}

function connectHost({ registry, place, before }: HostSetup): RequestListener {
  const app = connect();
  app.use((req, _res, next) => {
    before(req);
    next();
  });
  const mounted = place === '' ? app : connect();
  mountInConnect(mounted, registry, { management: '/' });
  if (mounted !== app) app.use(place, mounted);
  app.use(express.json());
  app.use('/echo', (req, res) => res.end(JSON.stringify((req as IncomingMessage & { body?: unknown }).body)));
  app.use('/v2.evil', (_req, res) => res.end('host'));
  app.use('/api/v1/others', (_req, res) => res.end('host'));
  return app;
}

async function startFastify({ registry, place, before }: HostSetup): Promise<Listening> {
  const app = fastify();
  app.addHook('onRequest', (request, _reply, done) => {
    before(request.raw);
    done();
  });
  if (place === '') mountInFastify(app, registry, { management: '/' });
  else
    void app.register(
      (scope, _options, done) => {
        mountInFastify(scope, registry, { management: '/' });
        done();
      },
      { prefix: place },
    );
  app.post('/echo', (request) => request.body);
  app.get('/v2.evil/', () => 'host');
  // A less specific route than those of the management API, which must be reached nevertheless.
  app.get('/api/*', (request, reply) => (request.url === '/api/v1/others' ? 'host' : reply.callNotFound()));
  await app.ready();
  return listenOn(app.server);
}

function koaHost({ registry, place, before }: HostSetup): RequestListener {
  const app = new Koa();
  app.silent = true;
  app.use(({ req }, next) => {
    before(req);
    return next();
  });
  const mounted = place === '' ? app : new Koa();
  mountInKoa(mounted, registry, { management: '/' });
  if (mounted !== app) app.use(koaMount(place, mounted));
  app.use(async (context) => {
    if (context.path === '/echo') context.body = await readJson(context.req);
    if (['/v2.evil/', '/api/v1/others'].includes(context.path)) context.body = 'host';
  });
  return koaListener(app);
}

/** Returns Koa's callback without its promise, which node ignores. */
export function koaListener(app: Koa): RequestListener {
  const callback = app.callback();
  return (req, res) => void callback(req, res);
}

function startHono({ registry, place, before }: HostSetup): Promise<Listening> {
  const app = new Hono();
  app.post('/echo', async (context) => context.json(await context.req.json<object>()));
  app.get('/v2.evil/', (context) => context.text('host'));
  app.get('/api/v1/others', (context) => context.text('host'));
  const server = createAdaptorServer(mountInHono(app, registry, { management: `${place}/` })) as Server;
  // Nothing in Hono can run before the registry, but a listener of the server can.
  server.prependListener('request', before);
  return listenOn(server);
}

function bareHost({ registry, place, before }: HostSetup): RequestListener {
  const listener = createRegistryListener(registry, {
    management: `${place}/`,
    fallback: (req, res) => {
      if (req.url === '/echo') void readJson(req).then((value) => res.end(JSON.stringify(value)));
      else if (['/v2.evil/', '/api/v1/others'].includes(req.url ?? '')) res.end('host');
      else res.writeHead(404).end();
    },
  });
  return (req, res) => {
    before(req);
    listener(req, res);
  };
}

async function readJson(req: IncomingMessage): Promise<unknown> {
  const chunks = (await req.toArray()) as Buffer[];
  return JSON.parse(Buffer.concat(chunks).toString()) as unknown;
}
