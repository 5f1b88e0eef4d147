import type { Runtime } from '../../ports/runtime.js';
import { PlainCounter, PlainValue, type PlainMetric } from './plain-metrics.js';

type Observed = Pick<Runtime, 'observe' | 'now'>;

/** Metrics that count from now on. */
export interface Counting {
  readonly metrics: readonly PlainMetric[];
  /** Ends it. */
  readonly stop: () => void;
}

/** Counts the activity of the registry by its events. */
export function countEvents(runtime: Observed, repositoryLabel: (name: string) => string): Counting {
  return joinCountings([
    countCaches(runtime, repositoryLabel),
    countRefusals(runtime),
    countUpkeep(runtime),
    countWebhooks(runtime),
  ]);
}

/** Combines several metrics. */
export function joinCountings(countings: readonly Counting[]): Counting {
  return counting(
    countings.flatMap(({ metrics }) => metrics),
    ...countings.map(({ stop }) => stop),
  );
}

function counting(metrics: readonly PlainMetric[], ...stops: readonly (() => void)[]): Counting {
  return {
    metrics,
    stop: () => {
      for (const stop of stops) stop();
    },
  };
}

function countCaches(runtime: Observed, repositoryLabel: (name: string) => string): Counting {
  const answers = new PlainCounter(
    'artifactapi_cache_answers_total',
    'Answers of caches',
    'repository',
    'what',
    'outcome',
  );
  const requests = new PlainCounter('registry_proxy_requests_total', 'Requests to caches', 'type');
  const hits = new PlainCounter('registry_proxy_hits_total', 'Requests answered from the content of a cache', 'type');
  const misses = new PlainCounter('registry_proxy_misses_total', 'Requests for which a cache asked upstream', 'type');
  const pulled = new PlainCounter('registry_proxy_pulled_bytes_total', 'Bytes stored from upstreams', 'type');
  return counting(
    [answers, requests, hits, misses, pulled],
    runtime.observe('cache.answered', ({ repository, what, outcome }) => {
      answers.add({ repository: repositoryLabel(repository), what, outcome });
      if (what === 'list') return;
      requests.add({ type: what });
      (outcome === 'miss' ? misses : hits).add({ type: what });
    }),
    runtime.observe('cache.filled', ({ bytes }) => pulled.add({ type: 'blob' }, bytes)),
  );
}

function countRefusals(runtime: Observed): Counting {
  const logins = new PlainCounter('artifactapi_logins_refused_total', 'Refused logins', 'reason');
  const clients = new PlainCounter('artifactapi_clients_refused_total', 'Clients that a limit refused', 'reason');
  return counting(
    [logins, clients],
    runtime.observe('login.refused', ({ reason }) => logins.add({ reason })),
    runtime.observe('client.refused', ({ reason }) => clients.add({ reason })),
  );
}

function countUpkeep(runtime: Observed): Counting {
  const runs = new PlainValue('artifactapi_garbage_runs_total', 'Completed garbage collections');
  const freed = new PlainValue('artifactapi_garbage_freed_bytes_total', 'Bytes that garbage collections freed');
  const damaged = new PlainValue('artifactapi_damaged_total', 'Blobs that were found damaged');
  const lastRun = new PlainValue(
    'artifactapi_garbage_last_success_timestamp_seconds',
    'When a garbage collection last completed',
    'gauge',
  );
  return counting(
    [runs, freed, damaged, lastRun],
    runtime.observe('garbage.collected', ({ dryRun, bytesFreed }) => {
      if (dryRun) return;
      runs.value += 1;
      freed.value += bytesFreed;
      lastRun.value = runtime.now() / 1000;
    }),
    runtime.observe('blob.damaged', () => void (damaged.value += 1)),
  );
}

function countWebhooks(runtime: Observed): Counting {
  const codes = new PlainCounter('registry_notifications_status_total', 'Attempts by answer', 'code', 'endpoint');
  const results = new PlainCounter('registry_notifications_events_total', 'Attempts by result', 'type', 'endpoint');
  return counting(
    [codes, results],
    runtime.observe('webhook.attempted', ({ webhook, state, status }) => {
      codes.add({ code: status ?? 0, endpoint: webhook });
      results.add({ type: state, endpoint: webhook });
    }),
  );
}
