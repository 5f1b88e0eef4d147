/**
 * The composition root: opens, connects and closes all parts of a registry, and reports its health. This file builds a
 * registry on open stores; `registry-life.ts` retries a failed open. It may import everything; only `registry.ts` and
 * the command import it.
 */
import { createLocalAccess } from '../access/local-access.js';
import { createOwnerAccess } from '../access/owner-access.js';
import { BackgroundCollection, collectByJob } from './background-collection.js';
import { HealthCheck } from './health-check.js';
import type { AuthenticateHost, Core } from '../http/core.js';
import { defaultPace } from '../http/limits/pace.js';
import { BodyReader } from '../http/bodies/body-reader.js';
import { LargeAnswers } from '../http/limits/large-answers.js';
import { createClientReader } from '../http/clients/client-info.js';
import { createOffload } from '../http/bodies/offload.js';
import { createPassthrough } from '../http/passthrough/passthrough.js';
import { RateLimiter } from '../http/limits/rate-limit.js';
import { createHostMatcher } from '../http/clients/web-pages.js';
import { optionsOfFolder, type FolderOwner } from './folder-owner.js';
import { blobsFolderOf, openStores, type Stores } from './open-stores.js';
import { Upstreams } from './upstreams.js';
import { publicReasonOf } from './failure-reason.js';
import { AuditFile } from '../operations/audit-file.js';
import { createGarbageJob } from '../operations/garbage-job.js';
import { JobRunner } from '../operations/jobs.js';
import type { ResolvedOptions } from '../options/options-schema.js';
import type { AccessAdministration, AccessControl } from '../ports/access.js';
import type { Archives } from '../ports/archives.js';
import type { MetadataStore } from '../ports/metadata.js';
import type { GarbageReport, Quarantine } from '../ports/garbage.js';
import type { Actor, Journal } from '../ports/journal.js';
import type { Repository } from '../ports/repository.js';
import type { Runtime } from '../ports/runtime.js';
import type { RepositoryConfig } from '../protocol/settings/repository-config.js';
import { Caches } from '../repositories/cache/caches.js';
import { Directory } from '../repositories/directory.js';
import { FinishedUploads } from '../repositories/local/finished-uploads.js';
import { roomMakingStore, TrashRoom } from '../repositories/garbage/trash-room.js';
import { OnlineGarbageCollector } from '../repositories/garbage/garbage-collector.js';
import type { LocalParts } from '../repositories/local/local-parts.js';
import { LocalRepository } from '../repositories/local/local-repository.js';
import { ListCache } from '../repositories/remote/list-cache.js';
import { PullCounts } from '../repositories/content/pull-counts.js';
import { ManifestCache } from '../repositories/content/manifest-cache.js';
import { BlobQuarantine, restoringStore } from '../repositories/garbage/quarantine.js';
import { PassthroughRepository } from '../repositories/passthrough/passthrough-repository.js';
import { discardLeftovers } from '../repositories/content/transient-staging.js';
import { checkStoredTypes } from '../repositories/stored-types.js';
import { VirtualRepository } from '../repositories/virtual/virtual-repository.js';
import { Closers } from '../util/closers.js';
import { KeyedMutex } from '../util/scheduling/concurrency.js';
import { CustomerCounts } from '../util/scheduling/customer-counts.js';

/** The parts of a registry whose stores are open. */
export interface OpenRegistry extends Core {
  readonly directory: Directory;
  readonly jobs: JobRunner;
  readonly journal: Journal;
  readonly health: HealthCheck;
  readonly quarantine: Quarantine;
  readonly administration: AccessAdministration | undefined;
  now(): number;
  collectGarbage(by: Actor, options?: { readonly dryRun?: boolean }): Promise<GarbageReport>;
  loadArchives(): Promise<Archives>;
  /** Stops background work and closes the data folder. @throws AggregateError if steps failed; all of them ran. */
  close(): Promise<void>;
}

/**
 * Opens the stores and creates the parts that use them. A failed attempt closes what it opened, but not stores that the host
 * passed in: the next attempt uses them again.
 * @param owner a command that opens the data folder to administer it: no one else has access.
 */
export async function openRegistry(
  given: ResolvedOptions,
  runtime: Runtime,
  owner?: FolderOwner,
): Promise<OpenRegistry> {
  const closers = new Closers();
  try {
    const stores = await openStores(given, runtime, closers);
    const options = owner?.isConfigured === false ? await optionsOfFolder(given, stores.metadata) : given;
    return await openOn(stores, closers, options, runtime, owner);
  } catch (error) {
    return closers.undo(error);
  }
}

async function openOn(
  stores: Stores,
  closers: Closers,
  options: ResolvedOptions,
  runtime: Runtime,
  owner: FolderOwner | undefined,
): Promise<OpenRegistry> {
  // This comes first, so that a registry that must not start changes nothing.
  await checkStoredTypes(options.repositories, stores.metadata);
  const audit = await openAudit(options, stores.metadata, runtime, owner);
  closers.add('audit file', () => audit?.close());
  const configured = await openAccessControl(options, stores.metadata, runtime);
  const access = owner === undefined ? configured : createOwnerAccess(configured, owner);
  closers.add('access control', () => access.close());
  const { graceSeconds, uploadExpirySeconds, orphanRetentionSeconds } = options.garbageCollection;
  const orphanRetentionMs = orphanRetentionSeconds * 1000;
  const manifests = new ManifestCache(options.maxManifestCacheBytes);
  const room = new TrashRoom({
    ...stores,
    runtime,
    graceMs: graceSeconds * 1000,
    collect: () => garbage.collect(),
  });
  const shared = {
    ...stores,
    blobs: roomMakingStore(restoringStore({ ...stores, runtime }), (bytes) => room.ensureRoom(bytes)),
    manifests,
    runtime,
    digestLocks: new KeyedMutex(),
  };
  const pullCounts = new PullCounts({ ...shared });
  closers.add('counts of pulls', () => pullCounts.close());
  const local: LocalParts = {
    ...shared,
    sessionLocks: new KeyedMutex(),
    finishedUploads: new FinishedUploads(() => runtime.now()),
    pullCounts,
    graceMs: graceSeconds * 1000,
    maxBlobBytes: options.limits.maxBlobBytes ?? Infinity,
  };
  const garbage: OnlineGarbageCollector = new OnlineGarbageCollector({
    ...local,
    ...stores,
    orphanRetentionMs,
    uploadExpiryMs: uploadExpirySeconds * 1000,
    onDeleted: (digest) => manifests.delete(digest),
  });
  const jobs = new JobRunner({ metadata: stores.metadata, runtime, describeFailure: publicReasonOf });
  jobs.register(createGarbageJob(garbage));
  await garbage.recover();
  await discardLeftovers({ ...stores, runtime });
  const instanceId = `artifactapi-${runtime.newId().slice(0, 8)}`;
  const lists = new ListCache();
  const caches = new Caches({
    ...shared,
    pullCounts,
    lists,
    repositories: () => directory.list().map(({ repository }) => repository),
    collect: () => garbage.collect(),
  });
  closers.add('caches', () => caches.close());
  const upstreams = new Upstreams(runtime, instanceId);
  closers.add('upstreams', () => upstreams.close());
  const create = (config: RepositoryConfig, before?: Repository): Repository => {
    if (config.type === 'local') return new LocalRepository(config, local);
    if (config.type === 'virtual') return new VirtualRepository(config, (name) => directory.get(name)?.repository);
    const { upstream, outgoing } = upstreams.connect(config);
    if (!config.cache)
      return new PassthroughRepository(config, { upstream, lists, outgoing, now: () => runtime.now() });
    return caches.create(config, upstream, before);
  };
  const background = new BackgroundCollection(garbage, jobs, runtime);
  const onDeleted = async (name: string): Promise<void> => {
    background.purge();
    await upstreams.forget(name);
  };
  const directory: Directory = await Directory.open(
    { ...options, declared: options.repositories },
    { metadata: stores.metadata, runtime, create, onDeleted },
  );
  closers.add('repositories', () => directory.close());
  // Closed before the repositories: a transfer would mistake the end of its connection for a failure of the upstream.
  closers.add('cache transfers', () => caches.stopTransfers());
  const passthrough = createPassthrough();
  closers.add('pass-through', () => passthrough.close());
  // Closed before the repositories: a closing eviction waits for the collection that it requested.
  closers.add('garbage collection', () => garbage.close());
  closers.add('jobs', () => jobs.close());
  closers.add('timers', () => background.stop());
  // A command that administers the folder does not go on with the work of the registry.
  if (owner === undefined) await jobs.open();
  background.start(options.garbageCollection.intervalSeconds);
  return {
    access,
    administration: access.administration,
    directory,
    jobs,
    journal: stores.metadata.journal,
    collectGarbage: (by, given) => collectByJob({ garbage, jobs }, by, given),
    health: new HealthCheck({ ...stores, runtime }),
    quarantine: new BlobQuarantine({ ...stores, runtime, orphanRetentionMs }),
    loadArchives: createArchiveLoader(),
    passthrough,
    audit,
    instanceId,
    uploadPace: { ...defaultPace, minBytesPerSecond: options.limits.minBytesPerSecond },
    downloadPace: { ...defaultPace, minBytesPerSecond: options.limits.minDownloadBytesPerSecond },
    bodies: new BodyReader(),
    answers: new LargeAnswers(),
    clients: new CustomerCounts(options.limits.maxConnectionsPerClient),
    rates: new RateLimiter(options.limits, () => runtime.now()),
    offload: createOffload({ ...options, blobsFolder: blobsFolderOf(options.storage) }),
    readClient: createClientReader(options),
    authenticateHost: authenticateHostOf(options),
    isKnownHost: createHostMatcher(options),
    now: () => runtime.now(),
    close: () => closers.close(),
  };
}

/** Returns a function that loads the code for archives on demand, because few registries need it and it slows down the start. */
function createArchiveLoader(): () => Promise<Archives> {
  let archives: Promise<Archives> | undefined;
  return () => (archives ??= import('../archives/archives.js').then(({ createArchives }) => createArchives()));
}

function authenticateHostOf({ access }: ResolvedOptions): AuthenticateHost | undefined {
  // The schema checks only that it is a function: zod cannot check its signature.
  return typeof access === 'string' ? undefined : (access.authenticate as AuthenticateHost | undefined);
}

/** A command that administers the folder writes no lines: the registry finds its changes in the journal. */
async function openAudit(
  { audit }: ResolvedOptions,
  { journal }: MetadataStore,
  runtime: Runtime,
  owner: FolderOwner | undefined,
): Promise<AuditFile | undefined> {
  return audit === undefined || owner !== undefined ? undefined : AuditFile.open(audit, { journal, runtime });
}

/** Opens access control. Loads the code for rules, tokens and passwords only if there are rules, for a faster start. */
async function openAccessControl(
  { access, prefix }: ResolvedOptions,
  metadata: MetadataStore,
  runtime: Runtime,
): Promise<AccessControl> {
  if (typeof access === 'string') return createLocalAccess(access);
  const { openAccess } = await import('../access/open-access.js');
  return openAccess(access, { metadata, runtime, prefix });
}
