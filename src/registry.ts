import type { EventEmitter } from 'node:events';
import { createHandler, type Middleware } from './http/handler.js';
import { createUi } from './http/ui-files.js';
import { Pipelines } from './http/limits/pipelines.js';
import { createManagementSurface, createRegistrySurface } from './http/routes.js';
import type { FolderOwner } from './composition/stores/folder-owner.js';
import { openRegistry } from './composition/open-registry.js';
import { compareResolved, optionReloading, refuseRestarts, type LiveOptions } from './options/live-options.js';
import { withAbsolutePaths } from './options/absolute-paths.js';
import { resolveOptions } from './options/resolve-options.js';
import type { ResolvedOptions } from './options/options-schema.js';
import { isBucketStorage, type ResolvedStorage } from './options/storage-schema.js';
import type { RegistryOptions } from './options/generated/registry-options.js';
import type { GarbageReport } from './ports/operations/garbage.js';
import type { Metrics } from './ports/operations/metrics.js';
import type { HealthReport, RegistryEvents, ReportRefusal, Runtime } from './ports/runtime.js';
import type { OptionChange, Reloading } from './protocol/settings/option-changes.js';
import { RegistryLife } from './composition/registry-life.js';
import { keepHooks } from './composition/open-hooks.js';
import { hostApp, viewRepositories, type Repositories } from './composition/repository-views.js';
import { createRuntime } from './composition/runtime.js';
import { Refusals } from './composition/operations/refusal-counts.js';
import { Closers } from './util/closers.js';
import { packageVersion } from './util/package-version.js';

/**
 * A registry to mount in a server. It starts to open its data folder at once, and requests wait until it is open. If opening
 * fails, requests get 503 with the reason and `Retry-After`. The registry retries after 0.5 s, 1 s and so on up to 30 s, until
 * it succeeds.
 */
export interface Registry {
  /**
   * Handles `<prefix>/v2` and all paths below it, in the URL that the client sent. Passes all other requests to
   * `next()`.
   */
  readonly middleware: Middleware;
  /** Handles `/api/v1/…`, relative to the path where it is mounted. */
  readonly management: Middleware;
  /**
   * Serves the web UI at `/ui/`, relative to the path where it is mounted: the same as for `management`, which the UI calls.
   * Passes all other requests to `next()`.
   */
  readonly ui: Middleware;
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
  /**
   * Returns the metrics in the text format of Prometheus, for an endpoint of the host. Waits until the registry is open.
   * @throws Error if the option `metrics` is off.
   */
  metrics(): Promise<string>;
  /** Emits the events of `RegistryEvents`. */
  readonly events: EventEmitter<RegistryEvents>;
  /** The repositories, once `ready()` has resolved. @throws Error before. */
  readonly repositories: Repositories;
  /**
   * Collects garbage in a pass that starts after the call. Calls during a running pass share the next one. `graceSeconds`
   * shortens the grace period for what deletes left; blobs of running pushes stay.
   */
  collectGarbage(options?: { readonly dryRun?: boolean; readonly graceSeconds?: number }): Promise<GarbageReport>;
  /**
   * Applies other options while the registry runs, and returns what changed. Takes all options, as `createRegistry` does. All
   * or nothing: a reload that throws changes nothing. Requests in progress finish with the previous options. Keeps the hooks
   * if `hooks` is absent; `hooks: {}` removes them.
   * @throws OptionsError with all problems, or with all options that only a restart can change; RegistryError UNAVAILABLE if
   * the registry is not open.
   */
  reload(options: RegistryOptions): Promise<readonly OptionChange[]>;
  /**
   * Stops background work and closes the stores, even while the registry is opening or between two attempts. Stop the server
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
  /** Waits until the registry is open. @throws Error if the option `metrics` is off. */
  readonly metrics: () => Promise<Metrics>;
  /** Like `Registry.reload`, together with options that the registry does not have. */
  readonly reload: (options: RegistryOptions, others?: OtherOptions) => Promise<readonly OptionChange[]>;
  readonly life: RegistryLife;
  readonly reportRefusal: ReportRefusal;
}

/** Changes of options that the registry does not have, such as those of the server. */
export interface OtherOptions {
  readonly changes: readonly OptionChange[];
  /** The effect of a reload on a change, by path. */
  readonly reloading: Readonly<Record<string, Reloading>>;
  /** Applies the changes. Called in the same turn of the event loop as those of the registry; must not throw. */
  commit(): void;
}

/**
 * Creates a registry and returns its internal parts too, for the command and for tests.
 * @param owner a command that opens the data folder to administer it: no one else has access.
 * @param reload reads the configuration again and applies it, for the management API. Absent: the API refuses to reload.
 */
export function buildRegistry(
  options: RegistryOptions,
  owner?: FolderOwner,
  reload?: () => Promise<readonly OptionChange[]>,
): BuiltRegistry {
  const folder = workingFolder();
  const resolve = (given: RegistryOptions): ResolvedOptions => withAbsolutePaths(resolveOptions(given), folder);
  const live: LiveOptions = { current: resolve(options) };
  const runtime = createRuntime(live.current.logger);
  const { storage, prefix } = live.current;
  const life: RegistryLife = new RegistryLife({
    open: () => openRegistry(live, runtime, () => life.running(), owner),
    closeGivenStores: () => closeGivenStores(storage),
    runtime,
  });
  const refusals = new Refusals(runtime);
  const health = async (): Promise<HealthReport> => ({ ...(await life.health()), refusals: refusals.counts() });
  const registrySurface = createRegistrySurface(prefix, () => life.parts);
  const managementSurface = createManagementSurface(() => life.parts, {
    health,
    reload,
    facts: { version: packageVersion(), prefix },
  });
  const reportRefusal = refusals.report;
  const pipelines = new Pipelines((address) => reportRefusal('pipelined_requests', address));
  const parts = { source: life, runtime, pipelines, reportRefusal };
  const reloadAll = createReload(live, resolve, life, runtime);
  const registry: Registry = {
    middleware: createHandler(registrySurface, parts),
    management: createHandler(managementSurface, parts),
    ui: createUi(),
    ready: () => life.whenOpened(),
    health,
    metrics: async () => (await loadMetrics(life)).getText(),
    events: runtime.events,
    get repositories() {
      return viewRepositories(life.parts.directory);
    },
    reload: (next) => reloadAll(next),
    collectGarbage: async (collectOptions) => (await life.ready()).collectGarbage(hostApp, collectOptions),
    close: () => life.close(),
  };
  return { registry, metrics: () => loadMetrics(life), reload: reloadAll, life, reportRefusal };
}

async function loadMetrics(life: RegistryLife): Promise<Metrics> {
  const { metrics } = await life.ready();
  if (metrics === undefined) throw new Error('metrics are off: set the option "metrics" to true');
  return metrics();
}

/** Returns the working directory. If it was deleted, returns `''`, with which only relative paths fail to resolve. */
function workingFolder(): string {
  try {
    return process.cwd();
  } catch {
    return '';
  }
}

/** Creates the function that applies other options, and logs what changed. */
function createReload(
  live: LiveOptions,
  resolve: (options: RegistryOptions) => ResolvedOptions,
  life: RegistryLife,
  runtime: Runtime,
): BuiltRegistry['reload'] {
  return async (options, others = { changes: [], reloading: {}, commit: () => undefined }) => {
    const next = keepHooks(resolve(options), live.current);
    let changes: readonly OptionChange[] = [];
    await life.reload(next, {
      isNeeded: () => {
        changes = [...compareResolved(live.current, next), ...others.changes];
        refuseRestarts(changes, { ...optionReloading, ...others.reloading });
        return changes.length > 0;
      },
      onChanged: () => others.commit(),
    });
    runtime.log.info({ changes }, 'configuration reloaded');
    return changes;
  };
}

async function closeGivenStores(storage: ResolvedStorage): Promise<void> {
  if (typeof storage === 'string' || isBucketStorage(storage)) return;
  const closers = new Closers();
  closers.add('index', () => storage.metadata.close());
  closers.add('blobs', () => storage.blobs.close());
  await closers.close();
}
