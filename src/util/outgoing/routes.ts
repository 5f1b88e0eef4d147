import { setMaxListeners } from 'node:events';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import type { Outgoing, TargetPolicy } from '../../ports/upstream.js';
import type { RequestUrl } from '../../protocol/upstream/redirects.js';
import { dial, dialWith } from './dial.js';
import { authorizeTo, endpointOf, openTunnel, parseProxy, type ServerAddress } from './tunnel.js';

/** The route of requests to one origin. */
export interface Route {
  /** The other end of the connection: the host of the URL, or a proxy that is asked with the absolute URL. */
  readonly target: ServerAddress;
  /** Precedes the path in the request line: the origin, if a proxy is asked with the absolute URL. */
  readonly pathPrefix: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly agent: HttpAgent;
}

/** The settings that connections depend on. */
export type RouteSettings = Pick<Outgoing, 'targets' | 'ca' | 'findProxy' | 'connectTimeoutMs'>;

/** Redirects may lead to any number of origins. */
const maxKnownRoutes = 100;

/**
 * Keeps connections alive, in one agent for each combination of CA, proxy and policy: a connection that one policy allows may
 * be forbidden by another.
 */
export class Routes {
  readonly #agents = new Map<string, HttpAgent>();
  /** The routes by settings and origin. */
  #known = new WeakMap<RouteSettings, Map<string, Route>>();
  readonly #keepAliveMs: number;
  readonly #closing = new AbortController();

  /** @param keepAliveMs 0: connections are not reused. */
  constructor(keepAliveMs: number) {
    this.#keepAliveMs = keepAliveMs;
    setMaxListeners(0, this.#closing.signal);
  }

  /**
   * Returns the route to the origin of a URL.
   * @param isFresh whether to open a connection instead of reusing an idle one.
   * @throws UpstreamVerdict failed for a host that the policy refuses.
   */
  find(url: RequestUrl, settings: RouteSettings, isFresh = false): Route {
    if (isFresh) return this.#plan(url, settings, true);
    const known = this.#knownFor(settings);
    const found = known.get(url.origin);
    if (found !== undefined) return found;
    const route = this.#plan(url, settings, false);
    if (known.size >= maxKnownRoutes) known.clear();
    known.set(url.origin, route);
    return route;
  }

  #knownFor(settings: RouteSettings): Map<string, Route> {
    const found = this.#known.get(settings);
    if (found !== undefined) return found;
    const known = new Map<string, Route>();
    this.#known.set(settings, known);
    return known;
  }

  #plan(url: RequestUrl, settings: RouteSettings, isFresh: boolean): Route {
    settings.targets.check(url);
    const direct = { target: endpointOf(url), pathPrefix: '', headers: { host: url.host } };
    const proxyUrl = settings.findProxy(url);
    const { targets } = settings;
    if (proxyUrl === undefined) return { ...direct, agent: this.#direct(url.protocol, settings, { isFresh, targets }) };
    const proxy = parseProxy(proxyUrl);
    if (url.protocol === 'https:') return { ...direct, agent: this.#tunnel(proxy, settings, isFresh) };
    // Many proxies refuse CONNECT to ports other than 443: plain http is requested by its absolute URL.
    return {
      target: endpointOf(proxy),
      pathPrefix: url.origin,
      headers: { host: url.host, ...authorizeTo(proxy) },
      agent: this.#direct(proxy.protocol, settings, { isFresh }),
    };
  }

  /** Cuts all connections, including those that are being opened. */
  close(): void {
    this.#closing.abort();
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
    this.#known = new WeakMap();
  }

  /** @param use.targets absent for a connection to a proxy, which the operator chose. */
  #direct(
    protocol: string,
    { ca, connectTimeoutMs: timeoutMs }: RouteSettings,
    { isFresh, targets }: { readonly isFresh: boolean; readonly targets?: TargetPolicy },
  ): HttpAgent {
    const isSecure = protocol === 'https:';
    const key = [protocol, isSecure ? ca : undefined, targets?.key, timeoutMs, isFresh];
    return this.#keep(key, () => {
      const options = this.#options(isFresh);
      const agent = isSecure ? new HttpsAgent({ ...options, ...trust(ca) }) : new HttpAgent(options);
      const { signal } = this.#closing;
      return dialWith(agent, (target) => dial({ ...target, lookup: targets?.lookup, timeoutMs, signal }));
    });
  }

  #tunnel(proxy: URL, settings: RouteSettings, isFresh: boolean): HttpAgent {
    const { ca, connectTimeoutMs } = settings;
    return this.#keep(['tunnel', proxy.href, ca, connectTimeoutMs, isFresh], () => {
      // A CONNECT is not repeated, so it does not go over an idle connection.
      const agent = this.#direct(proxy.protocol, settings, { isFresh: true });
      return dialWith(new HttpsAgent({ ...this.#options(isFresh), ...trust(ca) }), (target) =>
        openTunnel(proxy, target, { timeoutMs: connectTimeoutMs, agent }),
      );
    });
  }

  #keep(parts: readonly unknown[], create: () => HttpAgent): HttpAgent {
    const key = JSON.stringify(parts);
    const known = this.#agents.get(key);
    if (known !== undefined) return known;
    const agent = create();
    this.#agents.set(key, agent);
    return agent;
  }

  #options(isFresh: boolean) {
    if (isFresh || this.#keepAliveMs === 0) return { keepAlive: false } as const;
    // `timeout` closes idle connections; requests under way only get an event without listeners.
    return { keepAlive: true, timeout: this.#keepAliveMs, scheduling: 'lifo' } as const;
  }
}

/**
 * Trusts `ca` in addition to the public certificate authorities, which the CDN behind a private registry may need. The
 * certificates are parsed once for each agent, not for each connection.
 */
function trust(ca: Outgoing['ca']): { secureContext?: SecureContext } {
  return ca === undefined ? {} : { secureContext: createSecureContext({ ca: [...rootCertificates, ...[ca].flat()] }) };
}
