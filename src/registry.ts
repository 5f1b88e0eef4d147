import type { EventEmitter } from 'node:events';
import { createHandler, type Middleware } from './http/handler.js';
import { Pipelines } from './http/limits/pipelines.js';
import { createManagementSurface, createRegistrySurface } from './http/routes.js';
import { openRegistry } from './composition/open-registry.js';
import { resolveOptions } from './options/resolve-options.js';
import type { RegistryOptions } from './options/generated/registry-options.js';
import type { GarbageReport } from './ports/garbage.js';
import type { HealthReport, RegistryEvents } from './ports/runtime.js';
import { RegistryLife } from './composition/registry-life.js';
import { viewRepositories, type Repositories } from './composition/repository-views.js';
import { createRuntime } from './composition/runtime.js';
import { countRefusals } from './composition/refusal-counts.js';
import { Closers } from './util/closers.js';

/**
 * A registry to mount. It opens its data folder at once, in the background, and requests wait for it. When that fails, requests
 * get 503 with the reason and `Retry-After`, and it tries again after 0.5 s, 1 s and so on up to 30 s, until it succeeds.
 */
export interface Registry {
  /** Takes exactly `<prefix>/v2` and what is under it, by the URL that the client sent; all else goes to `next()`. */
  readonly middleware: Middleware;
  /** Takes `/api/v1/…`, relative to where it is mounted. */
  readonly management: Middleware;
  /**
   * Resolves when requests are served. Waits for the attempt in progress; between two attempts it rejects with the failure of
   * the last one. After a later success it resolves.
   */
  ready(): Promise<void>;
  /**
   * Looks whether the registry works: writes to the index and to the data folder, at most once a second and for some seconds at
   * most. Never rejects.
   */
  health(): Promise<HealthReport>;
  readonly events: EventEmitter<RegistryEvents>;
  /** The repositories, once `ready()` has resolved. @throws Error before. */
  readonly repositories: Repositories;
  /** Collects garbage now, in a pass that starts after the call. Calls that wait for a running pass share the next one. */
  collectGarbage(options?: { readonly dryRun?: boolean }): Promise<GarbageReport>;
  /**
   * Ends background work and closes the stores, also while the registry is opening or between two attempts. Stop the server
   * first: requests fail from here on. Rejects with an AggregateError when steps failed; all of them ran.
   */
  close(): Promise<void>;
}

/**
 * Makes a registry.
 * @throws OptionsError with every problem of the options at once.
 */
export function createRegistry(options: RegistryOptions): Registry {
  return buildRegistry(options).registry;
}

/** A registry with its inner parts, which only tests may see. */
export function buildRegistry(options: RegistryOptions): { readonly registry: Registry; readonly life: RegistryLife } {
  const resolved = resolveOptions(options);
  const runtime = createRuntime(resolved.logger);
  const { storage } = resolved;
  const life = new RegistryLife({
    open: () => openRegistry(resolved, runtime),
    closeGivenStores: () => closeGivenStores(storage),
    runtime,
  });
  const readRefusals = countRefusals(runtime.events);
  const health = async (): Promise<HealthReport> => ({ ...(await life.health()), refusals: readRefusals() });
  const registrySurface = createRegistrySurface(resolved.prefix, () => life.parts);
  const managementSurface = createManagementSurface(
    () => life.parts,
    health,
    () => resolved.access === 'open',
  );
  const pipelines = new Pipelines((address) =>
    runtime.emit('client.refused', { reason: 'pipelined_requests', address }),
  );
  const registry: Registry = {
    middleware: createHandler(registrySurface, life, runtime, pipelines),
    management: createHandler(managementSurface, life, runtime, pipelines),
    ready: () => life.whenOpened(),
    health,
    events: runtime.events,
    get repositories() {
      return viewRepositories(life.parts.directory);
    },
    collectGarbage: async (collectOptions) => (await life.ready()).garbage.collect(collectOptions),
    close: () => life.close(),
  };
  return { registry, life };
}

async function closeGivenStores(storage: RegistryOptions['storage']): Promise<void> {
  if (typeof storage === 'string') return;
  const closers = new Closers();
  closers.add('index', () => storage.metadata.close());
  closers.add('blobs', () => storage.blobs.close());
  await closers.close();
}
