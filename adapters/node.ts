import type { IncomingMessage, RequestListener } from 'node:http';
import type { Middleware, Registry } from 'artifactapi';

/** Where to mount the parts of the registry. */
export interface MountOptions {
  /** Where to mount the management API: `/` gives `/api/v1/repositories`. @default it is not mounted */
  readonly management?: string;
}

/** Options of `createRegistryListener`; `fallback` gets all other requests. */
export type ListenerOptions = MountOptions & { readonly fallback?: RequestListener };

/** Returns a listener for `http.createServer`. Passes all other requests to `fallback`, or answers an empty 404. */
export function createRegistryListener(registry: Registry, options: ListenerOptions = {}): RequestListener {
  const { fallback = (_req, res) => res.writeHead(404).end() } = options;
  const middleware = createRegistryMiddleware(registry, options);
  return (req, res) => middleware(req, res, () => fallback(req, res));
}

/** Combines `/v2` and the management API. Passes all other requests unchanged to `next`, before the call returns. */
export function createRegistryMiddleware(registry: Registry, { management }: MountOptions = {}): Middleware {
  if (management === undefined) return registry.middleware;
  const manage = mountAt(management.replace(/\/+$/, ''), registry.management);
  return (req, res, next) => registry.middleware(req, res, () => manage(req, res, next));
}

/** Strips the mount path from `url` and keeps the whole in `originalUrl`, as Express and Connect do. */
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
