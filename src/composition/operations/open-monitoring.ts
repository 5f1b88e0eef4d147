import type { Stores } from '../stores/open-stores.js';
import { RequestRing } from '../../operations/monitoring/recent-requests.js';
import type { StoredFigures, Totals } from '../../operations/monitoring/sample-sums.js';
import { Sampler } from '../../operations/monitoring/sampler.js';
import type { RecentRequests, Statistics } from '../../ports/operations/monitoring.js';
import type { RepositoryDirectory } from '../../ports/repository.js';
import type { Runtime } from '../../ports/runtime.js';
import type { PullCounts } from '../../repositories/content/pull-counts.js';
import { countRepository } from '../../repositories/content/stored-content.js';
import type { Closers } from '../../util/closers.js';

/** The sources of the figures over time. */
export interface MonitoringSources extends Stores {
  readonly runtime: Runtime;
  readonly directory: RepositoryDirectory;
  readonly pullCounts: Pick<PullCounts, 'totals'>;
  /** False for a command that administers the folder: it records nothing. */
  readonly isActive: boolean;
}

/** The monitoring of a registry. */
export interface Monitoring {
  readonly statistics: Statistics;
  readonly requests: RecentRequests;
}

/** Starts to record the figures of each hour and the latest requests. */
export function openMonitoring(sources: MonitoringSources, closers: Closers): Monitoring {
  const { runtime, metadata, directory } = sources;
  const pushes = new Map<string, number>();
  const stop = runtime.observe('manifest.pushed', ({ at }) => {
    pushes.set(at.repository, (pushes.get(at.repository) ?? 0) + 1);
  });
  const statistics = new Sampler({
    ...sources,
    totals: () => readTotals(sources, pushes),
    stored: async () => {
      const names = directory.list().filter(({ record: { config } }) => config.type !== 'virtual');
      const figures = new Map<string, StoredFigures>();
      for (const { record } of names)
        figures.set(record.config.name, await countRepository(metadata, record.config.name));
      return figures;
    },
  });
  const requests = new RequestRing(runtime);
  closers.add('statistics', async () => {
    stop();
    requests.close();
    await statistics.close();
  });
  if (sources.isActive) statistics.start();
  return { statistics, requests };
}

/** Returns what happened in each repository since the process started. */
async function readTotals(
  { directory, pullCounts }: MonitoringSources,
  pushes: ReadonlyMap<string, number>,
): Promise<ReadonlyMap<string, Totals>> {
  const totals = new Map<string, Totals>();
  for (const { repository, record } of directory.list()) {
    const { name } = record.config;
    const status = await repository.status?.();
    const { hit = 0, miss = 0, stale = 0 } = status?.counters ?? {};
    totals.set(name, {
      pulls: pullCounts.totals.get(name) ?? 0,
      pushes: pushes.get(name) ?? 0,
      hit,
      miss,
      stale,
      upstreamBytes: status?.upstreamBytes ?? 0,
    });
  }
  return totals;
}
