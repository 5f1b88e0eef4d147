import { getProxyForUrl } from 'proxy-from-env';
import { isLoopback } from '../addresses.js';

/**
 * Returns the proxy for a URL according to `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in either case.
 * Never for loopback: the proxy would connect to itself.
 */
export function findOutgoingProxy(url: Pick<URL, 'href' | 'hostname'>): string | undefined {
  const proxy = isLoopback(url.hostname) ? '' : getProxyForUrl(url.href);
  return proxy === '' ? undefined : proxy;
}
