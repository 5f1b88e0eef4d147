import { createRequire } from 'node:module';
import { createSecureContext, rootCertificates } from 'node:tls';
import type * as Undici from 'undici';
import type { Agent as Agents, Dispatcher } from 'undici';
import type { TargetPolicy } from '../ports/upstream.js';
import { isLoopback } from './upstream-realm.js';

/** How connections to an upstream are made. */
export interface DispatcherOptions {
  readonly url: URL;
  readonly targets: TargetPolicy;
  readonly connectTimeoutMs: number;
  /** Certificates in PEM that are trusted besides the well-known ones. */
  readonly ca?: string | readonly string[] | undefined;
  /** The URL of a proxy for everything; `false` for none; absent: what `environment` says. */
  readonly proxy?: string | false | undefined;
  /** HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in either case. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** A server's own hint shortens it. A socket that was closed meanwhile costs one retry. */
const keepAliveTimeoutMs = 20_000;

// Loaded with the first upstream: a registry without one starts in two thirds of the time.
const require = createRequire(import.meta.url);
const loadUndici = (): typeof Undici => require('undici') as typeof Undici;

/** Connections of one upstream's own, kept alive, through the proxy that is configured or in the environment. */
export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const { Agent, EnvHttpProxyAgent, ProxyAgent } = loadUndici();
  const agentOptions = buildAgentOptions(options);
  const { proxy } = options;
  if (proxy === false) return new Agent(agentOptions);
  if (proxy !== undefined)
    return new ProxyAgent({ ...agentOptions, ...buildProxyOptions(options), uri: withScheme(proxy) });
  const { httpProxy, httpsProxy, noProxy } = readEnvironment(options);
  if ((httpProxy === '' && httpsProxy === '') || noProxy === '*') return new Agent(agentOptions);
  return new EnvHttpProxyAgent({
    ...agentOptions,
    ...buildProxyOptions(options),
    httpProxy,
    httpsProxy,
    noProxy: [noProxy, ...loopbackNames(options.url)].join(','),
  });
}

function buildAgentOptions(options: DispatcherOptions): Agents.Options {
  return {
    // Of a proxy's own host this says nothing, and what the proxy resolves cannot be seen.
    connect: { ...buildConnectOptions(options), lookup: options.targets.lookup },
    keepAliveTimeout: keepAliveTimeoutMs,
  };
}

function buildConnectOptions({ connectTimeoutMs, ca }: DispatcherOptions) {
  if (ca === undefined) return { timeout: connectTimeoutMs };
  const certificates = typeof ca === 'string' ? [ca] : ca;
  // A `ca` alone would replace the well-known ones, which the CDN behind a private registry may need. Parsing them all
  // takes milliseconds: once, not for each connection.
  return {
    timeout: connectTimeoutMs,
    secureContext: createSecureContext({ ca: [...rootCertificates, ...certificates] }),
  };
}

function buildProxyOptions(options: DispatcherOptions) {
  const { Pool } = loadUndici();
  const connect = buildConnectOptions(options);
  return {
    requestTls: connect,
    proxyTls: connect,
    // Many proxies refuse CONNECT to anything but port 443: plain http is asked for by its absolute URL.
    proxyTunnel: false,
    // The CONNECT itself is a request to the proxy, which would have 300 s to answer it.
    clientFactory: (origin: URL, poolOptions: object): Dispatcher =>
      new Pool(origin, { ...poolOptions, headersTimeout: options.connectTimeoutMs }),
  };
}

function readEnvironment({ environment }: DispatcherOptions) {
  const read = (name: string): string => (environment[name] ?? environment[name.toUpperCase()] ?? '').trim();
  const readUrl = (name: string): string => withScheme(read(name));
  return { httpProxy: readUrl('http_proxy'), httpsProxy: readUrl('https_proxy'), noProxy: read('no_proxy') };
}

/** `proxy.example:3128` is what many write, and curl takes. */
function withScheme(proxy: string): string {
  return proxy === '' || proxy.includes('://') ? proxy : `http://${proxy}`;
}

/** What a proxy would mean by these is itself. */
function loopbackNames(url: URL): string[] {
  const names = ['localhost', '127.0.0.1', '[::1]'];
  return isLoopback(url.hostname) ? [...names, url.hostname] : names;
}
