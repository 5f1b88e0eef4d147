import { isIP } from 'node:net';
import { failed } from './upstream-verdict.js';

/** Second-level names under which a country's registry sells domains: there, three labels make a registrable domain. */
const secondLevel = new Set(['ac', 'co', 'com', 'edu', 'go', 'gob', 'gov', 'mil', 'ne', 'net', 'or', 'org']);

/**
 * The URL of a challenge's realm, when it may be asked for a token: it is an absolute https URL (http only where the upstream
 * itself is http), and a password goes to it only within the upstream's own domain.
 * @throws UpstreamVerdict failed, and the password stays here.
 */
export function checkRealm(realm: string, upstream: URL, withPassword: boolean): URL {
  if (!URL.canParse(realm)) throw failed('its token realm is no absolute URL', { status: 401 });
  const url = new URL(realm);
  const secure = url.protocol === 'https:' || (url.protocol === 'http:' && upstream.protocol === 'http:');
  if (!secure) throw failed(`its token realm at ${url.host} is not https`, { status: 401 });
  if (url.username !== '' || url.password !== '')
    throw failed('its token realm holds a name or password', { status: 401 });
  if (withPassword && !isSameSite(url.hostname, upstream.hostname))
    throw failed(`its token realm at ${url.host} is in another domain: no password goes there`, { status: 401 });
  url.hash = '';
  return url;
}

/** The same host, or hosts of one registrable domain. Addresses and `localhost` have no domain. */
function isSameSite(a: string, b: string): boolean {
  const [left, right] = [hostOf(a), hostOf(b)];
  if (left === right) return true;
  const domain = domainOf(left);
  return domain !== undefined && domain === domainOf(right);
}

function hostOf(hostname: string): string {
  return hostname.toLowerCase().replace(/\.$/, '');
}

function domainOf(host: string): string | undefined {
  if (host.startsWith('[') || isIP(host) !== 0) return undefined;
  const labels = host.split('.');
  const [second = '', top = ''] = labels.slice(-2);
  const size = top.length === 2 && secondLevel.has(second) ? 3 : 2;
  return top === 'localhost' || labels.length < size ? undefined : labels.slice(-size).join('.');
}

/** `localhost` and what is under it, 127.0.0.0/8 and ::1. */
export function isLoopback(hostname: string): boolean {
  const host = hostOf(hostname);
  return host === 'localhost' || host.endsWith('.localhost') || host === '[::1]' || /^127(?:\.[0-9]+){3}$/.test(host);
}
