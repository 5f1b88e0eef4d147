import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Outgoing } from '../../ports/upstream.js';
import type { Hop } from '../../protocol/upstream/redirects.js';
import { PendingAnswer } from '../../util/outgoing/pending-answer.js';
import type { Route } from '../../util/outgoing/routes.js';

/** The settings of one request. */
export interface UpstreamRequestOptions {
  readonly hop: Hop;
  readonly route: Route;
  /** The connection of our client. */
  readonly socket: IncomingMessage['socket'];
  readonly timeouts: Pick<Outgoing, 'connectTimeoutMs' | 'responseTimeoutMs'>;
}

/**
 * One request to an upstream. http-proxy treats it as the client's request: it copies the method and headers, pipes it into
 * the request that it makes, and leaves listeners on it. So each attempt gets a new one without a body, with exactly our
 * headers. It is not a stream, because a stream that only ends costs more than the rest of the request.
 *
 * The timeouts are ours: http-proxy's `proxyTimeout` applies to the socket, so it also strikes when a slow client keeps the
 * socket from being read, and its error cannot be told from a reset.
 */
export class UpstreamRequest {
  readonly method: Hop['method'];
  readonly headers: Readonly<Record<string, string>>;
  /** Checked by http-proxy. */
  readonly socket: IncomingMessage['socket'];
  readonly pending: PendingAnswer;
  readonly #path: string;

  constructor({ hop, route, socket, timeouts }: UpstreamRequestOptions) {
    this.method = hop.method;
    // Not a literal with three spreads, which takes a slow path of V8.
    this.headers = Object.assign({}, hop.headers, hop.credentials, route.headers);
    this.socket = socket;
    this.#path = route.pathPrefix + hop.url.pathname + hop.url.search;
    this.pending = new PendingAnswer(timeouts);
  }

  /** Does nothing: http-proxy listens for the failure of a client's body, and there is no body. */
  on(): void {}

  /** Ends the request that http-proxy made, because there is no body. */
  pipe(request: ClientRequest): void {
    // http-proxy joins paths and collapses slashes: a signed URL would not survive that.
    request.path = this.#path;
    this.pending.onRequest(request);
    request.end();
  }
}
