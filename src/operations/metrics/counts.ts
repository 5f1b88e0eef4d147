/** Counts for Prometheus, without prom-client: a registry that nothing scrapes never loads it. */
import type { Runtime } from '../../ports/runtime.js';
import { countEvents, joinCountings, type Counting } from './event-metrics.js';
import { createRepositoryLabels } from './repository-labels.js';
import { countRequests } from './request-metrics.js';

/** What a scrape reads, and how it labels repositories. */
export interface Counts extends Counting {
  readonly repositoryLabel: (name: string) => string;
}

/** Counts requests and events from now on. */
export function startCounts(runtime: Pick<Runtime, 'observe' | 'now'>): Counts {
  const repositoryLabel = createRepositoryLabels();
  return { repositoryLabel, ...joinCountings([countRequests(runtime), countEvents(runtime, repositoryLabel)]) };
}
