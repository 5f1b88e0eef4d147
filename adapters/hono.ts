import { createServer, type RequestListener, type ServerOptions } from 'node:http';
import type { Registry } from 'artifactapi';
import { createRegistryListener, type MountOptions } from 'artifactapi/node';

export type { MountOptions };

/** Spread it into the options of `serve` or `createAdaptorServer` of `@hono/node-server`. */
export interface HonoMount<Fetch> {
  readonly fetch: Fetch;
  readonly createServer: typeof createServer;
}

/**
 * Puts the registry in front of a Hono app, whose routes go on as before. Not into it: Hono makes its answer to a HEAD of the
 * one to a GET, and would answer a second time what the registry has answered.
 */
export function mountRegistry<Fetch>(
  app: { readonly fetch: Fetch },
  registry: Registry,
  options: MountOptions = {},
): HonoMount<Fetch> {
  const createInFront = (settings: ServerOptions, fallback: RequestListener): ReturnType<typeof createServer> =>
    createServer(settings, createRegistryListener(registry, { ...options, fallback }));
  // The one of its overloads that node-server calls.
  return { fetch: app.fetch, createServer: createInFront as typeof createServer };
}
