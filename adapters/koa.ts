import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Registry } from 'artifactapi';
import { createRegistryMiddleware, type MountOptions } from 'artifactapi/node';

export type { MountOptions };

/** The part of a Koa app that the adapter uses. */
export interface KoaApp {
  use(middleware: (context: KoaContext, next: () => Promise<unknown>) => Promise<unknown>): unknown;
}

interface KoaContext {
  readonly req: IncomingMessage & { originalUrl?: string };
  readonly res: ServerResponse;
  readonly originalUrl: string;
  respond?: boolean;
}

/**
 * Mounts the registry in a Koa app, in front of everything that is added later. Add body parsers after it. Routes of the
 * host are not affected. For earlier middleware, `next()` resolves at the end of the response, but `body` is not set.
 */
export function mountRegistry(app: KoaApp, registry: Registry, options: MountOptions = {}): void {
  const middleware = createRegistryMiddleware(registry, options);
  app.use(async (context, next) => {
    const { req, res } = context;
    // Koa and koa-mount keep the client's URL only here, and the registry needs it for the URLs in its answers.
    req.originalUrl ??= context.originalUrl;
    let isOurs = true;
    middleware(req, res, () => (isOurs = false));
    if (!isOurs) return next();
    context.respond = false;
    if (!res.closed) await once(res, 'close');
    return undefined;
  });
}
