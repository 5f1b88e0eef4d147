import type { SharedParts } from '../shared-parts.js';
import type { Upstreams } from '../upstreams.js';
import type { JobRunner } from '../../operations/jobs.js';
import { daysUntilFull, forecastDays } from '../../operations/status/disk-forecast.js';
import { Problems } from '../../operations/status/problems.js';
import { RegistryFigures } from '../../operations/status/registry-figures.js';
import { createStorageSources } from '../../operations/status/storage-problems.js';
import { createWorkSources } from '../../operations/status/work-problems.js';
import type { Statistics } from '../../ports/operations/monitoring.js';
import type { QuotaAdministration } from '../../ports/metadata/quotas.js';
import type { RepositoryDirectory } from '../../ports/repository.js';
import type { StatusReader } from '../../ports/operations/status.js';
import type { Webhooks } from '../../ports/operations/webhooks.js';
import type { OnlineGarbageCollector } from '../../repositories/garbage/garbage-collector.js';
import type { Closers } from '../../util/closers.js';

/** The parts that the status reports on. */
export interface StatusParts extends SharedParts {
  readonly garbage: OnlineGarbageCollector;
  readonly jobs: JobRunner;
  readonly quotas: QuotaAdministration;
  readonly directory: RepositoryDirectory;
  readonly upstreams: Upstreams;
  readonly webhooks: Pick<Webhooks, 'list'>;
  readonly statistics: Statistics;
}

/** Creates the status of an open registry, and starts to count what an older release stored. */
export function openStatus(closers: Closers, parts: StatusParts): StatusReader {
  const { runtime, directory, garbage, jobs, upstreams, statistics, unguardedBlobs: blobs } = parts;
  const repositories = (): readonly string[] => directory.list().map(({ record }) => record.config.name);
  const lastCollection = async (): Promise<string | undefined> => {
    const [job] = await jobs.list({ kind: 'garbage', limit: 1 });
    return job?.finishedAt === undefined ? undefined : job.id;
  };
  const figures = new RegistryFigures({ ...parts, repositories, lastCollection });
  const problems = new Problems(runtime);
  problems.add(...createStorageSources({ ...parts, blobs }));
  problems.add(...createWorkSources({ ...parts, holds: garbage.holds, upstreams: () => upstreams.list() }));
  closers.add('figures of the status', () => figures.close());
  figures.countStored();
  return {
    figures: () => figures.read(),
    problems: () => problems.list(),
    daysUntilFull: async ({ freeBytes }) => {
      const now = runtime.now();
      // One more, because days begin at midnight.
      const samples = await statistics.read('day', now - (forecastDays + 1) * 86_400_000);
      const { storedBytes } = await figures.read();
      return daysUntilFull({ samples, now, freeBytes, storedBytes });
    },
    disk: async () => {
      const { freeBytes, totalBytes } = (await blobs.space?.()) ?? {};
      return freeBytes === undefined || totalBytes === undefined ? undefined : { freeBytes, totalBytes };
    },
  };
}
