import type { Middleware, Registry } from 'artifactapi';
import { createRegistryMiddleware, type MountOptions } from 'artifactapi/node';

export type { MountOptions };

/** The part of an Express 4 or 5 app that the adapter uses. */
export interface ExpressApp {
  use(handler: Middleware): unknown;
}

/**
 * Mounts the registry in an Express app, in front of everything that is added later. Routes of the host are not affected.
 * @throws Error if the app already uses one of Express's own body parsers, which would consume the bodies of pushes. Other
 * parsers are detected at the first push, which fails with the same advice.
 */
export function mountRegistry(app: ExpressApp, registry: Registry, options: MountOptions = {}): void {
  if (layersOf(app).some(consumesBodies))
    throw new Error('mount the registry in front of the body parsers: it reads the bodies itself');
  app.use(createRegistryMiddleware(registry, options));
}

type Layer = { readonly name: string; readonly slash?: boolean; readonly regexp?: { readonly fast_slash: boolean } };

/** Express 4 has `_router`, once something was added, and throws on access to `router`. Express 5 has `router`. */
function layersOf(app: ExpressApp & { _router?: { stack: Layer[] }; router?: { stack: Layer[] } }): readonly Layer[] {
  // oxlint-disable-next-line no-underscore-dangle -- Express 4's own name
  return ('lazyrouter' in app ? app._router : app.router)?.stack ?? [];
}

/** Ignores parsers that are mounted at a path: a parser under `/api` never gets our requests. */
function consumesBodies({ name, slash, regexp }: Layer): boolean {
  return /^(?:json|urlencoded|raw|text)Parser$/.test(name) && (slash === true || regexp?.fast_slash === true);
}
