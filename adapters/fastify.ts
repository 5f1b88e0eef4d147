import { posix } from 'node:path';
import type { FastifyPluginCallback } from 'fastify';
import { managementRoots, type Registry } from 'artifactapi';
import { createRegistryMiddleware, type MountOptions } from 'artifactapi/node';

export type { MountOptions };

/** The part of a Fastify instance that the adapter uses: the root, or a plugin, whose prefix then applies to the registry. */
export interface FastifyApp {
  /** `never`: TypeScript 7 refuses a real instance where the parameter has the type of a plugin. */
  register(plugin: never): unknown;
}

/** Mounts the registry in a Fastify app. Hooks of the host run before it. Routes and parsers of the host are not affected. */
export function mountRegistry(app: FastifyApp, registry: Registry, mount: MountOptions = {}): void {
  const { management: place, ui } = mount;
  const plugin: FastifyPluginCallback = (scope, _options, ready) => {
    // Only in this scope: the registry reads bodies of every type itself.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, _body, done) => done(null));
    const options = place === undefined ? mount : { ...mount, management: scope.prefix + place };
    const middleware = createRegistryMiddleware(registry, options);
    const roots =
      place === undefined
        ? []
        : [...managementRoots, ...(ui === true ? ['/ui'] : [])].map((root) => posix.join(place, root));
    for (const path of ['/v2', ...roots].flatMap((root) => [root, `${root}/*`])) {
      scope.all(path, ({ raw }, reply) => {
        let isOurs = true;
        // Those that hooks of the host set, such as security headers: a hijacked reply does not send them.
        for (const [name, value = ''] of Object.entries(reply.getHeaders())) reply.raw.setHeader(name, value);
        middleware(raw, reply.raw, () => (isOurs = false));
        if (isOurs) reply.hijack();
        else reply.callNotFound();
      });
    }
    ready();
  };
  app.register(plugin as never);
}
