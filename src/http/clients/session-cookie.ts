import type { IncomingMessage } from 'node:http';
import type { ClientInfo, Principal } from '../../ports/access/access.js';
import { RegistryError } from '../../protocol/errors.js';
import type { Endpoint } from '../../protocol/tables/route-table.js';

/**
 * The cookie has no Path: browsers then send it to `<mount>/api/v1/`, as they see it, even behind a proxy that changes the
 * path. Pages of other sites never send it, and no script can read it.
 */
const attributes = 'HttpOnly; SameSite=Strict';

/** Browsers accept the prefix only over https. It keeps an attacker in the network from setting the cookie over http. */
function nameFor({ origin }: ClientInfo): string {
  return origin?.startsWith('https:') === true ? '__Secure-artifactapi' : 'artifactapi';
}

/**
 * Returns the value of the session cookie; `undefined` if there are several. A page of another subdomain can set a cookie of
 * the same name for the whole domain, and browsers do not report which cookie comes from which page.
 */
export function readSessionCookie(req: IncomingMessage, client: ClientInfo): string | undefined {
  return readCookie(req, nameFor(client));
}

function readCookie({ headers }: IncomingMessage, name: string): string | undefined {
  const values = (headers.cookie ?? '').split(';').flatMap((part) => {
    const equals = part.indexOf('=');
    return part.slice(0, equals).trim() === name ? [part.slice(equals + 1).trim()] : [];
  });
  return values.length === 1 ? values[0] : undefined;
}

/** Returns the secret of a login at a provider, which `writeFlowCookie` gave the browser. */
export function readFlowCookie(req: IncomingMessage, client: ClientInfo): string | undefined {
  return readCookie(req, `${nameFor(client)}-login`);
}

/**
 * Returns the `Set-Cookie` header that keeps the secret of a login at a provider, or removes it. `Lax`, because the provider
 * sends the browser back.
 */
export function writeFlowCookie(client: ClientInfo, value: string | undefined, path: string): string {
  const name = nameFor(client);
  const secure = name.startsWith('__Secure-') ? '; Secure' : '';
  return `${name}-login=${value ?? ''}; HttpOnly; SameSite=Lax${secure}; Path=${path}; Max-Age=${value === undefined ? 0 : 600}`;
}

/**
 * Returns the `Set-Cookie` header that keeps a session, or ends it if there is no value.
 * @param path the attribute, if the request is not directly below `/api/v1/`.
 */
export function writeSessionCookie(
  { headers }: IncomingMessage,
  client: ClientInfo,
  value: string | undefined,
  path = '',
): string {
  const name = nameFor(client);
  // The page used https, but a proxy that is not trusted ended TLS. The name has no prefix then, because requests without
  // Origin do not show that a client uses https.
  const isSecure = name.startsWith('__Secure-') || headers.origin?.startsWith('https:') === true;
  const secure = (isSecure ? '; Secure' : '') + path;
  return `${name}=${value ?? ''}; ${attributes}${secure}${value === undefined ? '; Max-Age=0' : ''}`;
}

/**
 * Refuses requests of other origins that a session authenticates, except reads, whose answers those pages cannot see. All
 * ports of a host are one site, so `SameSite` is not enough.
 * @throws RegistryError DENIED
 */
export function refuseForeignOrigins(
  { headers }: IncomingMessage,
  { method }: Endpoint,
  principal: Pick<Principal, 'via'>,
  client: ClientInfo,
): void {
  const isBySession = principal.via === 'session' || (principal.via === 'host' && headers.cookie !== undefined);
  if (method === 'GET' || !isBySession) return;
  requireOwnOrigin(headers, client);
}

/**
 * Refuses a login from a page of another origin, which could log its visitors in as someone else. @throws RegistryError
 * DENIED
 */
export function refuseForeignLogin({ headers }: IncomingMessage, client: ClientInfo): void {
  if (headers.origin === undefined && headers['sec-fetch-site'] === undefined) return;
  requireOwnOrigin(headers, client);
}

/**
 * Refuses an answer of a login provider that the browser did not open as a page. A page of another origin could otherwise
 * embed refused logins, which slow down everyone at the address of its visitors.
 * @throws RegistryError DENIED
 */
export function refuseEmbedded({ headers }: IncomingMessage): void {
  const { 'sec-fetch-mode': mode = 'navigate', 'sec-fetch-dest': destination = 'document' } = headers;
  if (mode === 'navigate' && destination === 'document') return;
  throw new RegistryError('DENIED', { message: 'this request must be the navigation of a browser to a page' });
}

function requireOwnOrigin(headers: IncomingMessage['headers'], client: ClientInfo): void {
  const site = headers['sec-fetch-site'];
  if (site === 'same-origin') return;
  if (site === undefined && headers.origin !== undefined && headers.origin === client.origin) return;
  throw new RegistryError('DENIED', {
    message: 'this request was not sent by a page of this registry: log in with a password or a token instead',
  });
}
