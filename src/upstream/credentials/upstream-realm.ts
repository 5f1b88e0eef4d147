import { isIP } from 'node:net';
import { keepSecure, type RequestUrl } from '../../protocol/upstream/redirects.js';
import { failed } from '../../protocol/upstream/verdict.js';

/**
 * Domains that give each customer a subdomain but are not in the public suffix list. Customers must not receive each
 * other's passwords. Lists only providers of registries and of other services that such a provider hosts for customers.
 */
const sharedDomains = `
  amazonaws.com amazonaws.com.cn azurecr.cn azurecr.io azurecr.us cloudsmith.io jetbrains.space
  jfrog.io ocir.io pkg.dev tencentcloudcr.com
`
  .trim()
  .split(/\s+/);

/** Rules for a token realm. */
export interface RealmRules {
  /** Whether the request to the realm carries a password. */
  readonly withPassword: boolean;
  /** Hosts in other domains that may receive the password. */
  readonly trustedRealms: readonly string[];
}

/**
 * Returns the URL of a challenge's token realm if it may be asked for a token. It must be an absolute https URL, or http
 * if the upstream is http. To receive a password, it must also be on the upstream's host, in its registrable domain, or
 * in `trustedRealms`.
 * @throws UpstreamVerdict failed otherwise.
 */
export async function checkRealm(
  realm: string,
  upstream: RequestUrl,
  { withPassword, trustedRealms }: RealmRules,
): Promise<URL> {
  if (!URL.canParse(realm)) throw failed('its token realm is not an absolute URL', { status: 401 });
  const url = keepSecure(new URL(realm), upstream);
  const secure = url.protocol === 'https:' || (url.protocol === 'http:' && upstream.protocol === 'http:');
  if (!secure) throw failed(`its token realm at ${url.host} is not https`, { status: 401 });
  if (url.username !== '' || url.password !== '')
    throw failed('its token realm contains a user name or password', { status: 401 });
  const isTrusted = trustedRealms.some((host) => hostOf(host) === hostOf(url.hostname));
  if (withPassword && !isTrusted && !(await isSameSite(url.hostname, upstream.hostname))) {
    const why = 'is in another domain: add its host to trustedRealms to send it the password';
    throw failed(`its token realm at ${url.host} ${why}`, { status: 401 });
  }
  url.hash = '';
  return url;
}

/** Returns whether two hosts are equal or share a registrable domain. Addresses and `localhost` do not have one. */
async function isSameSite(a: string, b: string): Promise<boolean> {
  const [left, right] = [hostOf(a), hostOf(b)];
  if (left === right) return true;
  const domain = await domainOf(left);
  return domain !== undefined && domain === (await domainOf(right));
}

function hostOf(hostname: string): string {
  return hostname.toLowerCase().replace(/\.$/, '');
}

/** Returns the registrable domain. Loads the public suffix list, with its private section, on first use (30 ms). */
async function domainOf(host: string): Promise<string | undefined> {
  if (host.startsWith('[') || isIP(host) !== 0) return undefined;
  const isShared = sharedDomains.some((domain) => host === domain || host.endsWith(`.${domain}`));
  if (isShared || host.endsWith('.localhost')) return undefined;
  const { getDomain } = await import('tldts');
  return getDomain(host, { allowPrivateDomains: true }) ?? undefined;
}
