/**
 * The composition root: opens, connects and closes all parts of a registry, and reports its health. This file builds a
 * registry on open stores; `registry-life.ts` retries a failed open. It may import everything; only `registry.ts` and
 * the command import it.
 */
import { adoptOptions } from './adoption.js';
import { createArchiveLoader } from './stores/archive-loader.js';
import { BackgroundCollection, collectByJob } from './operations/background-collection.js';
import { CurrentAccess } from './current-access.js';
import { BackgroundRetention } from './operations/background-retention.js';
import { HealthCheck } from './health-check.js';
import { BodyReader } from '../http/bodies/body-reader.js';
import { LargeAnswers } from '../http/limits/large-answers.js';
import { createPassthrough } from '../http/passthrough/passthrough.js';
import { RateLimiter } from '../http/limits/rate-limit.js';
import { optionsOfFolder, type FolderOwner } from './stores/folder-owner.js';
import { addNumbers } from './operations/live-numbers.js';
import { registerContentJobs } from './operations/content-jobs.js';
import { createSharedParts, type Collection } from './shared-parts.js';
import type { OpenRegistry } from './open-parts.js';
import { openAudit } from './operations/open-audit.js';
import { openStores } from './stores/open-stores.js';
import { openStatus } from './operations/open-status.js';
import { openMetrics } from './operations/open-metrics.js';
import { timeStores, type TimedStores } from './stores/timed-stores.js';
import { openMonitoring } from './operations/open-monitoring.js';
import { openHooks } from './open-hooks.js';
import { openSyncs } from './operations/open-syncs.js';
import { openWebhooks } from './operations/open-webhooks.js';
import { partsOf } from './option-parts.js';
import { Upstreams } from './upstreams.js';
import { publicReasonOf } from './failure-reason.js';
import { policyFor } from '../operations/retention/retention-plan.js';
import { RetentionJob } from '../operations/retention/retention-job.js';
import { JobRunner } from '../operations/jobs.js';
import type { LiveOptions } from '../options/live-options.js';
import type { ResolvedOptions } from '../options/options-schema.js';
import { isBucketStorage } from '../options/storage-schema.js';
import type { ImageKey } from '../ports/metadata/images.js';
import type { AccessControl } from '../ports/access/access.js';
import type { Actor } from '../ports/metadata/journal.js';
import type { Repository } from '../ports/repository.js';
import type { RunningRequest, Runtime } from '../ports/runtime.js';
import type { PulledManifest } from '../ports/operations/webhooks.js';
import type { RepositoryConfig } from '../protocol/settings/repository-config.js';
import { StoredImageBrowser } from '../repositories/browse/image-browser.js';
import { Caches } from '../repositories/cache/caches.js';
import { Directory } from '../repositories/directory.js';
import { FinishedUploads } from '../repositories/local/finished-uploads.js';
import { OnlineGarbageCollector } from '../repositories/garbage/garbage-collector.js';
import type { LocalParts } from '../repositories/local/local-parts.js';
import { Quotas } from '../repositories/local/quota/quotas.js';
import { LocalRepository } from '../repositories/local/local-repository.js';
import { ListCache } from '../repositories/remote/list-cache.js';
import { PullCounts } from '../repositories/content/pull-counts.js';
import { PushLeases } from '../repositories/content/push-leases.js';
import { PassthroughRepository } from '../repositories/passthrough/passthrough-repository.js';
import { discardLeftovers } from '../repositories/content/transient-staging.js';
import { checkStoredTypes } from '../repositories/stored-types.js';
import { VirtualRepository } from '../repositories/virtual/virtual-repository.js';
import { endFilling } from '../storage/folder-stores.js';
import { Closers } from '../util/closers.js';
import { Leases } from '../util/scheduling/leases.js';
import { KeyedMutex } from '../util/scheduling/concurrency.js';
import { follow } from '../util/scheduling/follow.js';
import { CustomerCounts } from '../util/scheduling/customer-counts.js';

/**
 * Opens the stores and creates the parts that use them. A failed attempt closes what it opened, but not stores that the host
 * passed in: the next attempt uses them again.
 * @param owner a command that opens the data folder to administer it: no one else has access.
 */
export async function openRegistry(
  live: LiveOptions,
  runtime: Runtime,
  running: () => Iterable<RunningRequest>,
  owner?: FolderOwner,
): Promise<OpenRegistry> {
  const closers = new Closers();
  try {
    const opened = await openStores(live.current, runtime, closers);
    await endFilling(opened.metadata);
    const { metrics, storage } = live.current;
    const driver = isBucketStorage(storage) ? 's3' : typeof storage === 'string' ? 'filesystem' : 'custom';
    const stores = metrics && owner === undefined ? timeStores(opened, driver) : opened;
    if (owner?.isConfigured === false) live.current = await optionsOfFolder(live.current, stores.metadata);
    return await openOn(stores, closers, live, runtime, running, owner);
  } catch (error) {
    return closers.undo(error);
  }
}

async function openOn(
  stores: TimedStores,
  closers: Closers,
  live: LiveOptions,
  runtime: Runtime,
  running: () => Iterable<RunningRequest>,
  owner: FolderOwner | undefined,
): Promise<OpenRegistry> {
  const options = live.current;
  // This comes first, so that a registry that must not start changes nothing.
  await checkStoredTypes(options.repositories, stores.metadata);
  const audit = await openAudit(live, stores.metadata, runtime, owner);
  closers.add('audit file', () => audit?.close());
  const access = await CurrentAccess.open(options, { ...stores, runtime, owner });
  closers.add('access control', () => access.close());
  const collection: Collection = { collect: (options) => garbage.collect(options), isHeld: () => garbage.holds.isHeld };
  const { shared, pushedBlobs: blobs, onDeletedBytes } = createSharedParts(stores, live, runtime, collection);
  const pullCounts = new PullCounts({ ...shared });
  closers.add('counts of pulls', () => pullCounts.close());
  const hooks = openHooks(live, { ...shared, pullCounts, find: (name) => directory.get(name)?.repository });
  const sessionLocks = new KeyedMutex();
  const leases = new PushLeases(() => runtime.now());
  const finishedUploads = new FinishedUploads(() => runtime.now());
  const quotas: Quotas = new Quotas({
    ...shared,
    declared: () => live.current.quotas,
    onReached: (reached) => webhooks.onQuotaReached(reached),
    configs: () => directory.list().map(({ record }) => record.config),
  });
  const uploads = { sessionLocks, finishedUploads, leases };
  const local: LocalParts = addNumbers({ ...shared, blobs, ...uploads, pullCounts, quotas, hooks }, live);
  const garbage: OnlineGarbageCollector = new OnlineGarbageCollector(
    addNumbers({ ...shared, ...stores, sessionLocks, leases, onDeleted: onDeletedBytes }, live),
  );
  const jobs = new JobRunner({ metadata: stores.metadata, runtime, describeFailure: publicReasonOf });
  registerContentJobs(jobs, { garbage, shared, live, imports: { blobs, gate: { hooks, quotas } } });
  const configs = (): readonly RepositoryConfig[] => directory.list().map(({ record }) => record.config);
  const policies = { settings: () => live.current.retention, repositories: configs };
  const retention = new RetentionJob({ ...stores, runtime, hooks, ...policies });
  jobs.register(retention);
  await garbage.recover();
  await discardLeftovers({ ...stores, runtime });
  const instanceId = `artifactapi-${runtime.newId().slice(0, 8)}`;
  const lists = new ListCache();
  const caches = new Caches({
    ...shared,
    pullCounts,
    lists,
    repositories: () => directory.list().map(({ repository }) => repository),
    ...collection,
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
  const turns = new Leases(stores.metadata.shared);
  const background = new BackgroundCollection(garbage, jobs, runtime, turns);
  const scheduled = new BackgroundRetention(jobs, () => live.current.retention, runtime, turns);
  const onDeleted = async (name: string): Promise<void> => {
    background.purge();
    await upstreams.forget(name);
  };
  const directory: Directory = await Directory.open(
    { ...options, declared: options.repositories },
    { metadata: stores.metadata, runtime, create, onDeleted, onUndeclared: (name) => upstreams.retire(name) },
  );
  closers.add('repositories', () => directory.close());
  const { shared: sharing } = stores.metadata;
  const followed = { kind: 'repository', reload: () => directory.refresh(), log: runtime.log };
  closers.add('changes of repositories', follow(sharing, followed));
  closers.add('purges of caches', caches.followPurges());
  // Closed before the repositories: a transfer would mistake the end of its connection for a failure of the upstream.
  closers.add('cache transfers', () => caches.stopTransfers());
  const passthrough = createPassthrough();
  closers.add('pass-through', () => passthrough.close());
  // Closed before the repositories: a closing eviction waits for the collection that it requested.
  closers.add('garbage collection', () => garbage.close());
  closers.add('jobs', () => jobs.close());
  closers.add('timers', () => {
    background.stop();
    scheduled.stop();
  });
  const { syncs, schedule, unfollow } = await openSyncs(live, { ...stores, runtime, directory, upstreams, jobs });
  closers.add('changes of syncs', unfollow);
  closers.add('schedule of syncs', () => schedule.stop());
  const webhooks = await openWebhooks(live, { ...stores, runtime, instanceId });
  closers.add('webhooks', () => webhooks.close());
  // A command that administers the folder does not continue the work of the registry.
  if (owner === undefined) await jobs.open();
  if (owner === undefined) schedule.start();
  if (owner === undefined) await webhooks.start();
  const webhooksFollowed = { kind: 'webhook', reload: () => webhooks.reload(), log: runtime.log };
  closers.add('changes of webhooks', follow(sharing, webhooksFollowed));
  background.start(options.garbageCollection.intervalSeconds);
  scheduled.start();
  const isActive = owner === undefined;
  const monitoring = openMonitoring({ ...stores, runtime, directory, pullCounts, isActive }, closers);
  const { statistics } = monitoring;
  const status = openStatus(closers, { ...shared, garbage, jobs, quotas, directory, upstreams, webhooks, statistics });
  const sources = { runtime, running, timings: stores.timings, status, jobs, upstreams: () => upstreams.list() };
  const metrics = openMetrics(options.metrics && isActive, closers, sources);
  const stable = {
    directory,
    browser: new StoredImageBrowser({ ...stores, runtime }),
    ...monitoring,
    jobs,
    readPlan: (job: string) => retention.plan(job),
    syncs,
    webhooks,
    onPulled: (pulled: PulledManifest) => webhooks.onPulled(pulled),
    quotas,
    policyFor: (at: ImageKey) => policyFor(live.current.retention?.policies ?? [], at),
    retentionPolicies: () => live.current.retention?.policies ?? [],
    journal: stores.metadata.journal,
    collectGarbage: (by: Actor, given?: { readonly dryRun?: boolean }) => collectByJob({ garbage, jobs }, by, given),
    health: new HealthCheck({ ...stores, runtime }),
    damage: shared.damage,
    quarantine: shared.quarantine,
    status,
    metrics,
    loadArchives: createArchiveLoader(),
    passthrough,
    hooks,
    audit,
    instanceId,
    bodies: new BodyReader(),
    answers: new LargeAnswers(),
    clients: new CustomerCounts(() => live.current.limits.maxConnectionsPerClient),
    now: () => runtime.now(),
    close: () => closers.close(),
  };
  const reload = { live, runtime, access, background, directory, webhooks };
  const assemble = (next: ResolvedOptions, control: AccessControl, rates: RateLimiter): OpenRegistry => ({
    ...stable,
    ...partsOf(next, control),
    rates,
    adopt: (following, adoption) => adoptOptions(following, adoption, { ...reload, rates, assemble }),
  });
  const rates = new RateLimiter(options.limits, () => runtime.now());
  return assemble(options, access.current, rates);
}
