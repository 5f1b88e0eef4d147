/**
 * `artifactapi serve`: settings from flags and the config file, the HTTP server, and signals. Only the command imports
 * it.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import connect from 'connect';
import { guardHeaders } from '../../http/answer-headers.js';
import type { Registry } from '../../index.js';
import type { Metrics } from '../../ports/operations/metrics.js';
import type { Logger, ReportRefusal, RequestEvent } from '../../ports/runtime.js';
import type { RefusalReason } from '../../protocol/refusal-reasons.js';
import { Closers } from '../../util/closers.js';
import { answer, answerFailure, Listener, type ListenerOptions, type LiveServerOptions } from './listeners/listener.js';
import { answerAlive, answerReadiness, createMetricsApp, type MetricsPlace } from './listeners/metrics-app.js';
import { removeStaleSocket, type SocketAddress } from './listeners/unix-socket.js';

/** How often refused connections are logged, at most. */
const refusalLogSeconds = 60;

/** The registry to serve, and the limits of the server. */
export interface ServerOptions extends Omit<ListenerOptions, 'onRefused'> {
  readonly registry: Registry;
  /**
   * Called for each refused connection.
   * @default nothing
   */
  readonly reportRefusal?: ReportRefusal;
  /**
   * Logs an answered request, if `accessLog` is set.
   * @default `log.info`
   */
  readonly logRequest?: (event: RequestEvent) => void;
}

/** The registry's own server: `/v2`, the management API, the web UI, `/healthz` and `/readyz`. */
export interface RegistryServer {
  /** Starts to listen. @throws the error of `net.Server`, such as EADDRINUSE. */
  listen(port: number, host: string): Promise<AddressInfo>;
  /**
   * Listens on a Unix socket with these permissions, in plain http, besides or instead of a port. Replaces a stale socket.
   * @throws StartError if the path is in use; the error of `net.Server`.
   */
  listenOnSocket(socket: SocketAddress): Promise<void>;
  /**
   * Serves `/metrics`, `/healthz` and `/readyz` without a login on a listener of their own, in plain http. Returns the address
   * of a port. Call it at most once.
   * @throws StartError if the path of a socket is in use; the error of `net.Server`.
   */
  listenForMetrics(place: MetricsPlace, metrics: () => Promise<Metrics>): Promise<AddressInfo | undefined>;
  /**
   * Stops accepting connections, gives requests in flight `graceSeconds` to complete, destroys the remaining connections and
   * closes the registry. Bytes of unfinished uploads are kept.
   */
  stop(graceSeconds: number): Promise<void>;
  /**
   * Applies other options. Open connections keep their certificate.
   * @throws Error if the certificate cannot be used.
   */
  update(options: LiveServerOptions): void;
  /** The number of requests whose answer is not complete. */
  readonly requestsInFlight: number;
}

/** Creates the server, which does not listen yet. @throws Error if the certificate or the key cannot be used. */
export function createRegistryServer(options: ServerOptions): RegistryServer {
  const { registry, log, logRequest = (event: RequestEvent): void => log.info(event, 'request') } = options;
  let live: LiveServerOptions = options;
  const app = createApp(registry, log, () => live.ui === true);
  const onRefused = logRefusals(options, () => live);
  const tcp = new Listener(app, { ...options, onRefused });
  // TLS is for clients on the network.
  const unix = new Listener(app, { ...options, tls: undefined, onRefused });
  const listeners = [tcp, unix];
  const onRequest = (event: RequestEvent): void => {
    // Probes arrive every few seconds and would fill the log.
    if (event.op === 'health.get') log.debug(event, 'request');
    else logRequest(event);
  };
  const logRequests = ({ accessLog = false }: LiveServerOptions): void => {
    registry.events.off('request', onRequest);
    if (accessLog) registry.events.on('request', onRequest);
  };
  logRequests(options);
  return {
    update(next) {
      for (const listener of listeners) listener.update(next);
      logRequests(next);
      live = next;
    },
    // A string only for a pipe or a Unix socket.
    listen: async (port, host) => (await tcp.listen({ port, host })) as AddressInfo,
    listenOnSocket: (socket) => listenOn(unix, socket),
    async listenForMetrics(place, metrics) {
      const app = createMetricsApp({ registry, metrics, log });
      const forMetrics = new Listener(app, { ...options, ...live, tls: undefined, onRefused });
      listeners.push(forMetrics);
      if (!('socket' in place)) return (await forMetrics.listen(place)) as AddressInfo;
      await listenOn(forMetrics, place.socket);
      return undefined;
    },
    async stop(graceSeconds) {
      const closers = new Closers();
      closers.add('registry', () => registry.close());
      closers.add('connections', () => Promise.all(listeners.map((listener) => listener.close(graceSeconds * 1000))));
      await closers.close();
    },
    get requestsInFlight() {
      return listeners.reduce((sum, { requestsInFlight }) => sum + requestsInFlight, 0);
    },
  };
}

async function listenOn(listener: Listener, { path, mode }: SocketAddress): Promise<void> {
  await removeStaleSocket(path);
  // The mode applies from the moment that the socket exists, so no one else can connect earlier.
  const umask = process.umask(0o777 & ~mode);
  const listening = listener.listen({ path });
  process.umask(umask);
  await listening;
}

function createApp(
  registry: Registry,
  log: Logger,
  hasUi: () => boolean,
): (req: IncomingMessage, res: ServerResponse) => void {
  const app = connect();
  app.use(registry.middleware);
  app.use(registry.management);
  app.use((req, res, next) => (hasUi() ? serveUi(registry, req, res, next) : next()));
  app.use('/healthz', (_req, res) => answerAlive(res));
  // connect ignores promises, so an unhandled rejection here would end the process.
  app.use('/readyz', (_req, res, next) => void answerReadiness(res, registry).catch(next));
  const answerNotFound = (res: ServerResponse): void => {
    const places = 'the registry is at /v2/, its management API at /api/v1/repositories';
    const message = `not found: ${places}${hasUi() ? ', the web UI at /ui/' : ''}`;
    answer(res, 404, { errors: [{ code: 'NOT_FOUND', message }] });
  };
  // Not `app.use`: connect calls no middleware for `OPTIONS *`. Its own pages are in HTML, and show the stack of an error.
  return (req, res) =>
    app(req, res, (error?: unknown) => {
      if (error === undefined) answerNotFound(res);
      else answerFailure(log, res, error);
    });
}

/** Serves the web UI, and sends browsers from `/` to it. Other programs get the answer for unknown paths. */
function serveUi(registry: Registry, req: IncomingMessage, res: ServerResponse, next: () => void): void {
  const isFromBrowser = req.headers.accept?.includes('text/html') === true;
  if (req.url !== '/' || req.method !== 'GET' || !isFromBrowser) return registry.ui(req, res, next);
  res.writeHead(302, { Location: 'ui/', 'Content-Length': 0, 'Cache-Control': 'no-store', ...guardHeaders });
  res.end();
}

/**
 * Returns a function that reports each refused connection, and logs each reason at most once a minute, with a count.
 */
function logRefusals({ reportRefusal, log }: ServerOptions, live: () => LiveServerOptions): ReportRefusal {
  const counts = new Map<RefusalReason, number>();
  return (reason, address) => {
    reportRefusal?.(reason, address);
    const count = counts.get(reason);
    counts.set(reason, (count ?? 0) + 1);
    if (count !== undefined) return;
    const { maxConnections, maxConnectionsPerClient } = live();
    log.warn(
      { reason, address, maxConnections, maxConnectionsPerClient },
      'connection refused: too many open connections',
    );
    setTimeout(() => {
      const refused = counts.get(reason) ?? 0;
      if (refused > 1) log.warn({ reason, refused, seconds: refusalLogSeconds }, 'connections refused');
      counts.delete(reason);
    }, refusalLogSeconds * 1000).unref();
  };
}
