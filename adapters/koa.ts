import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Registry } from 'artifactapi';
import { createRegistryMiddleware, type MountOptions } from 'artifactapi/node';

export type { MountOptions };

/** As much of a Koa app as is used here. */
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
 * Mounts the registry in a Koa app, in front of what comes later: body parsers too. Host routes go on as before. Middleware
 * before it sees the end of the response when its `next()` resolves, but no body.
 */
export function mountRegistry(app: KoaApp, registry: Registry, options: MountOptions = {}): void {
  const middleware = createRegistryMiddleware(registry, options);
  app.use(async (context, next) => {
    const { req, res } = context;
    // Koa and koa-mount keep the client's URL here alone, and the registry answers by it.
    req.originalUrl ??= context.originalUrl;
    let isOurs = true;
    middleware(req, res, () => (isOurs = false));
    if (!isOurs) return next();
    context.respond = false;
    if (!res.closed) await once(res, 'close');
    return undefined;
  });
}
