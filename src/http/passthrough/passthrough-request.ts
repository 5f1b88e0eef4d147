import { EventEmitter } from 'node:events';
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
export class UpstreamRequest extends EventEmitter {
  /** Not used: the path of the route is set on the request itself. */
  readonly url = '/';
  readonly method: Hop['method'];
  readonly headers: Readonly<Record<string, string>>;
  /** Checked by http-proxy. */
  readonly socket: IncomingMessage['socket'];
  readonly pending: PendingAnswer;
  readonly #path: string;
  #request: ClientRequest | undefined;

  constructor(options: UpstreamRequestOptions) {
    super();
    const { hop, route, socket } = options;
    this.method = hop.method;
    this.headers = { ...hop.headers, ...hop.credentials, ...route.headers };
    this.socket = socket;
    this.#path = route.path;
    this.pending = new PendingAnswer(options.timeouts, () => void this.#request?.destroy());
  }

  /** Ends the request that http-proxy made, because there is no body. */
  pipe(request: ClientRequest): void {
    this.#request = request;
    // http-proxy joins paths and collapses slashes: a signed URL would not survive that.
    request.path = this.#path;
    request.end();
  }
}
