import { startCounts } from '../operations/metrics/counts.js';
import type { PresentSources } from '../operations/metrics/present-metrics.js';
import type { Metrics } from '../ports/metrics.js';
import type { Runtime } from '../ports/runtime.js';
import type { Closers } from '../util/closers.js';

/** What `registry.metrics()` needs. */
export interface MetricsParts extends PresentSources {
  readonly runtime: Runtime;
}

/** Starts to count for Prometheus. Returns `undefined` if metrics are off. */
export function openMetrics(
  isOn: boolean,
  closers: Closers,
  parts: MetricsParts,
): (() => Promise<Metrics>) | undefined {
  if (!isOn) return undefined;
  const counts = startCounts(parts.runtime);
  closers.add('metrics', () => counts.stop());
  let loading: Promise<Metrics> | undefined;
  return () => {
    loading ??= import('../operations/metrics/prometheus-metrics.js').then(({ createMetrics }) =>
      createMetrics(counts, parts),
    );
    // The next scrape tries again: perhaps no file could be opened.
    loading.catch(() => (loading = undefined));
    return loading;
  };
}
