import { createServer, type RequestListener, type ServerOptions } from 'node:http';
import type { Registry } from 'artifactapi';
import { createRegistryListener, type MountOptions } from 'artifactapi/node';

export type { MountOptions };

/** Options to spread into those of `serve` or `createAdaptorServer` of `@hono/node-server`. */
export interface HonoMount<Fetch> {
  readonly fetch: Fetch;
  readonly createServer: typeof createServer;
}

/**
 * Mounts the registry in front of a Hono app, whose routes are not affected. It cannot be mounted inside the app: Hono
 * derives HEAD from GET, and would send a second response to requests that the registry has answered.
 */
export function mountRegistry<Fetch>(
  app: { readonly fetch: Fetch },
  registry: Registry,
  options: MountOptions = {},
): HonoMount<Fetch> {
  const createInFront = (settings: ServerOptions, fallback: RequestListener): ReturnType<typeof createServer> =>
    createServer(settings, createRegistryListener(registry, { ...options, fallback }));
  // node-server calls only this one of the overloads.
  return { fetch: app.fetch, createServer: createInFront as typeof createServer };
}
