import { isIP } from 'node:net';
import { failed } from '../protocol/upstream/verdict.js';

/**
 * Domains that give every customer a name of their own, and are not in the public suffix list: customers of one are strangers.
 * Only providers of registries, and of what such a provider lets customers run beside them.
 */
const sharedDomains = `
  amazonaws.com amazonaws.com.cn azurecr.cn azurecr.io azurecr.us cloudsmith.io jetbrains.space
  jfrog.io ocir.io pkg.dev tencentcloudcr.com
`
  .trim()
  .split(/\s+/);

export interface RealmRules {
  readonly withPassword: boolean;
  /** Hosts that may get the password although they are in another domain. */
  readonly trustedRealms: readonly string[];
}

/**
 * The URL of a challenge's realm, when it may be asked for a token: it is an absolute https URL (http only where the upstream
 * itself is http), and a password goes to it only on the upstream's host, within its registrable domain, or where it is trusted.
 * @throws UpstreamVerdict failed, and the password stays here.
 */
export async function checkRealm(
  realm: string,
  upstream: URL,
  { withPassword, trustedRealms }: RealmRules,
): Promise<URL> {
  if (!URL.canParse(realm)) throw failed('its token realm is no absolute URL', { status: 401 });
  const url = new URL(realm);
  const secure = url.protocol === 'https:' || (url.protocol === 'http:' && upstream.protocol === 'http:');
  if (!secure) throw failed(`its token realm at ${url.host} is not https`, { status: 401 });
  if (url.username !== '' || url.password !== '')
    throw failed('its token realm holds a name or password', { status: 401 });
  const isTrusted = trustedRealms.some((host) => hostOf(host) === hostOf(url.hostname));
  if (withPassword && !isTrusted && !(await isSameSite(url.hostname, upstream.hostname))) {
    const why = 'is in another domain: it gets no password unless trustedRealms names it';
    throw failed(`its token realm at ${url.host} ${why}`, { status: 401 });
  }
  url.hash = '';
  return url;
}

/** The same host, or hosts of one registrable domain. Addresses and `localhost` have no domain. */
async function isSameSite(a: string, b: string): Promise<boolean> {
  const [left, right] = [hostOf(a), hostOf(b)];
  if (left === right) return true;
  const domain = await domainOf(left);
  return domain !== undefined && domain === (await domainOf(right));
}

function hostOf(hostname: string): string {
  return hostname.toLowerCase().replace(/\.$/, '');
}

/** What somebody could have registered: by the public suffix list with its private section, which takes 30 ms to load. */
async function domainOf(host: string): Promise<string | undefined> {
  if (host.startsWith('[') || isIP(host) !== 0) return undefined;
  const isShared = sharedDomains.some((domain) => host === domain || host.endsWith(`.${domain}`));
  if (isShared || host.endsWith('.localhost')) return undefined;
  const { getDomain } = await import('tldts');
  return getDomain(host, { allowPrivateDomains: true }) ?? undefined;
}
