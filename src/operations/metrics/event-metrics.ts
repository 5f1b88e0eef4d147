import { Counter, Gauge, type Registry } from 'prom-client';
import type { Runtime } from '../../ports/runtime.js';

type Observed = Pick<Runtime, 'observe' | 'now'>;

/** Counts what the registry does, by its events. Returns a function that ends it. */
export function countEvents(
  registry: Registry,
  runtime: Observed,
  repositoryLabel: (name: string) => string,
): () => void {
  const stops = [
    ...countCaches(registry, runtime, repositoryLabel),
    ...countRefusals(registry, runtime),
    ...countUpkeep(registry, runtime),
    ...countWebhooks(registry, runtime),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

function counter<Label extends string>(registry: Registry, name: string, help: string, ...labelNames: Label[]) {
  return new Counter({ name, help, labelNames, registers: [registry] });
}

function countCaches(registry: Registry, runtime: Observed, repositoryLabel: (name: string) => string) {
  const answers = counter(
    registry,
    'artifactapi_cache_answers_total',
    'Answers of caches',
    'repository',
    'what',
    'outcome',
  );
  const requests = counter(registry, 'registry_proxy_requests_total', 'Requests to caches', 'type');
  const hits = counter(registry, 'registry_proxy_hits_total', 'Requests answered from the content of a cache', 'type');
  const misses = counter(registry, 'registry_proxy_misses_total', 'Requests for which a cache asked upstream', 'type');
  const pulled = counter(registry, 'registry_proxy_pulled_bytes_total', 'Bytes stored from upstreams', 'type');
  return [
    runtime.observe('cache.answered', ({ repository, what, outcome }) => {
      answers.inc({ repository: repositoryLabel(repository), what, outcome });
      if (what === 'list') return;
      requests.inc({ type: what });
      (outcome === 'miss' ? misses : hits).inc({ type: what });
    }),
    runtime.observe('cache.filled', ({ bytes }) => pulled.inc({ type: 'blob' }, bytes)),
  ];
}

function countRefusals(registry: Registry, runtime: Observed) {
  const logins = counter(registry, 'artifactapi_logins_refused_total', 'Refused logins', 'reason');
  const clients = counter(registry, 'artifactapi_clients_refused_total', 'Clients that a limit refused', 'reason');
  return [
    runtime.observe('login.refused', ({ reason }) => logins.inc({ reason })),
    runtime.observe('client.refused', ({ reason }) => clients.inc({ reason })),
  ];
}

function countUpkeep(registry: Registry, runtime: Observed) {
  const runs = counter(registry, 'artifactapi_garbage_runs_total', 'Completed garbage collections');
  const freed = counter(registry, 'artifactapi_garbage_freed_bytes_total', 'Bytes that garbage collections freed');
  const damaged = counter(registry, 'artifactapi_damaged_total', 'Blobs that were found damaged');
  const lastRun = new Gauge({
    name: 'artifactapi_garbage_last_success_timestamp_seconds',
    help: 'When a garbage collection last completed',
    registers: [registry],
  });
  return [
    runtime.observe('garbage.collected', ({ dryRun, bytesFreed }) => {
      if (dryRun) return;
      runs.inc();
      freed.inc(bytesFreed);
      lastRun.set(runtime.now() / 1000);
    }),
    runtime.observe('blob.damaged', () => damaged.inc()),
  ];
}

function countWebhooks(registry: Registry, runtime: Observed) {
  const codes = counter(registry, 'registry_notifications_status_total', 'Attempts by answer', 'code', 'endpoint');
  const results = counter(registry, 'registry_notifications_events_total', 'Attempts by result', 'type', 'endpoint');
  return [
    runtime.observe('webhook.attempted', ({ webhook, state, status }) => {
      codes.inc({ code: status ?? 0, endpoint: webhook });
      results.inc({ type: state, endpoint: webhook });
    }),
  ];
}
