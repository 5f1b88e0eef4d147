import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import connect from 'connect';
import { Connections } from './connections.js';
import { guardHeaders } from '../http/answer-headers.js';
import { announcesBody } from '../http/bodies/body.js';
import { explainParserError, findMalformation, formatLastAnswer, refuseConnect } from '../http/limits/malformed.js';
import { shownUrl } from '../http/clients/shown-url.js';
import type { Registry } from '../index.js';
import type { Logger, RequestEvent } from '../ports/runtime.js';
import type { RefusalReason } from '../protocol/refusal-reasons.js';
import { encodeError, RegistryError } from '../protocol/errors.js';
import { encodeHealth } from '../protocol/tables/management.js';
import { createAddressMatcher } from '../util/addresses.js';
import { Closers } from '../util/closers.js';

/** Refused connections are logged this far apart. */
const refusalsSeconds = 60;

export interface ServerOptions {
  readonly registry: Registry;
  readonly log: Logger;
  /**
   * Logs every request. Without it the registry is not even asked to tell about them.
   * @default false
   */
  readonly accessLog?: boolean;
  /** PEM. Absent: plain http. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer };
  /**
   * How long a connection may rest in the middle of a request; an upload that is cut off so can be resumed.
   * @default 120
   */
  readonly idleTimeoutSeconds?: number;
  /**
   * How many connections may be open; more are closed as they come. Near this number, idle connections make room for new ones.
   * @default no limit
   */
  readonly maxConnections?: number | undefined;
  /**
   * How many of them one address may have, of IPv6 one /64; its idle connections make room for new ones, and then more are closed.
   * @default 1000
   */
  readonly maxConnectionsPerClient?: number | undefined;
  /**
   * Addresses and networks that many clients share, to which `maxConnectionsPerClient` does not apply.
   * @default []
   */
  readonly trustedProxies?: readonly string[] | undefined;
  /**
   * How long the headers of a request may take to come.
   * @default 60
   */
  readonly headersTimeoutSeconds?: number;
  /**
   * How long a connection is kept for the next request. Clients written in Go reuse connections after a minute.
   * @default 75
   */
  readonly keepAliveTimeoutSeconds?: number;
}

/** The registry's own server: `/v2`, the management API, `/healthz` and `/readyz`. */
export interface RegistryServer {
  /** @throws what `net.Server` emits: EADDRINUSE and its like. */
  listen(port: number, host: string): Promise<AddressInfo>;
  /**
   * Takes no more connections, lets the requests in flight go on for so many seconds, destroys what is left and closes the
   * registry. The bytes that an upload has sent by then are kept.
   */
  stop(graceSeconds: number): Promise<void>;
  /** How many requests are not answered to their end. */
  readonly requestsInFlight: number;
}

/** Builds the server; it does not listen yet. @throws when the certificate and the key cannot be used. */
export function createRegistryServer(options: ServerOptions): RegistryServer {
  const { registry, log, accessLog = false } = options;
  const app = createApp(registry, log);
  const server = createNodeServer(options);
  const connections = new Connections(server, {
    idleMs: (options.idleTimeoutSeconds ?? 120) * 1000,
    maxConnections: options.maxConnections,
    maxPerClient: options.maxConnectionsPerClient ?? 1000,
    isShared: createAddressMatcher(options.trustedProxies ?? []),
    onRefused: reportRefusals(options),
  });
  server.on('request', (req: IncomingMessage, res: ServerResponse) => {
    connections.note(res);
    const malformation = findMalformation(req);
    if (malformation !== undefined) return refuse(res, malformation);
    try {
      app(req, res);
    } catch (cause) {
      // connect parses a URL before its error handler is in place: `http://[` would end the process.
      refuse(res, new RegistryError('UNSUPPORTED', { status: 400, message: 'this is not a valid URL', cause }));
    }
  });
  refuseWhatIsNoRequest(server, connections, log);
  if (accessLog) registry.events.on('request', (event) => logRequest(log, event));
  return {
    async listen(port, host) {
      server.listen(port, host);
      await once(server, 'listening');
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

function createNodeServer(options: ServerOptions): Server {
  const headersTimeout = (options.headersTimeoutSeconds ?? 60) * 1000;
  const settings = {
    // Covers the whole body: a slow upload of a large layer would get a 408. `Connections` minds those that rest.
    requestTimeout: 0,
    headersTimeout,
    connectionsCheckingInterval: Math.min(headersTimeout, 30_000),
    keepAliveTimeout: (options.keepAliveTimeoutSeconds ?? 75) * 1000,
    // Tokens with many groups in them are long.
    maxHeaderSize: 64 * 1024,
    // Answered by ourselves: node would send nothing but the status.
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

/** What node would answer with a bare status, or by closing the connection. */
function refuseWhatIsNoRequest(server: Server, connections: Connections, log: Logger): void {
  server.on('checkExpectation', (_req: IncomingMessage, res: ServerResponse) => {
    connections.note(res);
    refuse(res, new RegistryError('UNSUPPORTED', { status: 417, message: 'only 100-continue can be expected' }));
  });
  server.on('connect', (_req: IncomingMessage, socket: Socket) => {
    // Node has let go of the connection, with all its listeners.
    socket.on('error', () => {});
    connections.refuse(socket, formatLastAnswer(refuseConnect(), randomUUID()));
  });
  server.on('clientError', (error: NodeJS.ErrnoException & { reason?: string }, socket: Socket) => {
    const refusal = explainParserError(error.code);
    if (refusal === undefined) socket.destroy();
    // Told again of every part that still comes.
    else if (!connections.refuse(socket, formatLastAnswer(refusal, randomUUID()))) return;
    // Not the error itself: it has the bytes that came, and maybe a password in them.
    const fields = { code: error.code, reason: error.reason, remoteAddress: socket.remoteAddress };
    log.debug(fields, 'a connection brought no valid request');
  });
}

function createApp(registry: Registry, log: Logger): connect.Server {
  const app = connect();
  app.use(registry.middleware);
  app.use(registry.management);
  app.use('/healthz', (_req, res) => answer(res, 200, { status: 'ok' }));
  app.use('/readyz', (_req, res, next) => {
    // connect does not look at promises: a rejection that is not passed on here would end the process.
    registry
      .health()
      .then((report) => answer(res, report.status === 'ok' ? 200 : 503, encodeHealth(report)))
      .catch(next);
  });
  app.use((_req, res) => {
    const message = 'there is nothing here: the registry is at /v2/, its management API at /api/v1/repositories';
    answer(res, 404, { errors: [{ code: 'NOT_FOUND', message }] });
  });
  // Instead of connect's own page, which shows the stack. Four parameters are what makes it an error handler.
  app.use((error: unknown, req: IncomingMessage, res: ServerResponse, _next: connect.NextFunction) => {
    const requestId = randomUUID();
    log.error({ err: error, id: requestId, method: req.method, url: shownUrl(req.url ?? '') }, 'a request failed');
    if (res.headersSent) res.destroy();
    else answer(res, 500, encodeError(new RegistryError('UNKNOWN', { detail: { requestId } })), requestId);
  });
  return app;
}

/** The connection ends with it: whoever sent this may go on in the same way. */
function refuse(res: ServerResponse, error: RegistryError): void {
  res.shouldKeepAlive = false;
  answer(res, error.status, encodeError(error));
}

/** What the registry answers has the id of its `request` event; these have one of their own. */
function answer(res: ServerResponse, status: number, body: object | string, requestId: string = randomUUID()): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  // A body that nobody reads: without this, Node would take all of it in to keep the connection.
  if (announcesBody(res.req) && !res.req.complete) res.shouldKeepAlive = false;
  res.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
    'X-Request-Id': requestId,
    ...guardHeaders,
  });
  res.end(text);
}

/** Emits an event for each refused connection, and logs each reason once in a while, with how many there were. */
function reportRefusals(options: ServerOptions): (reason: RefusalReason, address: string) => void {
  const { registry, log, maxConnections, maxConnectionsPerClient } = options;
  const counts = new Map<RefusalReason, number>();
  return (reason, address) => {
    try {
      registry.events.emit('client.refused', { reason, address });
    } catch (err) {
      log.error({ err, event: 'client.refused' }, 'event listener failed');
    }
    const count = counts.get(reason);
    counts.set(reason, (count ?? 0) + 1);
    if (count !== undefined) return;
    log.warn({ reason, address, maxConnections, maxConnectionsPerClient }, 'connection refused: too many are open');
    setTimeout(() => {
      const refused = counts.get(reason) ?? 0;
      if (refused > 1) log.warn({ reason, refused, seconds: refusalsSeconds }, 'connections refused');
      counts.delete(reason);
    }, refusalsSeconds * 1000).unref();
  };
}

function logRequest(log: Logger, event: RequestEvent): void {
  const fields = { ...event, durationMs: Math.round(event.durationMs * 1000) / 1000 };
  // Probes come every few seconds and tell nothing.
  if (event.op === 'health.get') log.debug(fields, 'request');
  else log.info(fields, 'request');
}
