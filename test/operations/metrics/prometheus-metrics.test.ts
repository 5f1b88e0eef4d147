import { Counter, Histogram, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createRuntime } from '../../../src/composition/runtime.js';
import { startCounts } from '../../../src/operations/metrics/counts.js';
import { createMetrics } from '../../../src/operations/metrics/prometheus-metrics.js';
import type { RequestEvent, RunningRequest } from '../../../src/ports/runtime.js';

const request: RequestEvent = {
  id: 'a',
  op: 'manifest.get',
  method: 'GET',
  url: '/v2/local/app/manifests/1',
  status: 200,
  durationMs: 1,
  bytesReceived: 0,
  bytesSent: 100,
  principal: 'ci',
  remoteAddress: '192.0.2.1',
  clientAddress: '192.0.2.1',
};

function start(running?: () => Iterable<RunningRequest>) {
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const runtime = { ...createRuntime(silent), now: () => 5000 };
  const counts = startCounts(runtime, running);
  const figures = { storedBytes: 0, reclaimableBytes: undefined, repositories: undefined };
  const metrics = createMetrics(counts, {
    status: { figures: () => Promise.resolve(figures), disk: () => Promise.resolve(undefined) },
    jobs: { list: () => Promise.resolve([]) },
    upstreams: () => [],
  });
  /** Returns the lines of a scrape for the metrics with a prefix, sorted. */
  const scrape = async (prefix: string) => linesOf(await metrics.getText(), prefix);
  return { runtime, counts, scrape };
}

function linesOf(text: string, prefix: string): string[] {
  const named = new RegExp(`^(# [A-Z]+ )?${prefix}`);
  return text
    .split('\n')
    .filter((line) => named.test(line))
    .sort();
}

test('a scrape has the lines that prom-client writes when it counts the same requests', async () => {
  const { runtime, scrape } = start();
  const registers = [new Registry()];
  const name = (rest: string): string => `registry_http_${rest}`;
  const requests = [
    request,
    { ...request, status: 404, durationMs: 5, bytesSent: 1024 },
    { ...request, op: 'manifest.put', method: 'PUT', status: 201, bytesReceived: 1025, durationMs: 5.001 },
    { ...request, op: 'upload.append', method: 'PATCH', status: 202, bytesReceived: 2 ** 31, durationMs: 60_000 },
    { ...request, op: 'job.list', bytesSent: 2 ** 31 + 1, durationMs: 60_001 },
    { ...request, op: 'event.list', durationMs: 0 },
    { ...request, op: 'unmatched', method: 'M-SEARCH', status: 404 },
  ];
  const handlers = ['manifest', 'manifest', 'manifest', 'blob_upload_chunk', 'management', 'management', 'unmatched'];
  const total = new Counter({
    name: name('requests_total'),
    help: 'Requests that were answered',
    labelNames: ['handler', 'method', 'code'],
    registers,
  });
  const duration = new Histogram({
    name: name('request_duration_seconds'),
    help: 'Time from the request to the end of its answer',
    labelNames: ['handler', 'method'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers,
  });
  const buckets = Array.from({ length: 22 }, (_, n) => 1024 * 2 ** n);
  const bytes = { labelNames: ['handler'], buckets, registers };
  const received = new Histogram({ ...bytes, name: name('request_size_bytes'), help: 'Bytes of request bodies' });
  const sent = new Histogram({ ...bytes, name: name('response_size_bytes'), help: 'Bytes of responses' });
  for (const [i, event] of requests.entries()) {
    const handler = handlers[i] ?? '';
    const { method, status: code } = event;
    runtime.emit('request', event);
    total.inc({ handler, method, code });
    duration.observe({ handler, method }, event.durationMs / 1000);
    received.observe({ handler }, event.bytesReceived);
    sent.observe({ handler }, event.bytesSent);
  }
  const expected = linesOf((await registers[0]?.metrics()) ?? '', 'registry_http_');
  expect(await scrape('registry_http_re(quest|sponse)')).toEqual(expected);
});

test('a scrape counts the requests in progress by their current operation', async () => {
  let running = [{ op: 'blob.get' }, { op: 'unmatched' }, { op: 'job.list' }, { op: 'event.list' }];
  const { runtime, scrape } = start(() => running);
  runtime.emit('request', request);
  const series = (handler: string, value: number): string =>
    `registry_http_in_flight_requests{handler="${handler}"} ${value}`;
  const lines = async () => (await scrape('registry_http_in_flight_requests')).filter((line) => !line.startsWith('#'));
  const known = [series('blob', 1), series('management', 2), series('manifest', 0), series('unmatched', 1)];
  expect(await lines()).toEqual(known);
  running = [];
  expect(await lines()).toEqual([series('manifest', 0)]);
});

test('a scrape has the counts of events, with a zero only for metrics without labels', async () => {
  const { runtime, scrape } = start();
  expect(await scrape('artifactapi_(garbage|damaged|logins)')).toEqual([
    '# HELP artifactapi_damaged_total Blobs that were found damaged',
    '# HELP artifactapi_garbage_freed_bytes_total Bytes that garbage collections freed',
    '# HELP artifactapi_garbage_last_success_timestamp_seconds When a garbage collection last completed',
    '# HELP artifactapi_garbage_runs_total Completed garbage collections',
    '# HELP artifactapi_logins_refused_total Refused logins',
    '# TYPE artifactapi_damaged_total counter',
    '# TYPE artifactapi_garbage_freed_bytes_total counter',
    '# TYPE artifactapi_garbage_last_success_timestamp_seconds gauge',
    '# TYPE artifactapi_garbage_runs_total counter',
    '# TYPE artifactapi_logins_refused_total counter',
    'artifactapi_damaged_total 0',
    'artifactapi_garbage_freed_bytes_total 0',
    'artifactapi_garbage_last_success_timestamp_seconds 0',
    'artifactapi_garbage_runs_total 0',
  ]);
  const at = { repository: 'hub', image: 'library/app' };
  for (const outcome of ['hit', 'hit', 'miss'] as const)
    runtime.emit('cache.answered', { ...at, what: 'blob', outcome });
  runtime.emit('cache.answered', { ...at, what: 'list', outcome: 'hit' });
  runtime.emit('client.refused', { reason: 'slow_download', address: '192.0.2.1' });
  const values = (lines: string[]): string[] => lines.filter((line) => !line.startsWith('#'));
  expect(values(await scrape('(artifactapi_(cache|clients)|registry_proxy)'))).toEqual([
    'artifactapi_cache_answers_total{repository="hub",what="blob",outcome="hit"} 2',
    'artifactapi_cache_answers_total{repository="hub",what="blob",outcome="miss"} 1',
    'artifactapi_cache_answers_total{repository="hub",what="list",outcome="hit"} 1',
    'artifactapi_clients_refused_total{reason="slow_download"} 1',
    'registry_proxy_hits_total{type="blob"} 2',
    'registry_proxy_misses_total{type="blob"} 1',
    'registry_proxy_requests_total{type="blob"} 3',
  ]);
});

test('counting ends when it is stopped', async () => {
  const { runtime, counts, scrape } = start();
  runtime.emit('request', request);
  counts.stop();
  runtime.emit('request', request);
  expect(await scrape('registry_http_requests_total\\{')).toEqual([
    'registry_http_requests_total{handler="manifest",method="GET",code="200"} 1',
  ]);
  expect(runtime.isHeard('request')).toBe(false);
});
