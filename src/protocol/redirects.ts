/** How long the URL of a redirect is valid, which must suffice to begin the transfer. */
export const redirectSeconds = 900;

/**
 * Returns whether clients send their credentials for one host to another one too: to the same host with any port, and to its
 * subdomains. Object stores refuse a request with two kinds of credentials.
 * @param host with or without a port
 */
export function sharesCredentials(host: string, target: string): boolean {
  const name = host.replace(/:[0-9]+$/, '').toLowerCase();
  return target === name || target.endsWith(`.${name}`);
}
