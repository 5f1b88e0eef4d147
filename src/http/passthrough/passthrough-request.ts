import type { ClientRequest, IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { PassthroughFailure } from './passthrough-errors.js';
import type { Route } from './passthrough-routes.js';

export interface UpstreamRequestOptions {
  readonly method: 'GET' | 'HEAD';
  readonly headers: Readonly<Record<string, string>>;
  readonly route: Route;
  /** The connection of our client. */
  readonly socket: IncomingMessage['socket'];
  readonly connectTimeoutMs: number;
  /** For the head of the answer, once there is a connection. */
  readonly responseTimeoutMs: number;
}

/**
 * One request to an upstream. http-proxy takes it for the client's: it copies method and headers of what it is given, pipes it
 * into the request that it makes, and leaves listeners on it. So it gets this, which has no body and exactly the headers that
 * are meant, a new one for each attempt.
 *
 * The timeouts are ours: http-proxy's `proxyTimeout` is one of the socket's, which also strikes when a slow client keeps the
 * socket from being read, and its error cannot be told from a reset.
 */
export class UpstreamRequest extends Readable {
  /** Mere form: the path of the route is set on the request itself. */
  readonly url = '/';
  readonly method: 'GET' | 'HEAD';
  readonly headers: Readonly<Record<string, string>>;
  /** http-proxy looks whether it was closed. */
  readonly socket: IncomingMessage['socket'];
  /** The head of the answer, its body not yet read. Rejects when there is none. */
  readonly answer: Promise<IncomingMessage>;
  readonly #options: UpstreamRequestOptions;
  #resolve: (answer: IncomingMessage) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  #request: ClientRequest | undefined;
  #timer: NodeJS.Timeout;

  constructor(options: UpstreamRequestOptions) {
    super();
    const { method, headers, route, socket, connectTimeoutMs } = options;
    this.#options = options;
    this.method = method;
    this.headers = { ...headers, ...route.headers };
    this.socket = socket;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#timer = this.#arm(connectTimeoutMs, 'no connection in time');
  }

  /** Whether it went over a connection that had been idle, which the other side may have closed in the meantime. */
  get reused(): boolean {
    return this.#request?.reusedSocket === true;
  }

  override _read(): void {}

  /** There is a socket for it. Nothing has been sent: that waits for the end of this stream. */
  onSocket(request: ClientRequest): void {
    this.#request = request;
    // http-proxy joins paths, and makes one slash of two: a signed URL would not survive that.
    request.path = this.#options.route.path;
    const { socket } = request;
    if (request.reusedSocket || socket === null) this.#onConnected();
    else socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => this.#onConnected());
    this.push(null);
  }

  onAnswer(answer: IncomingMessage): void {
    clearTimeout(this.#timer);
    // It may break off while nobody reads it yet.
    answer.on('error', () => {});
    this.#resolve(answer);
  }

  /** Gives up; after the answer it changes nothing. */
  fail(error: unknown): void {
    clearTimeout(this.#timer);
    this.#reject(error);
  }

  /** Gives up, and takes the request off the wire. */
  cancel(error: unknown): void {
    this.fail(error);
    // Before there is a socket only http-proxy has the request, which it aborts with its client's.
    if (this.#request === undefined) this.emit('aborted');
    else this.#request.destroy();
  }

  #onConnected(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#arm(this.#options.responseTimeoutMs, 'no answer in time');
  }

  #arm(ms: number, reason: string): NodeJS.Timeout {
    return setTimeout(() => this.cancel(new PassthroughFailure(reason)), ms);
  }
}
