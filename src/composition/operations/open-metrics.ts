import { startCounts } from '../../operations/metrics/counts.js';
import type { StorageTimings } from '../../operations/metrics/storage-metrics.js';
import type { PresentSources } from '../../operations/metrics/present-metrics.js';
import type { Metrics } from '../../ports/operations/metrics.js';
import type { RunningRequest, Runtime } from '../../ports/runtime.js';
import type { Closers } from '../../util/closers.js';

/** The dependencies of `registry.metrics()`. */
export interface MetricsParts extends PresentSources {
  readonly runtime: Runtime;
  readonly running: () => Iterable<RunningRequest>;
  readonly timings: StorageTimings | undefined;
}

/** Starts to count for Prometheus. Returns `undefined` if metrics are off. */
export function openMetrics(
  isOn: boolean,
  closers: Closers,
  parts: MetricsParts,
): (() => Promise<Metrics>) | undefined {
  if (!isOn) return undefined;
  const { runtime, running, timings } = parts;
  const { metrics, ...counts } = startCounts(runtime, running);
  const all = { ...counts, metrics: [...metrics, ...(timings?.metrics ?? [])] };
  closers.add('metrics', () => counts.stop());
  let loading: Promise<Metrics> | undefined;
  return () => {
    loading ??= import('../../operations/metrics/prometheus-metrics.js').then(({ createMetrics }) =>
      createMetrics(all, parts),
    );
    // The next scrape tries again: perhaps no file could be opened.
    loading.catch(() => (loading = undefined));
    return loading;
  };
}
