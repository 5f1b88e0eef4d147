import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import util from 'node:util';
import type HttpProxy from 'http-proxy';
import type { Forward } from '../../ports/upstream.js';
import { RegistryError } from '../../protocol/errors.js';
import {
  passOn,
  refuse,
  sendReply,
  type Arrival,
  type Hop,
  type Passage,
  type PassthroughContext,
  type PassthroughOutcome,
} from './passthrough-answer.js';
import { discard } from './passthrough-body.js';
import { codeOf, judge, PassthroughFailure } from './passthrough-errors.js';
import { buildForwardHeaders, buildRequestHeaders, mapBack, readLocation } from './passthrough-headers.js';
import { UpstreamRequest } from './passthrough-request.js';
import { Routes } from './passthrough-routes.js';

export type { PassthroughContext, PassthroughOutcome } from './passthrough-answer.js';

export interface PassthroughOptions {
  /** How long an idle connection to an upstream is kept; its own hint shortens it. @default 20000 */
  readonly keepAliveMs?: number;
}

export interface Passthrough {
  /** Carries a GET or HEAD to an upstream and answers it, whatever happens. Rejects for no upstream and no client. */
  send(
    req: IncomingMessage,
    res: ServerResponse,
    forward: Forward,
    context: PassthroughContext,
  ): Promise<PassthroughOutcome>;
  /** Cuts the connections to upstreams. */
  close(): void;
}

/** Carries exchanges to upstreams by http-proxy, which is loaded with the first one. */
export function createPassthrough(options: PassthroughOptions = {}): Passthrough {
  return new HttpProxyPassthrough(options);
}

const redirectStatuses = new Set([301, 302, 303, 307, 308]);
const maxRedirects = 5;
/** The connection broke before the answer: most often one that was kept alive and closed by the other side meanwhile. */
const retryable = new Set(['ECONNRESET', 'EPIPE']);
const maxRetries = 2;
const retryDelayMs = 50;

class HttpProxyPassthrough implements Passthrough {
  readonly #routes: Routes;
  #proxy: HttpProxy | undefined;

  constructor({ keepAliveMs = 20_000 }: PassthroughOptions) {
    this.#routes = new Routes(keepAliveMs);
  }

  async send(
    req: IncomingMessage,
    res: ServerResponse,
    forward: Forward,
    context: PassthroughContext,
  ): Promise<PassthroughOutcome> {
    const left = new AbortController();
    const onClose = (): void => {
      if (!res.writableFinished) left.abort();
    };
    res.once('close', onClose);
    if (res.destroyed) left.abort();
    const passage: Passage = { req, res, forward, context, left: left.signal };
    try {
      return await this.#pass(passage);
    } catch (thrown) {
      return await refuse(passage, thrown);
    } finally {
      res.off('close', onClose);
    }
  }

  close(): void {
    this.#routes.close();
  }

  async #pass(passage: Passage): Promise<PassthroughOutcome> {
    const arrival = await this.#travel(passage);
    const { answer, hop, location } = arrival;
    const { forward } = passage;
    const { statusCode: status = 0 } = answer;
    try {
      if (location !== undefined) {
        await sendReply(passage, { status, headers: { Location: location } });
        return { status };
      }
      if (answersRequest(status, buildRequestHeaders(passage.req))) return await passOn(passage, arrival);
      const withToken = /^bearer /i.test(hop.added['authorization'] ?? '');
      const { host: upstream, pathname: path } = forward.url;
      const origin = { upstream, elsewhere: hop.elsewhere, withToken, path };
      throw await judge(answer, origin, forward.responseTimeoutMs);
    } finally {
      if (!answer.destroyed && !answer.readableEnded) discard(answer);
    }
  }

  /** To the answer that is not ours to deal with: credentials renewed once, redirects followed. */
  async #travel(passage: Passage): Promise<Arrival> {
    const { req, forward, context } = passage;
    if (req.method !== 'GET' && req.method !== 'HEAD')
      throw new RegistryError('UNSUPPORTED', { headers: { Allow: 'GET, HEAD' } });
    const added = buildForwardHeaders(forward.headers, context.trail);
    let hop: Hop = { method: req.method, url: forward.url, added, elsewhere: false };
    let renewed = false;
    for (let redirects = 0; ;) {
      const answer = await this.#ask(passage, hop);
      const { statusCode: status = 0 } = answer;
      if (status === 401 && !hop.elsewhere && !renewed) {
        renewed = true;
        // Not while an upstream's connection is held: the answer may take as long as a realm does.
        discard(answer);
        const renewal = await forward.renew();
        if (renewal === undefined) return { hop, answer };
        hop = { ...hop, added: buildForwardHeaders(renewal, context.trail) };
        continue;
      }
      if (!redirectStatuses.has(status)) return { hop, answer };
      const next = turn(passage, hop, answer);
      if (typeof next === 'string') return { hop, answer, location: next };
      discard(answer);
      redirects += 1;
      if (redirects > maxRedirects) throw new PassthroughFailure('it redirects too often');
      hop = next;
    }
  }

  /** One request, again when an idle connection turns out to be closed, and once when a new one breaks. */
  async #ask(passage: Passage, hop: Hop): Promise<IncomingMessage> {
    for (let retries = 0; ; retries++) {
      passage.left.throwIfAborted();
      const request = this.#start(passage, hop);
      const onLeft = (): void => request.cancel(passage.left.reason);
      passage.left.addEventListener('abort', onLeft);
      try {
        return await request.answer;
      } catch (error) {
        const again = retryable.has(codeOf(error)) && retries < maxRetries && (request.reused || retries === 0);
        if (!again || passage.left.aborted) throw error;
        if (!request.reused) await delay(retryDelayMs);
      } finally {
        passage.left.removeEventListener('abort', onLeft);
      }
    }
  }

  #start({ req, res, forward }: Passage, { method, url, added }: Hop): UpstreamRequest {
    const route = this.#routes.find(url, forward);
    this.#proxy ??= createProxy();
    const request = new UpstreamRequest({
      method,
      headers: { ...buildRequestHeaders(req), ...added },
      route,
      socket: req.socket,
      connectTimeoutMs: forward.connectTimeoutMs,
      responseTimeoutMs: forward.responseTimeoutMs,
    });
    // `toProxy` alone keeps http-proxy from the deprecated url.parse.
    const options = { target: route.target, agent: route.agent, toProxy: true, prependPath: false };
    try {
      this.#proxy.web(request as unknown as IncomingMessage, res, options);
    } catch (error) {
      request.cancel(error);
    }
    return request;
  }
}

/** Whether the status is one that a client may expect: half a blob that it did not ask for would look whole to it. */
function answersRequest(status: number, asked: Readonly<Record<string, string>>): boolean {
  if (status === 206) return asked['range'] !== undefined;
  if (status === 304) return asked['if-none-match'] !== undefined || asked['if-modified-since'] !== undefined;
  return status === 200;
}

/** The next hop of a redirect, or the URL to which the client is sent. */
function turn({ forward, context, req }: Passage, hop: Hop, { headers }: IncomingMessage): Hop | string {
  const url = readLocation(headers, hop.url);
  if (forward.redirects === 'pass') {
    const mapped = mapBack(url, { forward, prefix: context.prefix });
    if (mapped !== undefined) return mapped;
    // Nobody but us has what it takes to ask the upstream itself.
    if (url.host !== forward.url.host) return url.href;
  }
  if (url.origin === forward.url.origin && !hop.elsewhere) return { ...hop, url };
  // S3 refuses a signed URL that comes with credentials besides, and nobody else may see them; a URL may be signed for GET alone.
  const { via } = hop.added as { readonly via?: string };
  return {
    method: req.method === 'HEAD' ? 'GET' : hop.method,
    url,
    added: via === undefined ? {} : { via },
    elsewhere: true,
  };
}

/** An http-proxy that tells each of our requests what becomes of it. */
function createProxy(): HttpProxy {
  const proxy = loadHttpProxy().createProxyServer({ selfHandleResponse: true });
  const fail = (error: unknown, request: unknown): void => {
    if (request instanceof UpstreamRequest) request.fail(error);
  };
  proxy.on('proxyReq', (outgoing, request: unknown) => {
    if (request instanceof UpstreamRequest) request.onSocket(outgoing);
  });
  proxy.on('proxyRes', (answer, request: unknown) => {
    if (request instanceof UpstreamRequest) request.onAnswer(answer);
  });
  proxy.on('error', fail);
  proxy.on('econnreset', fail);
  return proxy;
}

/**
 * http-proxy takes hold of `util._extend` while it is loaded, and each call of that warns once a process (DEP0060, from Node 22
 * on). For just this moment it finds Object.assign there, which does the same; a synchronous `require`, so that nobody
 * else sees it.
 */
function loadHttpProxy(): typeof HttpProxy {
  const before = Object.getOwnPropertyDescriptor(util, '_extend');
  Object.defineProperty(util, '_extend', { value: Object.assign, configurable: true, writable: true });
  try {
    return createRequire(import.meta.url)('http-proxy') as typeof HttpProxy;
  } finally {
    if (before === undefined) Reflect.deleteProperty(util, '_extend');
    else Object.defineProperty(util, '_extend', before);
  }
}
