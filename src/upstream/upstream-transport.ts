import { setTimeout as delay } from 'node:timers/promises';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { TargetPolicy } from '../ports/upstream.js';
import { drain, readBounded } from '../util/streams.js';
import { SourceClosedError } from '../util/source-listener.js';
import { firstOf, type AnswerHeaders } from './upstream-headers.js';
import { codeOf, failed, verdictOf } from './upstream-verdict.js';

export interface UpstreamRequest {
  readonly method: 'GET' | 'HEAD';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Default 5. */
  readonly maxRedirects?: number;
  /** Whether a HEAD that is redirected to another origin becomes a GET there: a URL may be signed for GET alone. */
  readonly getElsewhere?: boolean;
}

export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: AnswerHeaders;
  /** Must be consumed, destroyed or given to `discard`. An 'error' that nobody listens for is ignored. */
  readonly body: Readable;
  readonly url: URL;
  /** Whether a redirect led away from the origin that was asked first. */
  readonly elsewhere: boolean;
}

const redirects = new Set([301, 302, 303, 307, 308]);
const maxRedirectsDefault = 5;
/** The connection broke before the answer: most often one that was kept alive and closed by the other side meanwhile. */
const retryable = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);
const retryDelayMs = { least: 20, spread: 80 };
/** What is left of a body that nobody wants is read up to here, to keep the connection. */
const discardBounds = { maxBytes: 64 * 1024, maxMs: 1000 };

/** Sends requests that may be repeated, follows redirects, and says in words what went wrong. */
export class Transport {
  readonly #dispatcher: Dispatcher;
  readonly #targets: TargetPolicy;
  readonly #timeoutMs: number;
  readonly #onHead: (headers: AnswerHeaders) => void;

  /**
   * @param timeoutMs for the head of an answer, and between any two parts of its body.
   * @param onHead sees the head of every answer that came from the origin that was asked, redirects too.
   */
  constructor(
    { dispatcher, targets }: { readonly dispatcher: Dispatcher; readonly targets: TargetPolicy },
    timeoutMs: number,
    onHead: (headers: AnswerHeaders) => void = () => {},
  ) {
    this.#dispatcher = dispatcher;
    this.#targets = targets;
    this.#timeoutMs = timeoutMs;
    this.#onHead = onHead;
  }

  /**
   * The first answer that is no redirect. `Authorization` stays with the origin that was asked first.
   * @throws UpstreamVerdict failed.
   */
  async send(request: UpstreamRequest): Promise<UpstreamAnswer> {
    let { method, url } = request;
    let headers = request.headers;
    let elsewhere = false;
    for (let hops = 0; ; hops++) {
      const answer = await this.#sendOnce(method, url, headers);
      if (!elsewhere) this.#onHead(answer.headers);
      if (!redirects.has(answer.status)) return { ...answer, url, elsewhere };
      discard(answer.body);
      if (hops >= (request.maxRedirects ?? maxRedirectsDefault)) throw failed('it redirects too often');
      url = readLocation(answer.headers, url);
      if (url.origin === request.url.origin && !elsewhere) continue;
      elsewhere = true;
      // S3 refuses a signed URL that comes with Authorization besides; and nobody else may see it.
      headers = withoutAuthorization(headers);
      if (request.getElsewhere === true) method = 'GET';
    }
  }

  /** What is under way breaks off. */
  async close(): Promise<void> {
    await this.#dispatcher.destroy();
  }

  async #sendOnce(method: 'GET' | 'HEAD', url: URL, headers: Readonly<Record<string, string>>) {
    try {
      return await this.#dispatch(method, url, headers);
    } catch (error) {
      if (!retryable.has(codeOf(error))) throw verdictOf(error);
    }
    await delay(retryDelayMs.least + Math.random() * retryDelayMs.spread);
    try {
      return await this.#dispatch(method, url, headers);
    } catch (error) {
      throw verdictOf(error);
    }
  }

  async #dispatch(method: 'GET' | 'HEAD', url: URL, headers: Readonly<Record<string, string>>) {
    this.#targets.check(url);
    const answer = await this.#dispatcher.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method,
      headers,
      // With the request, not the agent: undici forgets an agent's on its way through a proxy.
      headersTimeout: this.#timeoutMs,
      bodyTimeout: this.#timeoutMs,
      // undici would close the connection after each HEAD, and revalidating tags is all HEAD. A server that sends a body
      // all the same is found out: what comes while nothing is asked for closes the connection.
      reset: false,
    });
    // Without a listener, destroying the body, as its owner may, would end the process.
    answer.body.on('error', () => {});
    return { status: answer.statusCode, headers: answer.headers, body: answer.body as Readable };
  }
}

function readLocation(headers: AnswerHeaders, from: URL): URL {
  const location = firstOf(headers, 'location');
  if (location === undefined || !URL.canParse(location, from.href)) throw failed('it redirects to nowhere');
  const url = new URL(location, from);
  if (url.protocol !== 'https:' && url.protocol !== from.protocol) throw failed('it redirects from https to http');
  url.username = '';
  url.password = '';
  url.hash = '';
  return url;
}

function withoutAuthorization(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'authorization'));
}

/** Gives up a body: a short rest is read so that the connection can be used again, else it is closed. Never waits. */
export function discard(body: Readable): void {
  void drain(body, discardBounds).then((ended) => {
    if (!ended) body.destroy();
  });
}

/**
 * The whole body in memory.
 * @param bounds.timeoutMs for all of it, however steadily it drips.
 * @throws UpstreamVerdict failed when it is larger, slower or cut short.
 */
export async function readWhole(
  { body }: Pick<UpstreamAnswer, 'body'>,
  bounds: { readonly maxBytes: number; readonly timeoutMs: number },
): Promise<Buffer> {
  const tooSlow = failed('the answer takes too long', { trouble: true });
  const timer = setTimeout(() => body.destroy(tooSlow), bounds.timeoutMs);
  try {
    const bytes = await readBounded(body, bounds.maxBytes);
    if (bytes !== undefined) return bytes;
  } catch (error) {
    throw verdictOf(error instanceof SourceClosedError ? (error.cause ?? error) : error);
  } finally {
    clearTimeout(timer);
  }
  body.destroy();
  throw failed(`the answer is larger than ${bounds.maxBytes} bytes`, { isLasting: true });
}
