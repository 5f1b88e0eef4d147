import type { JobRunner } from '../../operations/jobs.js';
import { SyncBook } from '../../operations/sync/sync-book.js';
import { createSyncJob } from '../../operations/sync/sync-job.js';
import { SyncSchedule } from '../../operations/sync/sync-schedule.js';
import type { MetadataStore } from '../../ports/metadata/metadata.js';
import type { RepositoryDirectory } from '../../ports/repository.js';
import type { Runtime } from '../../ports/runtime.js';
import type { LiveOptions } from '../../options/live-options.js';
import { follow } from '../../util/scheduling/follow.js';
import { Leases } from '../../util/scheduling/leases.js';
import { publicReasonOf } from '../failure-reason.js';
import type { Upstreams } from '../upstreams.js';

/** The dependencies of the syncs. */
export interface SyncsParts {
  readonly metadata: MetadataStore;
  readonly runtime: Runtime;
  readonly directory: RepositoryDirectory;
  readonly upstreams: Upstreams;
  readonly jobs: JobRunner;
}

/** Loads the syncs and registers their kind of job. The schedule is not started. */
export async function openSyncs(
  live: LiveOptions,
  parts: SyncsParts,
): Promise<{ readonly syncs: SyncBook; readonly schedule: SyncSchedule; readonly unfollow: () => Promise<void> }> {
  const { directory, upstreams, jobs, runtime } = parts;
  const syncs = await SyncBook.open({
    ...parts,
    declared: () => live.current.sync,
    now: () => runtime.now(),
    repository: (name) => directory.get(name)?.repository.config,
    job: (id) => jobs.get(id),
  });
  jobs.register(
    createSyncJob({
      book: syncs,
      runtime,
      repository: (name) => directory.get(name)?.repository,
      upstream: (name) => {
        const config = directory.get(name)?.repository.config;
        return config?.type === 'remote' ? upstreams.connect(config).upstream : undefined;
      },
      describeFailure: publicReasonOf,
    }),
  );
  const { shared } = parts.metadata;
  const leases = new Leases(shared);
  const unfollow = follow(shared, { kind: 'sync', reload: () => syncs.reload(), log: runtime.log });
  return { syncs, schedule: new SyncSchedule({ syncs, jobs, runtime, leases }), unfollow };
}
