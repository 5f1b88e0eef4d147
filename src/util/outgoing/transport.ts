/**
 * This folder is the one way out: connections to upstreams, token realms and key servers. It follows redirects, retries
 * broken connections, and honors timeouts, outgoing proxies, private CAs and the target policy. `protocol/upstream/` decides
 * what answers mean. The pass-through sends its requests by http-proxy, everything else by node:http.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import type { Outgoing, UpstreamAnswer } from '../../ports/upstream.js';
import type { AnswerHeaders } from '../../protocol/upstream/answer-headers.js';
import { codeOf, verdictOf } from '../../protocol/upstream/connection-errors.js';
import { followRedirect, isRedirect, readLocation, type Hop } from '../../protocol/upstream/redirects.js';
import { failed, type UpstreamVerdict } from '../../protocol/upstream/verdict.js';
import { discard, watchStall } from './answer-body.js';
import { PendingAnswer } from './pending-answer.js';
import { Routes } from './routes.js';
import { Stop } from './stop.js';

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
  /** Gives up; the promise rejects with its error. */
  readonly stop: Stop;
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
    const body = await sendWithRetries(hop, start, options.stop);
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
async function sendWithRetries(hop: Hop, start: Start, stop: Stop): Promise<IncomingMessage> {
  for (let retries = 0; ; retries++) {
    stop.throwIfStopped();
    let pending: PendingAnswer | undefined;
    try {
      pending = start(hop, retries === maxRetries);
      stop.watch(pending);
      return await pending.head;
    } catch (error) {
      // No verdict: a client that has left says nothing about the upstream.
      stop.throwIfStopped();
      const isReused = pending?.isReused === true;
      const mayRetry = retryable.has(codeOf(error)) && retries < maxRetries && (isReused || retries === 0);
      if (!mayRetry) throw verdictOf(error);
      if (!isReused) await delay(retryDelayMs.min + Math.random() * retryDelayMs.spread);
    } finally {
      stop.watch(undefined);
    }
  }
}

/** How long an idle connection is kept; a server's own hint shortens it. */
const keepAliveDefaultMs = 20_000;

/** Sends requests by node:http over connections of its own. */
export class Transport {
  readonly #outgoing: Outgoing;
  readonly #routes: Routes;
  readonly #running = new Set<Stop>();
  #isClosed = false;

  /** @param keepAliveMs 0: every request opens a connection. @default 20000 */
  constructor(outgoing: Outgoing, keepAliveMs = keepAliveDefaultMs) {
    this.#outgoing = outgoing;
    this.#routes = new Routes(keepAliveMs);
  }

  /**
   * Returns the first answer that is not a redirect.
   * @throws UpstreamVerdict failed.
   */
  async send(
    hop: Hop,
    options: Pick<TravelOptions, 'maxRedirects' | 'followsRedirects' | 'staysInOrigin' | 'onHead'> = {},
  ): Promise<Answer> {
    const { responseTimeoutMs } = this.#outgoing;
    const stop = new Stop();
    if (this.#isClosed) stop.stop(closed());
    this.#running.add(stop);
    try {
      return await travel(hop, (next, isFresh) => this.#start(next, isFresh), { responseTimeoutMs, stop, ...options });
    } finally {
      this.#running.delete(stop);
    }
  }

  /** Breaks off all exchanges. */
  close(): void {
    this.#isClosed = true;
    for (const stop of this.#running) stop.stop(closed());
    this.#routes.close();
  }

  #start({ method, url, headers, credentials, form, body }: Hop, isFresh: boolean): PendingAnswer {
    const { target, pathPrefix, agent, headers: own } = this.#routes.find(url, this.#outgoing, isFresh);
    const path = pathPrefix + url.pathname + url.search;
    const type = form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' };
    const options = { ...target, path, method, agent, headers: { ...headers, ...type, ...credentials, ...own } };
    const request = (target.protocol === 'https:' ? httpsRequest : httpRequest)(options);
    const pending = new PendingAnswer(this.#outgoing);
    pending.onRequest(request);
    request
      .once('socket', () => pending.onSocket(request))
      .once('response', (answer) => pending.onAnswer(answer))
      .on('error', (error) => pending.fail(error))
      .end(body ?? form?.toString());
    return pending;
  }
}

/** Not the upstream's fault: the breaker does not count it. */
function closed(): UpstreamVerdict {
  return failed('the upstream client is closed');
}
