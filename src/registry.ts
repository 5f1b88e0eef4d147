import { EventEmitter } from 'node:events';
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { createLocalAccess } from './access/local-access.js';
import { createHandler, type Core, type CoreSource, type Middleware } from './http/handler.js';
import { createPassthrough } from './http/passthrough.js';
import { createManagementSurface, createRegistrySurface } from './http/routes.js';
import { resolveOptions, type RegistryOptions, type ResolvedOptions } from './options.js';
import type {
  BlobStore,
  GarbageReport,
  MetadataStore,
  RegistryEvents,
  Repository,
  RepositoryDirectory,
  Runtime,
  Upstream,
} from './ports.js';
import { RegistryError } from './protocol/errors.js';
import { isDockerHub, toRegistryUrl } from './protocol/docker-hub.js';
import type { RemoteRepositoryConfig, RepositoryConfig } from './protocol/repository-config.js';
import { CacheEviction } from './repositories/cache-eviction.js';
import { CacheFills, discardLeftovers } from './repositories/cache-fill.js';
import { Directory } from './repositories/directory.js';
import { OnlineGarbageCollector } from './repositories/garbage-collector.js';
import { LocalRepository, type LocalParts } from './repositories/local.js';
import { ManifestCache } from './repositories/manifest-cache.js';
import { RemoteContext } from './repositories/remote-context.js';
import { PassthroughRepository } from './repositories/remote-passthrough.js';
import { RemoteRepository } from './repositories/remote.js';
import { TouchLog } from './repositories/touch-log.js';
import { VirtualRepository } from './repositories/virtual.js';
import { claimLayout } from './storage/layout.js';
import { FsBlobStore } from './storage/fs-blob-store.js';
import { LevelMetadataStore } from './storage/level-metadata-store.js';
import { createUpstream } from './upstream/upstream-client.js';
import { KeyedMutex } from './util/concurrency.js';
import { findOutgoingProxy } from './util/outgoing-proxy.js';

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
  /** Reclaims space now. A second call while one runs joins it. */
  collectGarbage(options?: { readonly dryRun?: boolean }): Promise<GarbageReport>;
  /** Ends background work and closes the stores. Stop the server first: requests fail from here on. */
  close(): Promise<void>;
}

interface Stores {
  readonly blobs: BlobStore;
  readonly metadata: MetadataStore;
}

interface OpenRegistry extends Core {
  readonly directory: Directory;
  readonly garbage: OnlineGarbageCollector;
  /** Ends background work and closes the stores. */
  close(): Promise<void>;
}

/** How long `close` waits for requests that still unwind. */
const closePatienceMs = 5000;

/**
 * Makes a registry; the only place that knows all parts.
 * @throws OptionsError with every problem of the options at once.
 */
export function createRegistry(options: RegistryOptions): Registry {
  const resolved = resolveOptions(options);
  const runtime = createRuntime(resolved);
  const life = new RegistryLife(open(resolved, runtime), runtime);
  const directory = (): RepositoryDirectory => life.parts.directory;
  const registrySurface = createRegistrySurface(resolved.prefix, directory);
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

/** From opening to closing: what requests wait for, and what waits for them. */
class RegistryLife implements CoreSource {
  readonly #opening: Promise<OpenRegistry>;
  readonly #inFlight = new Set<Promise<void>>();
  #opened: OpenRegistry | undefined;
  #closing: Promise<void> | undefined;

  constructor(opening: Promise<OpenRegistry>, runtime: Runtime) {
    this.#opening = opening;
    opening.then(
      (opened) => (this.#opened = opened),
      (cause: unknown) => runtime.log.error({ err: cause }, 'the registry could not be opened'),
    );
  }

  get opened(): OpenRegistry | undefined {
    return this.#closing === undefined ? this.#opened : undefined;
  }

  /** For those who know that it is open. */
  get parts(): OpenRegistry {
    if (this.#opened !== undefined) return this.#opened;
    throw new Error('the registry is not ready: await registry.ready() first');
  }

  async whenOpened(): Promise<void> {
    await this.#opening;
  }

  async ready(): Promise<OpenRegistry> {
    if (this.#closing !== undefined) throw new RegistryError('UNAVAILABLE', { message: 'the registry is closed' });
    try {
      return await this.#opening;
    } catch (cause) {
      throw new RegistryError('UNAVAILABLE', { message: 'the registry could not be opened: see its log', cause });
    }
  }

  track(answered: Promise<void>): void {
    this.#inFlight.add(answered);
    void answered.finally(() => this.#inFlight.delete(answered));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const registry = await this.#opening.catch(() => undefined);
    if (registry === undefined) return;
    await Promise.race([Promise.all(this.#inFlight), setTimeout(closePatienceMs, undefined, { ref: false })]);
    await registry.close();
  }
}

async function open(options: ResolvedOptions, runtime: Runtime): Promise<OpenRegistry> {
  const stores = await openStores(options.storage);
  const closeStores = async (): Promise<void> => {
    await stores.metadata.close();
    await stores.blobs.close();
  };
  try {
    return await openOn(stores, closeStores, options, runtime);
  } catch (error) {
    await closeStores();
    throw error;
  }
}

async function openOn(
  stores: Stores,
  closeStores: () => Promise<void>,
  options: ResolvedOptions,
  runtime: Runtime,
): Promise<OpenRegistry> {
  const { graceSeconds, uploadExpirySeconds } = options.garbageCollection;
  const manifests = new ManifestCache(options.manifestCacheMaxBytes);
  const shared = { ...stores, manifests, runtime, digestLocks: new KeyedMutex() };
  const local: LocalParts = { ...shared, sessionLocks: new KeyedMutex(), graceMs: graceSeconds * 1000 };
  const garbage = new OnlineGarbageCollector({
    ...local,
    uploadExpiryMs: uploadExpirySeconds * 1000,
    onDeleted: (digest) => manifests.delete(digest),
  });
  await garbage.recover();
  await discardLeftovers(stores.blobs);
  const instanceId = `artifactapi-${runtime.newId().slice(0, 8)}`;
  const onDiskFull = async (): Promise<void> => {
    for (const { repository } of directory.list()) await repository.makeRoom?.();
  };
  const fills = new CacheFills({ ...shared, onDiskFull });
  const touches = new TouchLog({ ...stores, runtime });
  const create = (config: RepositoryConfig): Repository => {
    if (config.type === 'local') return new LocalRepository(config, local);
    if (config.type === 'virtual') return new VirtualRepository(config, (name) => directory.get(name)?.repository);
    const upstream = connectUpstream(config, instanceId, runtime);
    if (!config.cache) return new PassthroughRepository(config, { upstream, findProxy: proxyFinder(config) });
    const eviction = new CacheEviction({ ...stores, runtime, touches, collect: () => garbage.collect() }, config);
    return new RemoteRepository(new RemoteContext(config, upstream, eviction, { ...shared, fills, touches }));
  };
  const directory: Directory = await Directory.open(
    { ...options, declared: options.repositories },
    stores.metadata,
    runtime,
    create,
  );
  const passthrough = createPassthrough();
  const stopCollecting = collectInBackground(garbage, options, runtime);
  const close = async (): Promise<void> => {
    stopCollecting();
    await fills.close();
    await directory.close();
    passthrough.close();
    await touches.close();
    await garbage.close();
    await closeStores();
  };
  return { access: createLocalAccess(options.access), directory, garbage, passthrough, instanceId, close };
}

function connectUpstream(config: RemoteRepositoryConfig, instanceId: string, runtime: Runtime): Upstream {
  return createUpstream({
    url: toRegistryUrl(config.url),
    credentials: config.credentials,
    dockerHub: isDockerHub(config.url),
    connectTimeoutMs: config.connectTimeoutSeconds * 1000,
    responseTimeoutMs: config.responseTimeoutSeconds * 1000,
    ca: config.ca,
    proxy: config.proxy,
    instanceId,
    log: runtime.log,
    now: () => runtime.now(),
  });
}

function proxyFinder({ proxy }: RemoteRepositoryConfig): (url: URL) => string | undefined {
  return (url) => proxy ?? findOutgoingProxy(url, process.env);
}

async function openStores(storage: ResolvedOptions['storage']): Promise<Stores> {
  if (typeof storage !== 'string') return storage;
  await mkdir(storage, { recursive: true });
  await claimLayout(storage);
  // The index before the blobs: its lock keeps a second process away from both.
  const metadata = await LevelMetadataStore.open(path.join(storage, 'index'));
  try {
    return { metadata, blobs: await FsBlobStore.open(storage) };
  } catch (error) {
    await metadata.close();
    throw error;
  }
}

/** Purges deleted repositories at once, and collects from time to time. Returns what ends that. */
function collectInBackground(garbage: OnlineGarbageCollector, options: ResolvedOptions, runtime: Runtime): () => void {
  const attempt = (work: () => Promise<unknown>, failure: string) => (): void => {
    work().catch((cause: unknown) => runtime.log.error({ err: cause }, failure));
  };
  const purge = attempt(() => garbage.purge(), 'a deleted repository could not be purged');
  const collect = attempt(() => garbage.collect(), 'garbage collection failed');
  purge();
  runtime.events.on('repository.deleted', purge);
  const { intervalSeconds } = options.garbageCollection;
  const timer = intervalSeconds === 0 ? undefined : setInterval(collect, intervalSeconds * 1000).unref();
  return () => {
    runtime.events.off('repository.deleted', purge);
    clearInterval(timer);
  };
}

function createRuntime({ logger }: ResolvedOptions): Runtime {
  const events = new EventEmitter<RegistryEvents>();
  return {
    now: Date.now,
    newId: randomUUID,
    log: logger,
    events,
    emit: (name, ...payload) => {
      try {
        // EventEmitter's own types lose the pairing of name and payload, which this function's signature has checked.
        (events as EventEmitter).emit(name, ...payload);
      } catch (cause) {
        logger.error({ err: cause, event: name }, 'a listener threw');
      }
    },
  };
}
