import type { EventEmitter } from 'node:events';
import { createHandler, type Middleware } from './http/handler.js';
import { Pipelines } from './http/limits/pipelines.js';
import { createManagementSurface, createRegistrySurface } from './http/routes.js';
import type { FolderOwner } from './composition/folder-owner.js';
import { openRegistry } from './composition/open-registry.js';
import { resolveOptions } from './options/resolve-options.js';
import type { RegistryOptions } from './options/generated/registry-options.js';
import type { GarbageReport } from './ports/garbage.js';
import type { HealthReport, RegistryEvents, ReportRefusal } from './ports/runtime.js';
import { RegistryLife } from './composition/registry-life.js';
import { hostApp, viewRepositories, type Repositories } from './composition/repository-views.js';
import { createRuntime } from './composition/runtime.js';
import { Refusals } from './composition/refusal-counts.js';
import { Closers } from './util/closers.js';

/**
 * A registry to mount in a server. It starts to open its data folder at once, and requests wait until it is open. If opening
 * fails, requests get 503 with the reason and `Retry-After`. The registry retries after 0.5 s, 1 s and so on up to 30 s, until
 * it succeeds.
 */
export interface Registry {
  /** Handles `<prefix>/v2` and all paths below it, in the URL that the client sent. Passes all other requests to `next()`. */
  readonly middleware: Middleware;
  /** Handles `/api/v1/…`, relative to the path where it is mounted. */
  readonly management: Middleware;
  /**
   * Resolves when the registry is open. Waits for the attempt in progress. Between two attempts, rejects with the error of the
   * last one; call it again to wait for the next.
   */
  ready(): Promise<void>;
  /**
   * Checks whether the registry works, by writing to the index and to the data folder. Never rejects. Checks at most once a
   * second, and returns after a few seconds at the latest.
   */
  health(): Promise<HealthReport>;
  /** Emits the events of `RegistryEvents`. */
  readonly events: EventEmitter<RegistryEvents>;
  /** The repositories, once `ready()` has resolved. @throws Error before. */
  readonly repositories: Repositories;
  /** Collects garbage in a pass that starts after the call. Calls during a running pass share the next one. */
  collectGarbage(options?: { readonly dryRun?: boolean }): Promise<GarbageReport>;
  /**
   * Stops background work and closes the stores, also while the registry is opening or between two attempts. Stop the server
   * first, because requests fail from now on. Rejects with an AggregateError if steps failed; all of them ran.
   */
  close(): Promise<void>;
}

/**
 * Creates a registry.
 * @throws OptionsError with all problems of the options.
 */
export function createRegistry(options: RegistryOptions): Registry {
  return buildRegistry(options).registry;
}

/** A registry with its internal parts. */
export interface BuiltRegistry {
  readonly registry: Registry;
  readonly life: RegistryLife;
  readonly reportRefusal: ReportRefusal;
}

/**
 * Creates a registry and returns its internal parts too, for the command and for tests.
 * @param owner a command that opens the data folder to administer it: no one else has access.
 */
export function buildRegistry(options: RegistryOptions, owner?: FolderOwner): BuiltRegistry {
  const resolved = resolveOptions(options);
  const runtime = createRuntime(resolved.logger);
  const { storage } = resolved;
  const life = new RegistryLife({
    open: () => openRegistry(resolved, runtime, owner),
    closeGivenStores: () => closeGivenStores(storage),
    runtime,
  });
  const refusals = new Refusals(runtime);
  const health = async (): Promise<HealthReport> => ({ ...(await life.health()), refusals: refusals.counts() });
  const registrySurface = createRegistrySurface(resolved.prefix, () => life.parts);
  const managementSurface = createManagementSurface(
    () => life.parts,
    health,
    () => owner === undefined && resolved.access === 'open',
  );
  const reportRefusal = refusals.report;
  const pipelines = new Pipelines((address) => reportRefusal('pipelined_requests', address));
  const parts = { source: life, runtime, pipelines, reportRefusal };
  const registry: Registry = {
    middleware: createHandler(registrySurface, parts),
    management: createHandler(managementSurface, parts),
    ready: () => life.whenOpened(),
    health,
    events: runtime.events,
    get repositories() {
      return viewRepositories(life.parts.directory);
    },
    collectGarbage: async (collectOptions) => (await life.ready()).collectGarbage(hostApp, collectOptions),
    close: () => life.close(),
  };
  return { registry, life, reportRefusal };
}

async function closeGivenStores(storage: RegistryOptions['storage']): Promise<void> {
  if (typeof storage === 'string') return;
  const closers = new Closers();
  closers.add('index', () => storage.metadata.close());
  closers.add('blobs', () => storage.blobs.close());
  await closers.close();
}
