import { createLocalAccess } from './access/local-access.js';
import { exportArchive } from './archives/archive-export.js';
import { importArchive } from './archives/archive-import.js';
import type { Core } from './http/handler.js';
import { defaultPace } from './http/body-pace.js';
import { createClientReader } from './http/client-info.js';
import { createOffload } from './http/offload.js';
import { createPassthrough } from './http/passthrough.js';
import { RateLimiter } from './http/rate-limit.js';
import { blobsFolderOf, openStores, type Stores } from './open-stores.js';
import type { ResolvedOptions } from './options.js';
import type {
  AccessAdministration,
  AccessControl,
  Archives,
  MetadataStore,
  Repository,
  Runtime,
  Upstream,
} from './ports.js';
import { isDockerHub, toRegistryUrl } from './protocol/docker-hub.js';
import type { RemoteRepositoryConfig, RepositoryConfig } from './protocol/repository-config.js';
import { CacheEviction } from './repositories/cache-eviction.js';
import { CacheFills } from './repositories/cache-fill.js';
import { Directory } from './repositories/directory.js';
import { FinishedUploads } from './repositories/finished-uploads.js';
import { OnlineGarbageCollector } from './repositories/garbage-collector.js';
import { LocalRepository, type LocalParts } from './repositories/local.js';
import { ManifestCache } from './repositories/manifest-cache.js';
import { RemoteContext } from './repositories/remote-context.js';
import { PassthroughRepository } from './repositories/remote-passthrough.js';
import { RemoteRepository } from './repositories/remote.js';
import { discardLeftovers } from './repositories/staged-leftovers.js';
import { checkStoredTypes } from './repositories/stored-types.js';
import { TouchLog } from './repositories/touch-log.js';
import { VirtualRepository } from './repositories/virtual.js';
import { createUpstream } from './upstream/upstream-client.js';
import { KeyedMutex } from './util/concurrency.js';
import { findOutgoingProxy } from './util/outgoing-proxy.js';

/** A registry whose stores are open. */
export interface OpenRegistry extends Core {
  readonly directory: Directory;
  readonly garbage: OnlineGarbageCollector;
  readonly administration: AccessAdministration | undefined;
  now(): number;
  readonly archives: Archives;
  /** Ends background work and closes the stores. */
  close(): Promise<void>;
}

/** Opens the stores and builds everything that works on them. A failed attempt closes what it has opened. */
export async function openRegistry(options: ResolvedOptions, runtime: Runtime): Promise<OpenRegistry> {
  const stores = await openStores(options, runtime);
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
  // First of all: a registry that must not start changes nothing.
  await checkStoredTypes(options.repositories, stores.metadata);
  const access = await openAccessControl(options, stores.metadata, runtime);
  const { graceSeconds, uploadExpirySeconds } = options.garbageCollection;
  const manifests = new ManifestCache(options.manifestCacheMaxBytes);
  const shared = { ...stores, manifests, runtime, digestLocks: new KeyedMutex() };
  const local: LocalParts = {
    ...shared,
    sessionLocks: new KeyedMutex(),
    finishedUploads: new FinishedUploads(() => runtime.now()),
    graceMs: graceSeconds * 1000,
    blobMaxBytes: options.limits.blobMaxBytes ?? Infinity,
  };
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
    if (!config.cache)
      return new PassthroughRepository(config, {
        upstream,
        findProxy: (url) => config.proxy ?? findOutgoingProxy(url, process.env),
      });
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
    // First: an eviction that closes waits for the pass that it asked for.
    await garbage.close();
    await fills.close();
    await directory.close();
    passthrough.close();
    await touches.close();
    await access.close();
    await closeStores();
  };
  return {
    access,
    administration: access.administration,
    directory,
    garbage,
    archives: { import: importArchive, export: exportArchive },
    passthrough,
    instanceId,
    pace: { ...defaultPace, minBytesPerSecond: options.limits.minBytesPerSecond },
    rates: new RateLimiter(options.limits, () => runtime.now()),
    offload: createOffload({ ...options, blobsFolder: blobsFolderOf(options.storage) }),
    readClient: createClientReader(options),
    now: () => runtime.now(),
    close,
  };
}

/** What rules need, tokens and passwords, is loaded where there are rules: a start without them is that much shorter. */
async function openAccessControl(
  { access, prefix }: ResolvedOptions,
  metadata: MetadataStore,
  runtime: Runtime,
): Promise<AccessControl> {
  if (typeof access === 'string') return createLocalAccess(access);
  const { openAccess } = await import('./access/open-access.js');
  return openAccess(access, { metadata, runtime, prefix });
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
