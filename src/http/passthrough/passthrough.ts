/**
 * Passes an exchange on to an upstream with http-proxy. This file is the only entry point: the rest of the folder is
 * private to it. Imported by http/ and the composition root.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import util from 'node:util';
import type HttpProxy from 'http-proxy';
import type { Forward } from '../../ports/upstream.js';
import { RegistryError } from '../../protocol/errors.js';
import type { Hop } from '../../protocol/upstream/redirects.js';
import { discard } from '../../util/outgoing/answer-body.js';
import type { PendingAnswer } from '../../util/outgoing/pending-answer.js';
import { Routes, type Route } from '../../util/outgoing/routes.js';
import { Stop } from '../../util/outgoing/stop.js';
import { travel, type Answer } from '../../util/outgoing/transport.js';
import { isResponseClosed } from '../clients/http2.js';
import {
  refuse,
  respond,
  type Passage,
  type PassthroughContext,
  type PassthroughOutcome,
} from './passthrough-answer.js';
import { buildRequestHeaders, mapBack } from './passthrough-headers.js';
import { UpstreamRequest } from './passthrough-request.js';

export type { PassthroughOutcome } from './passthrough-answer.js';

export interface PassthroughOptions {
  /** How long an idle connection to an upstream is kept; a server's own hint shortens it. @default 20000 */
  readonly keepAliveMs?: number;
}

export interface Passthrough {
  /** Carries a GET or HEAD to an upstream and answers it. Never rejects because of an upstream or a client. */
  send(
    req: IncomingMessage,
    res: ServerResponse,
    forward: Forward,
    context: PassthroughContext,
  ): Promise<PassthroughOutcome>;
  /** Cuts the connections to upstreams. */
  close(): void;
}

/** Creates a pass-through that carries exchanges by http-proxy, which is loaded with the first one. */
export function createPassthrough(options: PassthroughOptions = {}): Passthrough {
  return new HttpProxyPassthrough(options);
}

class HttpProxyPassthrough implements Passthrough {
  readonly #routes: Routes;
  /** One http-proxy for each route: it merges options anew for each request that brings its own. */
  readonly #proxies = new WeakMap<Route, HttpProxy>();

  constructor({ keepAliveMs = 20_000 }: PassthroughOptions) {
    this.#routes = new Routes(keepAliveMs);
  }

  async send(
    req: IncomingMessage,
    res: ServerResponse,
    forward: Forward,
    context: PassthroughContext,
  ): Promise<PassthroughOutcome> {
    const departure = new Stop();
    const onClose = (): void => {
      if (!res.writableFinished) departure.stop(new Error('the client has left'));
    };
    res.once('close', onClose);
    if (isResponseClosed(res)) onClose();
    const passage: Passage = { req, res, forward, context, departure };
    let body: IncomingMessage | undefined;
    try {
      const answer = await this.#ask(passage);
      body = answer.body;
      return await respond(passage, answer);
    } catch (thrown) {
      return await refuse(passage, thrown);
    } finally {
      res.off('close', onClose);
      if (body !== undefined && !body.destroyed && !body.readableEnded) discard(body);
    }
  }

  close(): void {
    this.#routes.close();
  }

  /** Returns the answer that redirects lead to. */
  #ask(passage: Passage): Promise<Answer> {
    const { req, forward, context, departure: stop } = passage;
    const { method } = req;
    if (method !== 'GET' && method !== 'HEAD')
      throw new RegistryError('UNSUPPORTED', { headers: { Allow: 'GET, HEAD' } });
    const headers = Object.assign(buildRequestHeaders(req), forward.headers);
    const handOver = forward.redirects === 'pass' ? (url: URL) => locationOf(url, forward, context.prefix) : undefined;
    const options = { responseTimeoutMs: forward.outgoing.responseTimeoutMs, stop, handOver };
    return forward.exchange(method, (by, credentials, from) => {
      const { url } = forward;
      const hop =
        from === undefined ? { method: by, url, headers, credentials, elsewhere: false } : { ...from, credentials };
      return travel(hop, (next, isFresh) => this.#start(passage, next, isFresh), options);
    });
  }

  #start({ req, res, forward }: Passage, hop: Hop, isFresh: boolean): PendingAnswer {
    const route = this.#routes.find(hop.url, forward.outgoing, isFresh);
    const request = new UpstreamRequest({ hop, route, socket: req.socket, timeouts: forward.outgoing });
    try {
      // Its types demand an IncomingMessage; it uses only what UpstreamRequest has.
      this.#proxyFor(route).web(request as unknown as IncomingMessage, res);
    } catch (error) {
      request.pending.cancel(error);
    }
    return request.pending;
  }

  #proxyFor(route: Route): HttpProxy {
    const known = this.#proxies.get(route);
    if (known !== undefined) return known;
    const proxy = createProxy(route);
    this.#proxies.set(route, proxy);
    return proxy;
  }
}

/** Returns the URL to which a redirect sends the client; `undefined` if only we have the credentials for it. */
function locationOf(url: URL, forward: Forward, prefix: string): string | undefined {
  return mapBack(url, { forward, prefix }) ?? (url.host === forward.url.host ? undefined : url.href);
}

/** Creates an http-proxy that reports the outcome of each of our requests to it. */
function createProxy({ target, agent }: Route): HttpProxy {
  const proxy = loadHttpProxy().createProxyServer({
    target,
    agent,
    selfHandleResponse: true,
    // The path is set on the request itself. `toProxy` alone keeps http-proxy from the deprecated url.parse.
    ignorePath: true,
    prependPath: false,
    toProxy: true,
  });
  const fail = (error: unknown, request: unknown): void => {
    if (request instanceof UpstreamRequest) request.pending.fail(error);
  };
  proxy.on('proxyReq', (outgoing, request: unknown) => {
    if (request instanceof UpstreamRequest) request.pending.onSocket(outgoing);
  });
  proxy.on('proxyRes', (answer, request: unknown) => {
    if (request instanceof UpstreamRequest) request.pending.onAnswer(answer);
  });
  proxy.on('error', fail);
  proxy.on('econnreset', fail);
  return proxy;
}

/**
 * Loads http-proxy without its deprecation warning (DEP0060, from Node 22 on): it keeps `util._extend`, whose calls warn. While
 * it loads, it finds Object.assign there, which does the same. The synchronous `require` hides that from everyone else.
 */
function loadHttpProxy(): typeof HttpProxy {
  const before = Object.getOwnPropertyDescriptor(util, '_extend');
  Object.defineProperty(util, '_extend', { value: Object.assign, configurable: true, writable: true });
  try {
    // `require` has no types.
    return createRequire(import.meta.url)('http-proxy') as typeof HttpProxy;
  } finally {
    if (before === undefined) Reflect.deleteProperty(util, '_extend');
    else Object.defineProperty(util, '_extend', before);
  }
}
