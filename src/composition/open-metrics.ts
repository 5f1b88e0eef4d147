import type { PresentSources } from '../operations/metrics/present-metrics.js';
import type { Metrics } from '../ports/metrics.js';
import type { Runtime } from '../ports/runtime.js';
import type { Closers } from '../util/closers.js';

/** What `registry.metrics()` needs. */
export interface MetricsParts extends PresentSources {
  readonly runtime: Runtime;
}

/** Starts to count for Prometheus, in the background. Returns `undefined` if metrics are off. */
export function openMetrics(
  isOn: boolean,
  closers: Closers,
  parts: MetricsParts,
): (() => Promise<Metrics>) | undefined {
  if (!isOn) return undefined;
  // Loaded while the registry already serves requests.
  const loading = import('../operations/metrics/prometheus-metrics.js').then(({ createMetrics }) =>
    createMetrics(parts.runtime, parts),
  );
  loading.catch((err: unknown) => parts.runtime.log.error({ err }, 'metrics could not be loaded'));
  closers.add('metrics', async () => (await loading.catch(() => undefined))?.close());
  return () => loading;
}
