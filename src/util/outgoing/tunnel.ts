import { request as httpRequest, type Agent } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { verdictOf } from '../../protocol/upstream/connection-errors.js';
import type { RequestUrl } from '../../protocol/upstream/redirects.js';
import { failed } from '../../protocol/upstream/verdict.js';

/** The host and port of a connection, in the form of node:http. */
export interface ServerAddress {
  readonly protocol: string;
  readonly host: string;
  readonly hostname: string;
  readonly port: number;
}

/** Returns the host and port of a URL. */
export function endpointOf(url: RequestUrl): ServerAddress {
  const hostname = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
  return { protocol: url.protocol, host: hostname, hostname, port };
}

/**
 * Parses the URL of a proxy. `proxy.example:3128` is accepted, as by curl.
 * @throws UpstreamVerdict failed when it is not an http or https URL.
 */
export function parseProxy(text: string): URL {
  const url = text.includes('://') ? text : `http://${text}`;
  if (!URL.canParse(url) || !/^https?:/.test(url)) throw failed('its outgoing proxy is not an http or https URL');
  return new URL(url);
}

/** Returns `Proxy-Authorization` for the name and password in the URL of a proxy. */
export function authorizeTo({ username, password }: URL): Record<string, string> {
  if (username === '' && password === '') return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(pair).toString('base64')}` };
}

/** Opens a connection to a host through the proxy by CONNECT (RFC 9110, 9.3.6). */
export function openTunnel(
  proxy: URL,
  { host, port }: Pick<ServerAddress, 'host' | 'port'>,
  { timeoutMs, agent }: { readonly timeoutMs: number; readonly agent: Agent },
): Promise<Socket> {
  const authority = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return new Promise((resolve, reject) => {
    const { protocol, hostname, port: proxyPort } = endpointOf(proxy);
    const request = (protocol === 'https:' ? httpsRequest : httpRequest)({
      hostname,
      port: proxyPort,
      method: 'CONNECT',
      path: authority,
      headers: { host: authority, ...authorizeTo(proxy) },
      agent,
    });
    // Giving up a request of an agent does not give up the tunnel that is being opened for it.
    const timer = setTimeout(() => request.destroy(failed('no connection in time', { trouble: true })), timeoutMs);
    request.once('connect', ({ statusCode = 0 }, socket, head) => {
      clearTimeout(timer);
      if (statusCode >= 200 && statusCode < 300 && head.length === 0) return resolve(socket);
      socket.destroy();
      return reject(failed(`the outgoing proxy refused with ${statusCode}`));
    });
    request.on('error', (error) => {
      clearTimeout(timer);
      const { message, fields } = verdictOf(error);
      reject(failed(`the outgoing proxy: ${message}`, fields));
    });
    request.end();
  });
}
