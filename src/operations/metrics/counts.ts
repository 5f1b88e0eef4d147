/** Counts for Prometheus, without prom-client: a registry that nothing scrapes never loads it. */
import type { RunningRequest, Runtime } from '../../ports/runtime.js';
import { countEvents, joinCountings, type Counting } from './event-metrics.js';
import { createRepositoryLabels } from './repository-labels.js';
import { countRequests } from './request-metrics.js';

/** The sources of a scrape, and the labels of repositories. */
export interface Counts extends Counting {
  readonly repositoryLabel: (name: string) => string;
}

/**
 * Counts requests and events from now on.
 * @param running returns the requests in progress.
 */
export function startCounts(
  runtime: Pick<Runtime, 'observe' | 'now'>,
  running?: () => Iterable<RunningRequest>,
): Counts {
  const repositoryLabel = createRepositoryLabels();
  const countings = [countRequests(runtime, running), countEvents(runtime, repositoryLabel)];
  return { repositoryLabel, ...joinCountings(countings) };
}
