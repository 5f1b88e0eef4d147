import { Counter, Histogram, type Registry } from 'prom-client';
import type { Runtime } from '../../ports/runtime.js';
import { endpoints } from '../../protocol/tables/endpoints.js';
import { handlerLabelOf } from './handler-labels.js';

/** From 1 KiB to 2 GiB. */
const sizes = Array.from({ length: 22 }, (_, n) => 1024 * 2 ** n);
const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Counts requests, with distribution's names. Returns a function that ends it. */
export function countRequests(registry: Registry, runtime: Pick<Runtime, 'observe'>): () => void {
  const registers = [registry];
  const size = { labelNames: ['handler'] as const, buckets: sizes, registers };
  const total = new Counter({
    name: 'registry_http_requests_total',
    help: 'Requests that were answered',
    labelNames: ['handler', 'method', 'code'],
    registers,
  });
  const duration = new Histogram({
    name: 'registry_http_request_duration_seconds',
    help: 'Time from the request to the end of its answer',
    labelNames: ['handler', 'method'],
    buckets: seconds,
    registers,
  });
  const received = new Histogram({
    ...size,
    name: 'registry_http_request_size_bytes',
    help: 'Bytes of request bodies',
  });
  const sent = new Histogram({ ...size, name: 'registry_http_response_size_bytes', help: 'Bytes of responses' });
  const protocolOps = new Set<string>(endpoints.map(({ op }) => op));
  return runtime.observe('request', ({ op, method, status, durationMs, bytesReceived, bytesSent }) => {
    const handler = handlerLabelOf(op, protocolOps);
    total.inc({ handler, method, code: status });
    duration.observe({ handler, method }, durationMs / 1000);
    received.observe({ handler }, bytesReceived);
    sent.observe({ handler }, bytesSent);
  });
}
