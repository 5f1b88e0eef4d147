import type { ClientRequest, IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { Outgoing } from '../../ports/upstream.js';
import { failed } from '../../protocol/upstream/verdict.js';

/** One request that waits for the head of its answer, with timeouts for the connection and for the head. */
export class PendingAnswer {
  /** The head of the answer; its body is not read yet. Rejects when there is none. */
  readonly head: Promise<IncomingMessage>;
  readonly #timeouts: Pick<Outgoing, 'connectTimeoutMs' | 'responseTimeoutMs'>;
  #resolve: (answer: IncomingMessage) => void = ignore;
  #reject: (error: unknown) => void = ignore;
  #request: ClientRequest | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(timeouts: Pick<Outgoing, 'connectTimeoutMs' | 'responseTimeoutMs'>) {
    this.#timeouts = timeouts;
    this.head = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Whether the request went over an idle connection, which the other side may have closed in the meantime. */
  get isReused(): boolean {
    return this.#request?.reusedSocket === true;
  }

  /** The request was made. It has an idle connection by now, or the agent opens one. */
  onRequest(request: ClientRequest): void {
    this.#request = request;
    if (request.reusedSocket) this.#onConnected();
    else this.#arm(this.#timeouts.connectTimeoutMs, 'no connection in time');
  }

  /** The request has a socket. */
  onSocket({ reusedSocket, socket }: ClientRequest): void {
    if (reusedSocket) return;
    // `dial` has connected the socket. A handshake of TLS may follow.
    if (socket instanceof TLSSocket) socket.once('secureConnect', () => this.#onConnected());
    else this.#onConnected();
  }

  /** The head has arrived. */
  onAnswer(answer: IncomingMessage): void {
    clearTimeout(this.#timer);
    // The body may break off before anyone reads it.
    answer.on('error', ignore);
    if (this.#request !== undefined && isReusable(this.#request, answer)) this.#request.shouldKeepAlive = true;
    this.#resolve(answer);
  }

  /** Gives up; has no effect after the answer. */
  fail(error: unknown): void {
    clearTimeout(this.#timer);
    this.#reject(error);
  }

  /** Gives up and takes the request off the wire. */
  cancel(error: unknown): void {
    this.fail(error);
    this.#request?.destroy();
  }

  #onConnected(): void {
    this.#arm(this.#timeouts.responseTimeoutMs, 'no answer in time');
  }

  #arm(ms: number, reason: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.cancel(failed(reason, { trouble: true })), ms);
  }
}

/** Node closes the connection after a HEAD without Content-Length, as if a body followed that ends with the connection. */
function isReusable({ method }: ClientRequest, { httpVersion, headers }: IncomingMessage): boolean {
  return method === 'HEAD' && httpVersion === '1.1' && !/\bclose\b/i.test(headers.connection ?? '');
}

function ignore(): void {}
