import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { ClientInfo } from '../../ports/access/access.js';
import { RegistryError } from '../../protocol/errors.js';
import type { Endpoint } from '../../protocol/tables/route-table.js';
import { isOnPrivateSocket } from './private-socket.js';

const loopbackHost = /^(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]+)?$/i;

/** Headers that proxies add. A proxy that adds none of them and uses a loopback host looks like a local client. */
const proxyHeaders = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip', 'via'];

/**
 * Restricts the management API of an open registry to clients on the same machine: on loopback addresses, or on a Unix
 * socket that only this user can reach. Refuses proxies, and web pages whose host name resolves to this machine (DNS
 * rebinding).
 * @param trustsSockets whether proxies connect to the Unix sockets. No socket is local then.
 * @throws RegistryError DENIED
 */
export function keepLocal({ headers, socket }: IncomingMessage, { access }: Endpoint, trustsSockets: boolean): void {
  const local = socket.localAddress ?? '';
  const onLoopback = local === '::1' || local.startsWith('127.') || local.startsWith('::ffff:127.');
  const isLocal = onLoopback || (!trustsSockets && local === '' && isOnPrivateSocket(socket));
  const isPassedOn = proxyHeaders.some((name) => headers[name] !== undefined);
  if (isLocal && (isPassedOn || !loopbackHost.test(headers.host ?? ''))) {
    throw new RegistryError('DENIED', {
      message:
        'the management API of an open registry accepts only a loopback Host and no proxies: set rules for access',
    });
  }
  if (!isLocal && access !== 'none') {
    const place = local === '' ? 'Unix sockets of mode 0600 without a proxy' : 'its own machine';
    const message = `the management API of an open registry is available only on ${place}: set rules for access`;
    throw new RegistryError('DENIED', { message });
  }
}

/** Returns whether a host, with or without a port, always means this registry and never the server of a foreign page. */
export type HostMatcher = (host: string) => boolean;

/**
 * Creates a matcher of loopback hosts, IP addresses (which cannot be rebound), the host of `publicUrl` and the names in
 * `hosts`.
 */
export function createHostMatcher(options: {
  readonly publicUrl?: string | undefined;
  readonly hosts: Readonly<Record<string, string>>;
}): HostMatcher {
  const known = new Set(Object.keys(options.hosts).map((host) => host.toLowerCase()));
  if (options.publicUrl !== undefined) known.add(new URL(options.publicUrl).host);
  return (host) => {
    const name = host.replace(/:[0-9]+$/, '');
    return (
      loopbackHost.test(host) || known.has(host) || known.has(name) || isIP(name.replace(/^\[(.+)\]$/, '$1')) !== 0
    );
  };
}

/**
 * Refuses browsers that use an unknown host name for a registry that anyone may read. A page whose host name resolves to this
 * machine (DNS rebinding) could read images of a private network. Registry clients do not send the headers that identify
 * browsers, so they may use any name.
 * @throws RegistryError DENIED
 */
export function refuseUnknownHosts(
  { headers }: IncomingMessage,
  { op, access, method }: Endpoint,
  client: ClientInfo,
  isKnown: HostMatcher,
): void {
  // Health and the description of the API are public, but not a login.
  const isPublic = access === 'none' && method === 'GET' && !op.startsWith('session.');
  const host = (client.host ?? '').toLowerCase();
  if (isPublic || !isFromBrowser(headers) || isKnown(host)) return;
  throw new RegistryError('DENIED', {
    message: `unknown host "${host.slice(0, 100)}" in a browser request: set publicUrl or hosts if it is a name of this registry`,
  });
}

/** Returns whether a browser sent the request, by headers that browsers always send and scripts of a page cannot remove. */
function isFromBrowser(headers: IncomingHttpHeaders): boolean {
  if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) return true;
  // Node's fetch sends Accept-Language too, but with Sec-Fetch-Mode. A page cannot set either Sec-Fetch header.
  return headers['accept-language'] !== undefined && headers['sec-fetch-mode'] === undefined;
}

/**
 * Refuses pages of other origins when the browser authenticates automatically: with a session of the host app, a remembered
 * password, or because access is open. Registry clients send no `Origin`. Pulls are allowed, since the page cannot read the
 * response.
 * @param isKnown set when access is open. A page whose host name resolves to this machine (DNS rebinding) has the same host
 * in `Origin` and `Host`, so the host itself must be known. Browsers do not send sessions and passwords to such a name.
 * @throws RegistryError DENIED
 */
export function refuseForeignPages(
  { headers }: IncomingMessage,
  { access }: Endpoint,
  client: ClientInfo,
  isKnown?: HostMatcher,
): void {
  const { origin } = headers;
  if (origin === undefined || access === 'ping' || access === 'pull') return;
  const host = origin.replace(/^https?:\/\//, '');
  const isOwn = origin === client.origin || host === client.host;
  if (isOwn && (isKnown === undefined || isKnown(host.toLowerCase()))) return;
  const hint = isOwn ? ': set publicUrl or hosts if it is a name of this registry' : '';
  const message = `web pages of the origin "${origin.slice(0, 100)}" may not use this registry${hint}`;
  throw new RegistryError('DENIED', { message });
}
