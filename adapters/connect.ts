import type { Middleware, Registry } from 'artifactapi';
import { createRegistryMiddleware, type MountOptions } from 'artifactapi/node';

export type { MountOptions };

/** The part of a Connect app that the adapter uses. */
export interface ConnectApp {
  use(handler: Middleware): unknown;
  readonly stack: readonly { readonly route: string; readonly handle: unknown }[];
}

/**
 * Mounts the registry in a Connect app, in front of everything that is added later. Routes of the host are not affected.
 * @throws Error if the app already uses a parser of body-parser, which would consume the bodies of pushes. Other parsers are
 * detected at the first push, which fails with the same advice.
 */
export function mountRegistry(app: ConnectApp, registry: Registry, options: MountOptions = {}): void {
  const parser = app.stack.filter(({ route }) => route === '').find(({ handle }) => isBodyParser(handle));
  if (parser !== undefined)
    throw new Error('mount the registry in front of the body parsers: it reads the bodies itself');
  app.use(createRegistryMiddleware(registry, options));
}

function isBodyParser(handle: unknown): boolean {
  return typeof handle === 'function' && /^(?:json|urlencoded|raw|text)Parser$/.test(handle.name);
}
