import { posix } from 'node:path';
import type { FastifyPluginCallback } from 'fastify';
import { managementRoots, type Registry } from 'artifactapi';
import { createRegistryMiddleware, type MountOptions } from 'artifactapi/node';

export type { MountOptions };

/** As much of a Fastify instance as is used here: of the root, or of a plugin, whose prefix is the registry's then. */
export interface FastifyApp {
  register(plugin: FastifyPluginCallback): unknown;
}

/** Mounts the registry in a Fastify app. The host's hooks run before it; its other routes and its parsers go on as before. */
export function mountRegistry(app: FastifyApp, registry: Registry, { management: place }: MountOptions = {}): void {
  app.register((scope, _options, ready) => {
    // In this scope alone: bodies of any type are left to the registry, which reads them itself.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, _body, done) => done(null));
    const options = place === undefined ? {} : { management: scope.prefix + place };
    const middleware = createRegistryMiddleware(registry, options);
    const roots = place === undefined ? [] : managementRoots.map((root) => posix.join(place, root));
    for (const path of ['/v2', ...roots].flatMap((root) => [root, `${root}/*`])) {
      scope.all(path, ({ raw }, reply) => {
        let isOurs = true;
        middleware(raw, reply.raw, () => (isOurs = false));
        if (isOurs) reply.hijack();
        else reply.callNotFound();
      });
    }
    ready();
  });
}
