import type { IncomingMessage } from 'node:http';
import type { ClientInfo } from '../ports.js';
import { RegistryError } from '../protocol/errors.js';
import type { Endpoint } from '../protocol/route-table.js';

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

/**
 * Where a browser is let in without a password of its own to send, by a session of the host app or because everybody is, a
 * page from elsewhere must not use that. Clients of registries send no `Origin`. Reading images does no harm: the page does
 * not see the answer.
 */
export function refuseForeignPages({ headers }: IncomingMessage, { access }: Endpoint, client: ClientInfo): void {
  const { origin } = headers;
  if (origin === undefined || origin === client.origin || access === 'ping' || access === 'pull') return;
  if (origin.replace(/^https?:\/\//, '') === client.host) return;
  throw new RegistryError('DENIED', { message: 'pages of a foreign Origin may not use this registry' });
}
