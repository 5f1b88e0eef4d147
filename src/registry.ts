import type { EventEmitter } from 'node:events';
import { createHandler, type Middleware } from './http/handler.js';
import { createManagementSurface, createRegistrySurface } from './http/routes.js';
import { openRegistry } from './open-registry.js';
import { resolveOptions, type RegistryOptions } from './options.js';
import type { GarbageReport, RegistryEvents, RepositoryDirectory } from './ports.js';
import { RegistryLife } from './registry-life.js';
import { createRuntime } from './runtime.js';

/** A registry to mount. It opens its data folder at once, in the background; requests wait for it. */
export interface Registry {
  /** Takes exactly `<prefix>/v2` and what is under it, by the URL that the client sent; all else goes to `next()`. */
  readonly middleware: Middleware;
  /** Takes `/api/v1/…`, relative to where it is mounted. */
  readonly management: Middleware;
  /** Resolves when requests are served; rejects when the data folder cannot be opened, as every request then says by 503. */
  ready(): Promise<void>;
  readonly events: EventEmitter<RegistryEvents>;
  /** The repositories, once `ready()` has resolved. @throws Error before. */
  readonly repositories: RepositoryDirectory;
  /** Collects garbage now, in a pass that starts after the call. Calls that wait for a running pass share the next one. */
  collectGarbage(options?: { readonly dryRun?: boolean }): Promise<GarbageReport>;
  /** Ends background work and closes the stores. Stop the server first: requests fail from here on. */
  close(): Promise<void>;
}

/**
 * Makes a registry.
 * @throws OptionsError with every problem of the options at once.
 */
export function createRegistry(options: RegistryOptions): Registry {
  const resolved = resolveOptions(options);
  const runtime = createRuntime(resolved.logger);
  const life = new RegistryLife(openRegistry(resolved, runtime), runtime);
  const directory = (): RepositoryDirectory => life.parts.directory;
  const registrySurface = createRegistrySurface(resolved.prefix, () => life.parts);
  const managementSurface = createManagementSurface(
    () => life.parts,
    () => life.ready(),
    () => resolved.access === 'open',
  );
  return {
    middleware: createHandler(registrySurface, life, runtime),
    management: createHandler(managementSurface, life, runtime),
    ready: () => life.whenOpened(),
    events: runtime.events,
    get repositories() {
      return directory();
    },
    collectGarbage: async (collectOptions) => (await life.ready()).garbage.collect(collectOptions),
    close: () => life.close(),
  };
}
