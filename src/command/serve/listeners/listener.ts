/** How `serve` accepts connections: on a port, on a Unix socket, and on an address for metrics and probes. */

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer, Server as HttpsServer } from 'node:https';
import type { AddressInfo, ListenOptions, Socket } from 'node:net';
import { guardHeaders } from '../../../http/answer-headers.js';
import { announcesBody, holdConnection } from '../../../http/bodies/body.js';
import { shownUrl } from '../../../http/clients/shown-url.js';
import {
  explainParserError,
  findMalformation,
  formatLastAnswer,
  refuseConnect,
} from '../../../http/limits/malformed.js';
import type { Logger, ReportRefusal } from '../../../ports/runtime.js';
import { encodeError, RegistryError } from '../../../protocol/errors.js';
import { addressesOf, createAddressMatcher } from '../../../util/addresses.js';
import { Connections, type ConnectionLimits } from './connections.js';

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

/** Options of a `Listener`. */
export interface ListenerOptions extends LiveServerOptions {
  readonly log: Logger;
  readonly onRefused: ReportRefusal;
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

/** Accepts connections on one address, limits them, and passes valid requests on. */
export class Listener {
  readonly #server: Server;
  readonly #connections: Connections;

  /** @throws Error if the certificate or the key cannot be used. */
  constructor(app: (req: IncomingMessage, res: ServerResponse) => void, options: ListenerOptions) {
    const server = createNodeServer(options);
    const connections = new Connections(server, { ...limitsOf(options), onRefused: options.onRefused });
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
    refuseInvalidRequests(server, connections, options.log);
    this.#server = server;
    this.#connections = connections;
  }

  /** The number of requests whose answer is not complete. */
  get requestsInFlight(): number {
    return this.#connections.requestsInFlight;
  }

  /** Starts to listen. Binds before it returns the promise. @throws the error of `net.Server`, such as EADDRINUSE. */
  async listen(place: ListenOptions): Promise<AddressInfo | string | null> {
    this.#server.listen(place);
    await once(this.#server, 'listening');
    return this.#server.address();
  }

  /**
   * Applies other options. A listener in plain http ignores `tls`. Open connections keep their certificate.
   * @throws Error if the certificate cannot be used.
   */
  update(options: LiveServerOptions): void {
    if (options.tls !== undefined && this.#server instanceof HttpsServer) this.#server.setSecureContext(options.tls);
    this.#connections.limit(limitsOf(options));
  }

  /** Stops accepting connections, and resolves when all are closed. Answers in progress have `graceMs` to complete. */
  close(graceMs: number): Promise<void> {
    return this.#connections.close(graceMs);
  }
}

function limitsOf(options: LiveServerOptions): ConnectionLimits {
  return {
    idleMs: (options.idleTimeoutSeconds ?? 120) * 1000,
    maxConnections: options.maxConnections,
    maxPerClient: options.maxConnectionsPerClient ?? 1000,
    isShared: createAddressMatcher(addressesOf(options.trustedProxies ?? [])),
  };
}

function createNodeServer(options: ListenerOptions): Server {
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
  // A client may close its side after its last request, as HTTP allows: Node would drop answers that are not sent yet.
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

/** Answers and closes the connection, because the client may send more of the same. */
function refuse(res: ServerResponse, error: RegistryError): void {
  res.shouldKeepAlive = false;
  answer(res, error.status, encodeError(error));
}

/** What an answer has besides its status and its body. */
export interface AnswerExtras {
  /** @default a new one; answers of the registry have the id of the `request` event */
  readonly requestId?: string;
  /** @default none besides those of every answer */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** Sends an answer: JSON, unless `headers` has another `Content-Type`. */
export function answer(
  res: ServerResponse,
  status: number,
  body: object | string,
  { requestId = randomUUID(), headers }: AnswerExtras = {},
): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  // Without this, Node would read all of an unread body to keep the connection alive.
  if (announcesBody(res.req) && !res.req.complete) res.shouldKeepAlive = false;
  const discardRest = holdConnection(res.req);
  res.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
    'X-Request-Id': requestId,
    ...guardHeaders,
    ...headers,
  });
  res.end(text);
  void discardRest();
}

/** Answers with 500 and logs the error under the id of the request. Ends an answer that has begun. */
export function answerFailure(log: Logger, res: ServerResponse, error: unknown): void {
  const requestId = randomUUID();
  const { method, url = '' } = res.req;
  log.error({ err: error, id: requestId, method, url: shownUrl(url) }, 'request failed');
  if (res.headersSent) res.destroy();
  else answer(res, 500, encodeError(new RegistryError('UNKNOWN', { detail: { requestId } })), { requestId });
}
