/**
 * This folder is the one way out: connections to upstreams, token realms and key servers. It follows redirects, retries
 * broken connections, and honors timeouts, outgoing proxies, private CAs and the target policy. `protocol/upstream/` decides
 * what answers mean. The pass-through sends its requests by http-proxy, everything else by node:http.
 */
import { setMaxListeners } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import type { Outgoing, UpstreamAnswer } from '../../ports/upstream.js';
import type { AnswerHeaders } from '../../protocol/upstream/answer-headers.js';
import { codeOf, verdictOf } from '../../protocol/upstream/connection-errors.js';
import { followRedirect, isRedirect, readLocation, type Hop } from '../../protocol/upstream/redirects.js';
import { failed } from '../../protocol/upstream/verdict.js';
import { discard, watchStall } from './answer-body.js';
import { PendingAnswer } from './pending-answer.js';
import { Routes } from './routes.js';

/** The answer to a request, after redirects. */
export interface Answer extends UpstreamAnswer {
  readonly body: IncomingMessage;
  /** Set for a redirect that the client is to follow. */
  readonly location?: string;
}

/** The settings of a request's transport. */
export interface TravelOptions {
  readonly responseTimeoutMs: number;
  /** @default 5 */
  readonly maxRedirects?: number | undefined;
  /** `false`: returns a redirect like any other answer. @default true */
  readonly followsRedirects?: boolean | undefined;
  /** Refuses redirects to another origin. @default false */
  readonly staysInOrigin?: boolean | undefined;
  /** Gives up; the promise rejects with its reason. */
  readonly signal: AbortSignal;
  /** Called with the head of every answer, redirects included, from the origin of the first request. */
  readonly onHead?: ((headers: AnswerHeaders) => void) | undefined;
  /** Returns the `Location` for the client, if it is to follow a redirect to `url` itself. */
  readonly handOver?: ((url: URL) => string | undefined) | undefined;
}

/** Sends one request. `isFresh`: not over an idle connection. */
export type Start = (hop: Hop, isFresh: boolean) => PendingAnswer;

const maxRedirectsDefault = 5;
/** The connection broke before the answer, usually an idle one that the other side closed. */
const retryable = new Set(['ECONNRESET', 'EPIPE']);
const maxRetries = 2;
const retryDelayMs = { min: 50, spread: 50 };

/**
 * Sends a request and returns the first answer that is not a redirect to follow.
 * @throws UpstreamVerdict failed.
 */
export async function travel(first: Hop, start: Start, options: TravelOptions): Promise<Answer> {
  const { maxRedirects = maxRedirectsDefault, staysInOrigin = false, responseTimeoutMs, onHead, handOver } = options;
  const { followsRedirects = true } = options;
  let hop = first;
  for (let redirects = 0; ; redirects++) {
    const body = await sendWithRetries(hop, start, options.signal);
    const { statusCode: status = 0, headers } = body;
    const answer: Answer = { status, headers, body, hop };
    if (!hop.elsewhere) onHead?.(headers);
    if (!followsRedirects || !isRedirect(status)) {
      watchStall(body, responseTimeoutMs);
      return answer;
    }
    discard(body);
    const url = readLocation(headers, hop.url);
    if (staysInOrigin && url.origin !== hop.url.origin) throw failed('it redirects to another host');
    const location = handOver?.(url);
    if (location !== undefined) return { ...answer, location };
    if (redirects >= maxRedirects) throw failed('it redirects too often');
    hop = followRedirect(hop, url);
  }
}

/**
 * Sends one request; again when an idle connection turns out to be closed, and once when a new one breaks. The last attempt
 * uses a new connection, because all idle ones may be closed.
 */
async function sendWithRetries(hop: Hop, start: Start, signal: AbortSignal): Promise<IncomingMessage> {
  for (let retries = 0; ; retries++) {
    signal.throwIfAborted();
    let pending: PendingAnswer | undefined;
    const onAbort = (): void => pending?.cancel(signal.reason);
    signal.addEventListener('abort', onAbort);
    try {
      pending = start(hop, retries === maxRetries);
      return await pending.head;
    } catch (error) {
      const isReused = pending?.isReused === true;
      const mayRetry = retryable.has(codeOf(error)) && retries < maxRetries && (isReused || retries === 0);
      if (!mayRetry || signal.aborted) throw verdictOf(error);
      if (!isReused) await delay(retryDelayMs.min + Math.random() * retryDelayMs.spread);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}

/** How long an idle connection is kept; a server's own hint shortens it. */
const keepAliveDefaultMs = 20_000;

/** Sends requests by node:http over connections of its own. */
export class Transport {
  readonly #outgoing: Outgoing;
  readonly #routes: Routes;
  readonly #closing = new AbortController();

  /** @param keepAliveMs 0: every request opens a connection. @default 20000 */
  constructor(outgoing: Outgoing, keepAliveMs = keepAliveDefaultMs) {
    this.#outgoing = outgoing;
    this.#routes = new Routes(keepAliveMs);
    setMaxListeners(0, this.#closing.signal);
  }

  /**
   * Returns the first answer that is not a redirect.
   * @throws UpstreamVerdict failed.
   */
  send(
    hop: Hop,
    options: Pick<TravelOptions, 'maxRedirects' | 'followsRedirects' | 'staysInOrigin' | 'onHead'> = {},
  ): Promise<Answer> {
    const { responseTimeoutMs } = this.#outgoing;
    return travel(hop, (next, isFresh) => this.#start(next, isFresh), {
      responseTimeoutMs,
      signal: this.#closing.signal,
      ...options,
    });
  }

  /** Breaks off all exchanges. */
  close(): void {
    // Not the upstream's fault: the breaker does not count it.
    this.#closing.abort(failed('the upstream client is closed'));
    this.#routes.close();
  }

  #start({ method, url, headers, credentials, form, body }: Hop, isFresh: boolean): PendingAnswer {
    const { target, path, agent, headers: own } = this.#routes.find(url, this.#outgoing, isFresh);
    const type = form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' };
    const options = { ...target, path, method, agent, headers: { ...headers, ...type, ...credentials, ...own } };
    const request = (target.protocol === 'https:' ? httpsRequest : httpRequest)(options);
    const pending = new PendingAnswer(this.#outgoing, () => void request.destroy());
    request
      .once('socket', () => pending.onSocket(request))
      .once('response', (answer) => pending.onAnswer(answer))
      .on('error', (error) => pending.fail(error))
      .end(body ?? form?.toString());
    return pending;
  }
}
