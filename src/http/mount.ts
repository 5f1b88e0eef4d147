import type { IncomingMessage } from 'node:http';
import type { Middleware } from './handler.js';

/** Where to mount the parts of the registry. */
export interface MountOptions {
  /** Where to mount the management API: `/` gives `/api/v1/repositories`. @default it is not mounted */
  readonly management?: string;
  /** Whether to serve the web UI at `ui/` beside the management API, which it needs. @default false */
  readonly ui?: boolean;
}

/** The parts of a registry that can be mounted. */
export interface MountedParts {
  readonly middleware: Middleware;
  readonly management: Middleware;
  readonly ui: Middleware;
}

/**
 * Combines `/v2`, the management API and the web UI. Passes all other requests unchanged to `next`, before the call returns.
 * @throws Error for a web UI without the management API.
 */
export function createRegistryMiddleware(registry: MountedParts, { management, ui }: MountOptions = {}): Middleware {
  if (management === undefined) {
    if (ui === true) throw new Error('"ui" needs "management": the web UI calls the management API beside it');
    return registry.middleware;
  }
  const parts = ui === true ? chain(registry.management, registry.ui) : registry.management;
  return chain(registry.middleware, mountAt(management.replace(/\/+$/, ''), parts));
}

function chain(first: Middleware, second: Middleware): Middleware {
  return (req, res, next) => first(req, res, () => second(req, res, next));
}

/** Strips the mount path from `url` and keeps the whole URL in `originalUrl`, as Express and Connect do. */
function mountAt(place: string, middleware: Middleware): Middleware {
  if (place === '') return middleware;
  return (req: IncomingMessage & { originalUrl?: string }, res, next) => {
    const { url = '' } = req;
    if (!url.startsWith(`${place}/`)) return next();
    req.originalUrl ??= url;
    req.url = url.slice(place.length);
    middleware(req, res, () => {
      req.url = url;
      next();
    });
  };
}
