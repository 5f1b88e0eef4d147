/** The metrics for Prometheus. Loaded by the first scrape, because prom-client takes 40 ms and 3 MB. */
import { Gauge, Registry, type Metric } from 'prom-client';
import type { Metrics } from '../../ports/operations/metrics.js';
import { packageVersion } from '../../util/package-version.js';
import type { Counts } from './counts.js';
import type { PlainMetric } from './plain-metrics.js';
import { createPresentMetrics, type PresentSources } from './present-metrics.js';
import { measureProcess } from './process-metrics.js';

/** Creates the source of a scrape: the counts and the current values. */
export function createMetrics({ metrics, repositoryLabel }: Counts, sources: PresentSources): Metrics {
  const registry = new Registry();
  const registers = [registry];
  new Gauge({ name: 'artifactapi_info', help: 'The release', labelNames: ['version'], registers }).set(
    { version: packageVersion() },
    1,
  );
  for (const metric of metrics) registry.registerMetric(asMetric(metric));
  const readPresent = createPresentMetrics(registry, sources, repositoryLabel);
  // One at a time: a scrape resets what it reads.
  let turn: Promise<unknown> = Promise.resolve();
  let measured: Registry | undefined;
  return {
    contentType: registry.contentType,
    getText: () => {
      const text = turn.then(readPresent).then(() => registry.metrics());
      turn = text.catch(() => undefined);
      return text;
    },
    getProcessText: () => (measured ??= measureProcess()).metrics(),
  };
}

/** A registry only reads the name of a metric and what `get` returns. Its types ask for one of its own classes. */
function asMetric(metric: PlainMetric): Metric {
  const { name, help, type } = metric;
  return { name, get: () => Promise.resolve({ name, help, type, values: metric.lines() }) } as unknown as Metric;
}
