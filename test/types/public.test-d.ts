/** What callers may rely on, said in types. `npm run typecheck` is its runner: nothing of it is ever executed. */
import { createServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { serve } from '@hono/node-server';
import connect from 'connect';
import express from 'express';
import fastify from 'fastify';
import { Hono } from 'hono';
import Koa from 'koa';
import { expectTypeOf } from 'vitest';
import {
  createRegistry,
  type GarbageReport,
  type Middleware,
  type Registry,
  type RegistryOptions,
  type RepositoryOptions,
  type RepositoryView,
} from 'artifactapi';
import { mountRegistry as mountInConnect } from 'artifactapi/connect';
import { mountRegistry as mountInExpress } from 'artifactapi/express';
import { mountRegistry as mountInFastify, type FastifyApp } from 'artifactapi/fastify';
import { mountRegistry as mountInHono } from 'artifactapi/hono';
import { mountRegistry as mountInKoa } from 'artifactapi/koa';
import { createRegistryListener, createRegistryMiddleware, type MountOptions } from 'artifactapi/node';

const registry = createRegistry({
  storage: './data',
  repositories: [
    { name: 'local', type: 'local', sparse: false },
    { name: 'images', type: 'local', sparse: 'indexes' },
    { name: 'hub', type: 'remote', url: 'https://registry-1.docker.io' },
    { name: 'all', type: 'virtual', members: ['local', { name: 'hub', include: ['library/*'] }], pushTo: 'local' },
  ],
});
expectTypeOf(registry).toEqualTypeOf<Registry>();
expectTypeOf<RegistryOptions>().toHaveProperty('storage');
expectTypeOf(registry.middleware).toEqualTypeOf<Middleware>();
expectTypeOf<Registry['collectGarbage']>().returns.resolves.toEqualTypeOf<GarbageReport>();
// The repositories: the same input as the options, and views without secrets or internals.
expectTypeOf<Parameters<typeof registry.repositories.create>[0]>().toEqualTypeOf<RepositoryOptions>();
expectTypeOf<Parameters<typeof registry.repositories.replace>[0]>().toEqualTypeOf<RepositoryOptions>();
expectTypeOf(registry.repositories.get('hub')).toEqualTypeOf<RepositoryView | undefined>();
expectTypeOf<RepositoryView>().not.toHaveProperty('repository');
expectTypeOf<Extract<RepositoryView, { type: 'remote' }>>().not.toHaveProperty('credentials');
expectTypeOf<Extract<RepositoryView, { type: 'remote' }>['hasCredentials']>().toEqualTypeOf<boolean>();
void registry.repositories.create({
  name: 'mirror',
  type: 'remote',
  url: 'https://ghcr.io',
  trustedRealms: ['x.example'],
});
// @ts-expect-error -- a view is read-only
registry.repositories.list()[0]!.name = 'other';
// @ts-expect-error -- no internals
void registry.repositories.resolve;
registry.events.on('request', (event) => expectTypeOf(event.status).toEqualTypeOf<number>());
registry.events.on('login.refused', ({ reason }) => expectTypeOf(reason).toBeString());
registry.events.on('manifest.pushed', (event) => expectTypeOf(event).toBeObject());

// @ts-expect-error -- it needs a place to keep things
createRegistry({ repositories: [] });
// @ts-expect-error -- a misspelt option
createRegistry({ storage: './data', repository: [] });
// @ts-expect-error -- a local has none
createRegistry({ storage: './data', repositories: [{ name: 'local', type: 'local', url: 'https://example.com' }] });

// The middleware is what each of these takes by itself.
express().use(registry.middleware).use('/manage', registry.management);
connect().use(registry.middleware).use('/manage', registry.management);

// One call for every host, with the same options and whatever type the host's app has.
const options: MountOptions = { management: '/' };
mountInExpress(express(), registry, options);
mountInExpress(express.Router(), registry);
mountInConnect(connect(), registry, options);
mountInFastify(fastify(), registry, options);
mountInFastify(fastify({ logger: true }), registry);
mountInFastify(fastify({ https: {} }), registry);
// TypeScript 7 refuses an app where this is the type of a plugin. The version of this repository accepts both.
expectTypeOf<Parameters<FastifyApp['register']>>().toEqualTypeOf<[plugin: never]>();
mountInKoa(new Koa(), registry, options);
mountInKoa(new Koa<{ user: string }, { tenant: string }>(), registry);
serve({ ...mountInHono(new Hono(), registry, options), port: 0, serverOptions: { requestTimeout: 0 } });
serve(mountInHono(new Hono<{ Variables: { user: string } }>(), registry));

expectTypeOf(createRegistryListener(registry)).toEqualTypeOf<RequestListener>();
expectTypeOf(createRegistryMiddleware(registry, options)).toEqualTypeOf<Middleware>();
createServer(createRegistryListener(registry, { ...options, fallback: (_req, res) => res.end() }));
createHttpsServer({}, createRegistryListener(registry));
