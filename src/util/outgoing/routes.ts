import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import type { Outgoing, TargetPolicy } from '../../ports/upstream.js';
import { authorizeTo, endpointOf, openTunnel, parseProxy, type Endpoint } from './tunnel.js';

/** How a request reaches one URL. */
export interface Route {
  /** The other end of the connection: the host of the URL, or a proxy that is asked with the absolute URL. */
  readonly target: Endpoint;
  /** The target of the request line. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly agent: HttpAgent;
}

/** The settings that connections depend on. */
export type RouteSettings = Pick<Outgoing, 'targets' | 'ca' | 'findProxy' | 'connectTimeoutMs'>;

/**
 * Keeps connections alive, in one agent for each combination of CA, proxy and policy: a connection that one policy allows may
 * be forbidden by another.
 */
export class Routes {
  readonly #agents = new Map<string, HttpAgent>();
  readonly #keepAliveMs: number;

  /** @param keepAliveMs 0: connections are not reused. */
  constructor(keepAliveMs: number) {
    this.#keepAliveMs = keepAliveMs;
  }

  /** Returns the route to a URL. @throws UpstreamVerdict failed for a host that the policy refuses. */
  find(url: URL, settings: RouteSettings): Route {
    settings.targets.check(url);
    const path = url.pathname + url.search;
    const direct = { target: endpointOf(url), path, headers: { host: url.host } };
    const proxyUrl = settings.findProxy(url);
    if (proxyUrl === undefined) return { ...direct, agent: this.#direct(url.protocol, settings, settings.targets) };
    const proxy = parseProxy(proxyUrl);
    if (url.protocol === 'https:') return { ...direct, agent: this.#tunnel(proxy, settings) };
    // Many proxies refuse CONNECT to ports other than 443: plain http is requested by its absolute URL.
    return {
      target: endpointOf(proxy),
      path: url.origin + path,
      headers: { host: url.host, ...authorizeTo(proxy) },
      agent: this.#direct(proxy.protocol, settings),
    };
  }

  /** Cuts all connections. */
  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  /** @param targets absent for a connection to a proxy, which the operator chose. */
  #direct(protocol: string, { ca }: RouteSettings, targets?: TargetPolicy): HttpAgent {
    const guarded = targets === undefined ? {} : { lookup: targets.lookup };
    const options = { ...this.#options(), ...guarded };
    if (protocol !== 'https:') return this.#keep(['http', targets?.key], () => new HttpAgent(options));
    return this.#keep(['https', ca, targets?.key], () => new HttpsAgent({ ...options, ...trust(ca) }));
  }

  #tunnel(proxy: URL, { ca, connectTimeoutMs }: RouteSettings): HttpAgent {
    return this.#keep(['tunnel', proxy.href, ca, connectTimeoutMs], () => {
      const trusted = trust(ca);
      const agent = new HttpsAgent(this.#options());
      agent.createConnection = (options, callback) => {
        const { host, port, servername } = options as { host: string; port: number; servername?: string };
        const name = servername === undefined || isIP(servername) ? {} : { servername };
        const done = callback as (error: Error | null, socket?: Duplex) => void;
        openTunnel(proxy, { host, port }, connectTimeoutMs, trusted).then(
          (socket) => done(null, connectTls({ ...trusted, ...name, socket, host })),
          (error: Error) => done(error),
        );
        return undefined;
      };
      return agent;
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

  #options() {
    if (this.#keepAliveMs === 0) return { keepAlive: false } as const;
    // `timeout` closes idle connections; requests under way only get an event without listeners.
    return { keepAlive: true, timeout: this.#keepAliveMs, scheduling: 'lifo' } as const;
  }
}

/**
 * Trusts `ca` in addition to the well-known authorities, which the CDN behind a private registry may need. The certificates are
 * parsed once for each agent, not for each connection.
 */
function trust(ca: Outgoing['ca']): { secureContext?: SecureContext } {
  return ca === undefined ? {} : { secureContext: createSecureContext({ ca: [...rootCertificates, ...[ca].flat()] }) };
}
