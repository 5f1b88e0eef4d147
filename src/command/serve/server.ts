/**
 * `artifactapi serve`: settings from flags and the config file, the HTTP server, and signals. Only the command imports
 * it.
 */

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer, Server as HttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import connect from 'connect';
import { Connections, type ConnectionLimits } from './connections.js';
import { guardHeaders } from '../../http/answer-headers.js';
import { announcesBody } from '../../http/bodies/body.js';
import { explainParserError, findMalformation, formatLastAnswer, refuseConnect } from '../../http/limits/malformed.js';
import { shownUrl } from '../../http/clients/shown-url.js';
import type { Registry } from '../../index.js';
import type { Logger, ReportRefusal, RequestEvent } from '../../ports/runtime.js';
import type { RefusalReason } from '../../protocol/refusal-reasons.js';
import { encodeError, RegistryError } from '../../protocol/errors.js';
import { encodeHealth } from '../../protocol/tables/encoding.js';
import { createAddressMatcher } from '../../util/addresses.js';
import { Closers } from '../../util/closers.js';

/** How often refused connections are logged, at most. */
const refusalLogSeconds = 60;

/** The options of a server that can change while it runs. */
export interface LiveServerOptions {
  /**
   * Logs every request.
   * @default false
   */
  readonly accessLog?: boolean;
  /** PEM. Absent: plain http. Only the certificate and the key can change, not whether there are any. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer } | undefined;
  /**
   * How long a connection may be idle during a request before it is closed. An interrupted upload can be resumed.
   * @default 120
   */
  readonly idleTimeoutSeconds?: number;
  /**
   * Maximum number of open connections. Further ones are closed. Near the limit, idle connections are closed for new ones.
   * @default no limit
   */
  readonly maxConnections?: number | undefined;
  /**
   * Maximum number of open connections of one IPv4 address or one IPv6 /64. At the limit, a new one replaces an idle one of the
   * same client, or else is closed.
   * @default 1000
   */
  readonly maxConnectionsPerClient?: number | undefined;
  /**
   * Addresses and networks that many clients share. `maxConnectionsPerClient` does not apply to them.
   * @default []
   */
  readonly trustedProxies?: readonly string[] | undefined;
  /**
   * Serves the web UI at `/ui/`, and sends browsers there from `/`.
   * @default false
   */
  readonly ui?: boolean;
}

/** The registry to serve, and the limits of the server. */
export interface ServerOptions extends LiveServerOptions {
  readonly registry: Registry;
  /**
   * Called for each refused connection.
   * @default nothing
   */
  readonly reportRefusal?: ReportRefusal;
  readonly log: Logger;
  /**
   * How long the headers of a request may take to arrive.
   * @default 60
   */
  readonly headersTimeoutSeconds?: number;
  /**
   * How long a connection stays open for the next request. Clients written in Go reuse connections for over a minute.
   * @default 75
   */
  readonly keepAliveTimeoutSeconds?: number;
}

/** The registry's own server: `/v2`, the management API, the web UI, `/healthz` and `/readyz`. */
export interface RegistryServer {
  /** Starts to listen. @throws the error of `net.Server`, such as EADDRINUSE. */
  listen(port: number, host: string): Promise<AddressInfo>;
  /**
   * Stops accepting connections, gives requests in flight `graceSeconds` to complete, destroys the remaining connections and
   * closes the registry. Bytes of unfinished uploads are kept.
   */
  stop(graceSeconds: number): Promise<void>;
  /** Applies other options. Open connections keep their certificate. @throws Error if the certificate cannot be used. */
  update(options: LiveServerOptions): void;
  /** The number of requests whose answer is not complete. */
  readonly requestsInFlight: number;
}

/** Creates the server, which does not listen yet. @throws Error if the certificate or the key cannot be used. */
export function createRegistryServer(options: ServerOptions): RegistryServer {
  const { registry, log } = options;
  const server = createNodeServer(options);
  let live: LiveServerOptions = options;
  const app = createApp(registry, log, () => live.ui === true);
  const onRefused = logRefusals(options, () => live);
  const connections = new Connections(server, { ...limitsOf(options), onRefused });
  server.on('request', (req: IncomingMessage, res: ServerResponse) => {
    connections.note(res);
    const malformation = findMalformation(req);
    if (malformation !== undefined) return refuse(res, malformation);
    try {
      app(req, res);
    } catch (cause) {
      // connect parses the URL outside its error handling, so `http://[` would end the process.
      refuse(res, new RegistryError('UNSUPPORTED', { status: 400, message: 'invalid URL', cause }));
    }
  });
  refuseInvalidRequests(server, connections, log);
  const onRequest = (event: RequestEvent): void => logRequest(log, event);
  const logRequests = ({ accessLog = false }: LiveServerOptions): void => {
    registry.events.off('request', onRequest);
    if (accessLog) registry.events.on('request', onRequest);
  };
  logRequests(options);
  return {
    update(next) {
      if (next.tls !== undefined && server instanceof HttpsServer) server.setSecureContext(next.tls);
      connections.limit(limitsOf(next));
      logRequests(next);
      live = next;
    },
    async listen(port, host) {
      server.listen(port, host);
      await once(server, 'listening');
      // A string only for a pipe or a Unix socket.
      return server.address() as AddressInfo;
    },
    async stop(graceSeconds) {
      const closers = new Closers();
      closers.add('registry', () => registry.close());
      closers.add('connections', () => connections.close(graceSeconds * 1000));
      await closers.close();
    },
    get requestsInFlight() {
      return connections.requestsInFlight;
    },
  };
}

function limitsOf(options: LiveServerOptions): ConnectionLimits {
  return {
    idleMs: (options.idleTimeoutSeconds ?? 120) * 1000,
    maxConnections: options.maxConnections,
    maxPerClient: options.maxConnectionsPerClient ?? 1000,
    isShared: createAddressMatcher(options.trustedProxies ?? []),
  };
}

function createNodeServer(options: ServerOptions): Server {
  const headersTimeout = (options.headersTimeoutSeconds ?? 60) * 1000;
  const settings = {
    // This would include the body, and slow uploads of large layers would get 408. `Connections` handles idle ones.
    requestTimeout: 0,
    headersTimeout,
    connectionsCheckingInterval: Math.min(headersTimeout, 30_000),
    keepAliveTimeout: (options.keepAliveTimeoutSeconds ?? 75) * 1000,
    // Tokens with many groups are long.
    maxHeaderSize: 64 * 1024,
    // We answer this ourselves: Node would send only the status.
    requireHostHeader: false,
    insecureHTTPParser: false,
    noDelay: true,
  };
  const server =
    options.tls === undefined ? createHttpServer(settings) : createHttpsServer({ ...settings, ...options.tls });
  server.maxRequestsPerSocket = 0;
  // A client may close its side after its last request, as HTTP allows: Node would drop the answers that are not sent yet.
  Object.assign(server, { httpAllowHalfOpen: true });
  return server;
}

/** Answers what Node would answer with only a status, or by closing the connection. */
function refuseInvalidRequests(server: Server, connections: Connections, log: Logger): void {
  server.on('checkExpectation', (_req: IncomingMessage, res: ServerResponse) => {
    connections.note(res);
    refuse(
      res,
      new RegistryError('UNSUPPORTED', {
        status: 417,
        message: 'unsupported Expect header: only 100-continue is supported',
      }),
    );
  });
  server.on('connect', (_req: IncomingMessage, socket: Socket) => {
    // Node has detached the connection and its listeners.
    socket.on('error', () => {});
    connections.refuse(socket, formatLastAnswer(refuseConnect(), randomUUID()));
  });
  server.on('clientError', (error: NodeJS.ErrnoException & { reason?: string }, socket: Socket) => {
    const refusal = explainParserError(error.code);
    if (refusal === undefined) socket.destroy();
    // Node repeats the event for each chunk that still arrives.
    else if (!connections.refuse(socket, formatLastAnswer(refusal, randomUUID()))) return;
    // Not the error itself: it contains the received bytes, and perhaps a password.
    const fields = { code: error.code, reason: error.reason, remoteAddress: socket.remoteAddress };
    log.debug(fields, 'malformed request refused');
  });
}

function createApp(registry: Registry, log: Logger, hasUi: () => boolean): connect.Server {
  const app = connect();
  app.use(registry.middleware);
  app.use(registry.management);
  app.use((req, res, next) => (hasUi() ? serveUi(registry, req, res, next) : next()));
  app.use('/healthz', (_req, res) => answer(res, 200, { status: 'ok' }));
  app.use('/readyz', (_req, res, next) => {
    // connect ignores promises, so an unhandled rejection here would end the process.
    registry
      .health()
      .then((report) => answer(res, report.status === 'ok' ? 200 : 503, encodeHealth(report)))
      .catch(next);
  });
  app.use((_req, res) => {
    const message = 'not found: the registry is at /v2/, its management API at /api/v1/repositories';
    answer(res, 404, { errors: [{ code: 'NOT_FOUND', message }] });
  });
  // Replaces connect's error page, which shows the stack. The four parameters make it an error handler.
  app.use((error: unknown, req: IncomingMessage, res: ServerResponse, _next: connect.NextFunction) => {
    const requestId = randomUUID();
    log.error({ err: error, id: requestId, method: req.method, url: shownUrl(req.url ?? '') }, 'request failed');
    if (res.headersSent) res.destroy();
    else answer(res, 500, encodeError(new RegistryError('UNKNOWN', { detail: { requestId } })), requestId);
  });
  return app;
}

/** Serves the web UI, and sends browsers from `/` to it. Other programs get the answer for unknown paths. */
function serveUi(registry: Registry, req: IncomingMessage, res: ServerResponse, next: () => void): void {
  const isFromBrowser = req.headers.accept?.includes('text/html') === true;
  if (req.url !== '/' || req.method !== 'GET' || !isFromBrowser) return registry.ui(req, res, next);
  res.writeHead(302, { Location: 'ui/', 'Content-Length': 0, 'Cache-Control': 'no-store', ...guardHeaders });
  res.end();
}

/** Answers and closes the connection, because the client may send more of the same. */
function refuse(res: ServerResponse, error: RegistryError): void {
  res.shouldKeepAlive = false;
  answer(res, error.status, encodeError(error));
}

/** Sends an answer with a request id of its own. Answers of the registry have the id of the `request` event. */
function answer(res: ServerResponse, status: number, body: object | string, requestId: string = randomUUID()): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  // Without this, Node would read all of an unread body to keep the connection alive.
  if (announcesBody(res.req) && !res.req.complete) res.shouldKeepAlive = false;
  res.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
    'X-Request-Id': requestId,
    ...guardHeaders,
  });
  res.end(text);
}

/** Returns a function that reports each refused connection, and logs each reason at most once a minute, with a count. */
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

function logRequest(log: Logger, event: RequestEvent): void {
  // Probes arrive every few seconds and would fill the log.
  if (event.op === 'health.get') log.debug(event, 'request');
  else log.info(event, 'request');
}
