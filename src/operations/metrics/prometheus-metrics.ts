/** The metrics for Prometheus. Loaded only when they are on, because prom-client takes 40 ms and 3 MB. */
import { Gauge, Registry } from 'prom-client';
import type { Metrics } from '../../ports/metrics.js';
import type { Runtime } from '../../ports/runtime.js';
import { packageVersion } from '../../util/package-version.js';
import { countEvents } from './event-metrics.js';
import { createPresentMetrics, type PresentSources } from './present-metrics.js';
import { createRepositoryLabels } from './repository-labels.js';
import { countRequests } from './request-metrics.js';

/** Counts from now on. `close` ends it. */
export function createMetrics(runtime: Runtime, sources: PresentSources): Metrics & { close(): void } {
  const registry = new Registry();
  const repositoryLabel = createRepositoryLabels();
  const registers = [registry];
  new Gauge({ name: 'artifactapi_info', help: 'The release', labelNames: ['version'], registers }).set(
    { version: packageVersion() },
    1,
  );
  const stops = [countRequests(registry, runtime), countEvents(registry, runtime, repositoryLabel)];
  const readPresent = createPresentMetrics(registry, sources, repositoryLabel);
  // One at a time: a scrape resets what it reads.
  let turn: Promise<unknown> = Promise.resolve();
  return {
    contentType: registry.contentType,
    getText: () => {
      const text = turn.then(readPresent).then(() => registry.metrics());
      turn = text.catch(() => undefined);
      return text;
    },
    close: () => {
      for (const stop of stops) stop();
    },
  };
}
