import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import type { TargetPolicy } from '../../ports/upstream.js';
import { explain, PassthroughFailure } from './passthrough-errors.js';

/** How one URL is reached. */
export interface Route {
  /** Whom the connection is for: the host of the URL, or the proxy that is asked with the absolute URL. */
  readonly target: {
    readonly protocol: string;
    readonly host: string;
    readonly hostname: string;
    readonly port: number;
  };
  /** What goes into the request line. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly agent: HttpAgent;
}

/** What the connection depends on; the settings of a `Forward`. */
export interface RouteSettings {
  readonly targets: TargetPolicy;
  /** PEM, trusted besides the well-known ones. */
  readonly ca?: string;
  /** The URL of an outgoing proxy. */
  readonly proxy?: string;
  readonly connectTimeoutMs: number;
}

/** Connections that are kept alive, apart for each CA, proxy and policy: one that may be used for one target may be closed to another. */
export class Routes {
  readonly #agents = new Map<string, HttpAgent>();
  readonly #keepAliveMs: number;

  constructor(keepAliveMs: number) {
    this.#keepAliveMs = keepAliveMs;
  }

  /** @throws PrivateTargetError for a host that the policy refuses. */
  find(url: URL, settings: RouteSettings): Route {
    settings.targets.check(url);
    const path = url.pathname + url.search;
    const direct = { target: targetOf(url), path, headers: { host: url.host } };
    if (settings.proxy === undefined)
      return { ...direct, agent: this.#direct(url.protocol, settings, settings.targets) };
    const proxy = parseProxy(settings.proxy);
    if (url.protocol === 'https:') return { ...direct, agent: this.#tunnel(proxy, settings) };
    // Many proxies refuse CONNECT to anything but port 443: plain http is asked for by its absolute URL.
    return {
      target: targetOf(proxy),
      path: url.origin + path,
      headers: { host: url.host, ...authorizeTo(proxy) },
      agent: this.#direct(proxy.protocol, settings),
    };
  }

  /** Cuts what is open. */
  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  /** @param targets absent for the connection to a proxy, which the operator chose. */
  #direct(protocol: string, { ca }: RouteSettings, targets?: TargetPolicy): HttpAgent {
    const guarded = targets === undefined ? {} : { lookup: targets.lookup };
    const options = { ...this.#options(), ...guarded };
    if (protocol !== 'https:') return this.#keep(JSON.stringify(['http', targets?.key]), () => new HttpAgent(options));
    const key = JSON.stringify(['https', ca, targets?.key]);
    return this.#keep(key, () => new HttpsAgent({ ...options, ...trust(ca) }));
  }

  #tunnel(proxy: URL, { ca, connectTimeoutMs }: RouteSettings): HttpAgent {
    return this.#keep(JSON.stringify(['tunnel', proxy.href, ca, connectTimeoutMs]), () => {
      const trusted = trust(ca);
      const agent = new HttpsAgent(this.#options());
      agent.createConnection = (options, callback) => {
        const { host, port, servername } = options as { host: string; port: number; servername?: string };
        const name = servername === undefined || isIP(servername) ? {} : { servername };
        const done = callback as (error: Error | null, socket?: Duplex) => void;
        openTunnel(proxy, formatAuthority(host, port), connectTimeoutMs, trusted).then(
          (socket) => done(null, connectTls({ ...trusted, ...name, socket, host })),
          (error: Error) => done(error),
        );
        return undefined;
      };
      return agent;
    });
  }

  #keep(key: string, create: () => HttpAgent): HttpAgent {
    const known = this.#agents.get(key);
    if (known !== undefined) return known;
    const agent = create();
    this.#agents.set(key, agent);
    return agent;
  }

  #options() {
    // `timeout` closes what is idle; a request that is under way only gets an event that nobody listens to.
    return { keepAlive: true, timeout: this.#keepAliveMs, scheduling: 'lifo' } as const;
  }
}

/** A `ca` alone would replace the well-known ones, which the CDN behind a private registry may need. Parsed once an agent. */
function trust(ca: string | undefined): { secureContext?: SecureContext } {
  return ca === undefined ? {} : { secureContext: createSecureContext({ ca: [...rootCertificates, ca] }) };
}

/** `proxy.example:3128` is what many write, and curl takes. */
function parseProxy(text: string): URL {
  const url = text.includes('://') ? text : `http://${text}`;
  if (!URL.canParse(url) || !/^https?:/.test(url)) throw new PassthroughFailure('its outgoing proxy is no http URL');
  return new URL(url);
}

function targetOf(url: URL): Route['target'] {
  const hostname = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
  return { protocol: url.protocol, host: hostname, hostname, port };
}

function formatAuthority(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function authorizeTo({ username, password }: URL): Record<string, string> {
  if (username === '' && password === '') return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(pair).toString('base64')}` };
}

/** A connection to `authority` through the proxy (RFC 9110, 9.3.6). */
function openTunnel(
  proxy: URL,
  authority: string,
  timeoutMs: number,
  trusted: { readonly secureContext?: SecureContext },
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { hostname, port, protocol } = targetOf(proxy);
    const request = (protocol === 'https:' ? httpsRequest : httpRequest)({
      ...trusted,
      hostname,
      port,
      method: 'CONNECT',
      path: authority,
      headers: { host: authority, ...authorizeTo(proxy) },
      agent: false,
    });
    // An agent's request that is given up does not give up the tunnel that is being opened for it.
    const timer = setTimeout(() => request.destroy(new PassthroughFailure('no connection in time')), timeoutMs);
    request.once('connect', ({ statusCode = 0 }, socket, head) => {
      clearTimeout(timer);
      if (statusCode >= 200 && statusCode < 300 && head.length === 0) return resolve(socket);
      socket.destroy();
      return reject(new PassthroughFailure(`the outgoing proxy refused with ${statusCode}`));
    });
    request.on('error', (error) => {
      clearTimeout(timer);
      reject(new PassthroughFailure(`the outgoing proxy: ${explain(error)}`, { cause: error }));
    });
    request.end();
  });
}
