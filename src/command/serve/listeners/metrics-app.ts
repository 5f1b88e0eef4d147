import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Registry } from '../../../index.js';
import type { Metrics } from '../../../ports/operations/metrics.js';
import type { Logger } from '../../../ports/runtime.js';
import { encodeHealth } from '../../../protocol/tables/documents/encoding.js';
import { answer, answerFailure } from './listener.js';
import type { SocketAddress } from './unix-socket.js';

/** Where to serve metrics and probes: on a port or on a Unix socket. */
export type MetricsPlace = { readonly host: string; readonly port: number } | { readonly socket: SocketAddress };

/** The sources of the listener for metrics. */
export interface MetricsAppParts {
  readonly registry: Pick<Registry, 'health'>;
  /** @throws Error if metrics are off. */
  readonly metrics: () => Promise<Metrics>;
  readonly log: Logger;
}

type Page = (res: ServerResponse) => Promise<void> | void;

/** Creates the handler of the listener for operators: metrics and probes without a login, and nothing else. */
export function createMetricsApp({
  registry,
  metrics,
  log,
}: MetricsAppParts): (req: IncomingMessage, res: ServerResponse) => void {
  const pages = new Map<string, Page>([
    ['/metrics', async (res) => answerMetrics(res, await metrics())],
    ['/healthz', answerAlive],
    ['/readyz', (res) => answerReadiness(res, registry)],
  ]);
  return (req, res) => {
    const [path = ''] = (req.url ?? '').split('?', 1);
    const page = pages.get(path);
    if (page === undefined) return refuse(res, 404, 'NOT_FOUND', `not found: only ${[...pages.keys()].join(', ')}`);
    if (req.method !== 'GET' && req.method !== 'HEAD') {
      return refuse(res, 405, 'UNSUPPORTED', 'only GET and HEAD are supported', { Allow: 'GET, HEAD' });
    }
    Promise.resolve(page(res)).catch((error: unknown) => answerFailure(log, res, error));
  };
}

/** Answers that the process runs. */
export function answerAlive(res: ServerResponse): void {
  answer(res, 200, { status: 'ok' });
}

/** Answers whether the registry works. */
export async function answerReadiness(res: ServerResponse, registry: Pick<Registry, 'health'>): Promise<void> {
  const report = await registry.health();
  answer(res, report.status === 'ok' ? 200 : 503, encodeHealth(report));
}

async function answerMetrics(res: ServerResponse, metrics: Metrics): Promise<void> {
  const text = (await metrics.getText()) + (await metrics.getProcessText());
  answer(res, 200, text, { headers: { 'Content-Type': metrics.contentType, 'Cache-Control': 'no-store' } });
}

function refuse(
  res: ServerResponse,
  status: number,
  code: string,
  message: string,
  headers?: Readonly<Record<string, string>>,
): void {
  answer(res, status, { errors: [{ code, message }] }, { headers });
}
