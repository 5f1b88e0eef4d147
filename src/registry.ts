import { EventEmitter } from 'node:events';
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { createLocalAccess } from './access/local-access.js';
import { createHandler, type Core, type CoreSource, type Middleware } from './http/handler.js';
import { createManagementSurface, createRegistrySurface } from './http/routes.js';
import { resolveOptions, type RegistryOptions, type ResolvedOptions } from './options.js';
import type { BlobStore, GarbageReport, MetadataStore, RegistryEvents, RepositoryDirectory, Runtime } from './ports.js';
import { RegistryError } from './protocol/errors.js';
import { Directory } from './repositories/directory.js';
import { OnlineGarbageCollector } from './repositories/garbage-collector.js';
import { LocalRepository, type LocalParts } from './repositories/local.js';
import { ManifestCache } from './repositories/manifest-cache.js';
import { claimLayout } from './storage/layout.js';
import { FsBlobStore } from './storage/fs-blob-store.js';
import { LevelMetadataStore } from './storage/level-metadata-store.js';
import { KeyedMutex } from './util/concurrency.js';

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

interface OpenRegistry extends Core {
  readonly directory: Directory;
  readonly garbage: OnlineGarbageCollector;
  readonly blobs: BlobStore;
  readonly metadata: MetadataStore;
}

/**
 * Makes a registry; the only place that knows all parts.
 * @throws OptionsError with every problem of the options at once.
 */
export function createRegistry(options: RegistryOptions): Registry {
  const resolved = resolveOptions(options);
  const runtime = createRuntime(resolved);
  const opening = open(resolved, runtime);
  const state: { opened: OpenRegistry | undefined; timer: NodeJS.Timeout | undefined; closed: boolean } = {
    opened: undefined,
    timer: undefined,
    closed: false,
  };
  opening.then(
    (opened) => {
      state.opened = opened;
      if (!state.closed) state.timer = scheduleGarbageCollection(opened.garbage, resolved, runtime);
    },
    (cause: unknown) => runtime.log.error({ err: cause }, 'the registry could not be opened'),
  );
  const ready = async (): Promise<OpenRegistry> => {
    if (state.closed) throw new RegistryError('UNAVAILABLE', { message: 'the registry is closed' });
    return opening.catch((cause: unknown) => {
      throw new RegistryError('UNAVAILABLE', { message: 'the registry could not be opened: see its log', cause });
    });
  };
  const opened = (): OpenRegistry => {
    if (state.opened !== undefined) return state.opened;
    throw new Error('the registry is not ready: await registry.ready() first');
  };
  const source: CoreSource = {
    get opened() {
      return state.closed ? undefined : state.opened;
    },
    ready,
  };
  return {
    middleware: createHandler(
      createRegistrySurface(resolved.prefix, () => opened().directory),
      source,
      runtime,
    ),
    management: createHandler(
      createManagementSurface(opened, ready, () => resolved.access === 'open'),
      source,
      runtime,
    ),
    ready: async () => void (await opening),
    events: runtime.events,
    get repositories() {
      return opened().directory;
    },
    collectGarbage: async (collectOptions) => (await ready()).garbage.collect(collectOptions),
    close: async () => {
      if (state.closed) return;
      state.closed = true;
      clearInterval(state.timer);
      const registry = await opening.catch(() => undefined);
      await registry?.garbage.settled();
      await registry?.metadata.close();
      await registry?.blobs.close();
    },
  };
}

async function open(options: ResolvedOptions, runtime: Runtime): Promise<OpenRegistry> {
  const { blobs, metadata } = await openStores(options.storage);
  const manifests = new ManifestCache(options.manifestCacheMaxBytes);
  const parts: LocalParts = {
    blobs,
    metadata,
    manifests,
    runtime,
    digestLocks: new KeyedMutex(),
    sessionLocks: new KeyedMutex(),
    graceMs: options.garbageCollection.graceSeconds * 1000,
  };
  const garbage = new OnlineGarbageCollector({
    ...parts,
    uploadExpiryMs: options.garbageCollection.uploadExpirySeconds * 1000,
    onDeleted: (digest) => manifests.delete(digest),
  });
  await garbage.recover();
  const directory = await Directory.open(
    options.repositories,
    metadata,
    runtime,
    (config) => new LocalRepository(config, parts),
  );
  return { access: createLocalAccess(options.access), directory, garbage, blobs, metadata };
}

async function openStores(storage: ResolvedOptions['storage']): Promise<{ blobs: BlobStore; metadata: MetadataStore }> {
  if (typeof storage !== 'string') return storage;
  await mkdir(storage, { recursive: true });
  // The index first: its lock keeps a second process away from the blobs too.
  const metadata = await LevelMetadataStore.open(path.join(storage, 'index'));
  try {
    await claimLayout(storage);
    return { metadata, blobs: await FsBlobStore.open(storage) };
  } catch (error) {
    await metadata.close();
    throw error;
  }
}

function scheduleGarbageCollection(
  garbage: OnlineGarbageCollector,
  options: ResolvedOptions,
  runtime: Runtime,
): NodeJS.Timeout | undefined {
  const { intervalSeconds } = options.garbageCollection;
  if (intervalSeconds === 0) return undefined;
  const collect = (): void => {
    garbage.collect().catch((cause: unknown) => runtime.log.error({ err: cause }, 'garbage collection failed'));
  };
  return setInterval(collect, intervalSeconds * 1000).unref();
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
