import type { Middleware, Registry } from 'artifactapi';
import type { MountOptions } from 'artifactapi/node';

export type { MountOptions };

/** As much of an Express app as is used here, of version 4 or 5. */
export interface ExpressApp {
  use(handler: Middleware): unknown;
  use(path: string, handler: Middleware): unknown;
}

/**
 * Mounts the registry in an Express app, in front of what comes later. Host routes go on as before.
 * @throws Error when one of Express's own body parsers stands before it: the bodies of pushes would be gone. Others are
 * found at the first push, which then fails with the same advice.
 */
export function mountRegistry(app: ExpressApp, registry: Registry, options: MountOptions = {}): void {
  if (layersOf(app).some(eatsBodies))
    throw new Error('mount the registry in front of the body parsers: it reads the bodies itself');
  app.use(registry.middleware);
  if (options.management !== undefined) app.use(options.management, registry.management);
}

type Layer = { readonly name: string; readonly slash?: boolean; readonly regexp?: { readonly fast_slash: boolean } };

/** Express 4 has `_router` once there is something in it, and throws on `router`, which is Express 5's. */
function layersOf(app: ExpressApp & { _router?: { stack: Layer[] }; router?: { stack: Layer[] } }): readonly Layer[] {
  // oxlint-disable-next-line no-underscore-dangle -- Express 4's own name
  return ('lazyrouter' in app ? app._router : app.router)?.stack ?? [];
}

/** Only those for all paths: a parser under `/api` never sees what is ours. */
function eatsBodies({ name, slash, regexp }: Layer): boolean {
  return /^(?:json|urlencoded|raw|text)Parser$/.test(name) && (slash === true || regexp?.fast_slash === true);
}
