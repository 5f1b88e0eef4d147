import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { ClientInfo } from '../../ports/access.js';
import { RegistryError } from '../../protocol/errors.js';
import type { Endpoint } from '../../protocol/tables/route-table.js';

const loopbackHost = /^(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]+)?$/i;

/** What proxies add: one that adds nothing and says that it asks for loopback cannot be told from somebody who is here. */
const proxyHeaders = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip', 'via'];

/**
 * Where nobody has to log in, only whoever is on this machine administers; and not a page in a user's own browser under a
 * name that its server makes point here (DNS rebinding), nor who comes by a proxy.
 */
export function keepLocal({ headers, socket }: IncomingMessage, { access }: Endpoint): void {
  const local = socket.localAddress ?? '';
  const onLoopback = local === '::1' || local.startsWith('127.') || local.startsWith('::ffff:127.');
  const isPassedOn = proxyHeaders.some((name) => headers[name] !== undefined);
  if (onLoopback && (isPassedOn || !loopbackHost.test(headers.host ?? ''))) {
    throw new RegistryError('DENIED', {
      message: 'the management API of an open registry answers to a loopback Host only, and to no proxy',
    });
  }
  if (!onLoopback && access !== 'none') {
    const message = 'an open registry is administered from its own machine only: set rules for access';
    throw new RegistryError('DENIED', { message });
  }
}

/** Tells whether a host, with or without its port, can only be this registry and never the name of a foreign page. */
export type HostMatcher = (host: string) => boolean;

/** Returns a matcher of loopback, of addresses, which cannot be rebound, of the host of `publicUrl` and of the names in `hosts`. */
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
 * Refuses browsers that reach a registry which anyone may read by an unknown name: a page whose name is made to resolve to
 * this machine (DNS rebinding) could read images that only this network should see. Registry clients send none of the
 * headers by which browsers are told, so they may use any name.
 * @throws RegistryError DENIED
 */
export function refuseUnknownHosts(
  { headers }: IncomingMessage,
  { access }: Endpoint,
  client: ClientInfo,
  isKnown: HostMatcher,
): void {
  const host = (client.host ?? '').toLowerCase();
  if (access === 'none' || !isFromBrowser(headers) || isKnown(host)) return;
  throw new RegistryError('DENIED', {
    message: `browsers may not use this registry by an unknown name: set publicUrl, or hosts, if "${host.slice(0, 100)}" is its name`,
  });
}

/** Tells browsers by what they send with every request, even by plain http, and what no script of a page can take away. */
function isFromBrowser(headers: IncomingHttpHeaders): boolean {
  if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) return true;
  // Node's own fetch sends a language too, but with a mode and no site; no page can set such a header.
  return headers['accept-language'] !== undefined && headers['sec-fetch-mode'] === undefined;
}

/**
 * Refuses pages of other origins where a browser is let in without a password of its own to send: by a session of the host
 * app, by a password that it remembers, or because access is open. Clients of registries send no `Origin`. Reading images
 * does no harm: the page does not see the answer.
 * @param isKnown given where access is open. A page whose name resolves to this machine (DNS rebinding) has the same host in
 * `Origin` and in `Host`, so there the host itself must be known. A session or password does not follow such a name.
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
  const hint = isOwn ? `: set publicUrl, or hosts, if ${host.slice(0, 100)} is the name of this registry` : '';
  throw new RegistryError('DENIED', { message: `pages of a foreign Origin may not use this registry${hint}` });
}
