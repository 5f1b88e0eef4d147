/**
 * Requests to a bucket: `s3-exchange.ts` sends one, `s3-signing.ts` signs it, `s3-client.ts` retries it, `s3-bucket.ts` has the
 * requests that the store needs.
 */
import { Agent as HttpAgent, request as requestHttp, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import type { S3Timeouts } from '../s3-options.js';

/** One signed request. */
export interface SignedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer | undefined;
}

const maxConnections = 64;

/** Sends requests to one host, over connections that are kept alive. */
export class S3Exchange {
  readonly #origin: URL;
  readonly #timeouts: S3Timeouts;
  readonly #agent: HttpAgent;
  readonly #running = new Set<ClientRequest>();
  #closed = false;

  constructor(origin: URL, timeouts: S3Timeouts) {
    this.#origin = origin;
    this.#timeouts = timeouts;
    const options = { keepAlive: true, maxSockets: maxConnections, maxFreeSockets: maxConnections };
    this.#agent = origin.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options);
  }

  /** Resolves to the head of the answer. The caller reads its body to the end, or destroys it. */
  send({ method, path, headers, body }: SignedRequest): Promise<IncomingMessage> {
    if (this.#closed) return Promise.reject(new Error('the blob store is closed'));
    const { protocol, hostname, port } = this.#origin;
    const open = protocol === 'https:' ? requestHttps : requestHttp;
    return new Promise((resolve, reject) => {
      const host = hostname.replace(/^\[|\]$/g, '');
      const request = open({ host, port, method, path, headers, agent: this.#agent });
      this.#running.add(request);
      this.#watch(request);
      request.once('close', () => this.#running.delete(request));
      // Stays after the answer has arrived, because its body may stall.
      request.on('error', reject);
      request.once('response', (answer) => {
        // The body may break off before anyone reads it.
        answer.on('error', () => undefined);
        resolve(answer);
      });
      request.end(body);
    });
  }

  close(): void {
    this.#closed = true;
    for (const request of this.#running) request.destroy(new Error('the blob store is closed'));
    this.#agent.destroy();
  }

  /** Aborts a request without progress. A request may wait for a free connection as long as others make progress. */
  #watch(request: ClientRequest): void {
    const { connectMs, answerMs, idleMs } = this.#timeouts;
    const give = (what: string) => (): void => void request.destroy(new Error(`${what} of the object store`));
    request.once('socket', (socket) => {
      request.setTimeout(idleMs, give('no progress'));
      if (!socket.connecting) return;
      const connecting = setTimeout(give('no connection'), connectMs);
      socket.once('connect', () => clearTimeout(connecting)).once('close', () => clearTimeout(connecting));
    });
    request.once('finish', () => {
      const answering = setTimeout(give('no answer'), answerMs);
      request.once('response', () => clearTimeout(answering)).once('close', () => clearTimeout(answering));
    });
  }
}
