import type { RequestListener } from 'node:http';
import { createRegistryMiddleware, type MountOptions, type Registry } from 'artifactapi';

export { createRegistryMiddleware, type MountOptions };

/** Options of `createRegistryListener`; `fallback` gets all other requests. */
export type ListenerOptions = MountOptions & { readonly fallback?: RequestListener };

/** Returns a listener for `http.createServer`. Passes all other requests to `fallback`, or answers an empty 404. */
export function createRegistryListener(registry: Registry, options: ListenerOptions = {}): RequestListener {
  const { fallback = (_req, res) => res.writeHead(404).end() } = options;
  const middleware = createRegistryMiddleware(registry, options);
  return (req, res) => middleware(req, res, () => fallback(req, res));
}
