type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Returns the proxy that the environment names for a URL: `HTTPS_PROXY` or `HTTP_PROXY` (`HTTP_PROXY` also serves https
 * when `HTTPS_PROXY` is not set). Returns `undefined` for loopback addresses, and when `NO_PROXY` contains the host, a
 * parent domain, or `*`.
 */
export function findOutgoingProxy(url: URL, environment: Environment = process.env): string | undefined {
  const read = (name: string): string => environment[name.toLowerCase()] ?? environment[name] ?? '';
  if (/^(?:localhost|127\..*|\[::1\])$/.test(url.hostname) || isExempt(url, read('NO_PROXY'))) return undefined;
  const proxy = url.protocol === 'https:' ? read('HTTPS_PROXY') || read('HTTP_PROXY') : read('HTTP_PROXY');
  return proxy === '' ? undefined : proxy;
}

function isExempt({ hostname, port, protocol }: URL, list: string): boolean {
  const actualPort = port || (protocol === 'https:' ? '443' : '80');
  return list.split(/[\s,]+/).some((entry) => {
    const [, name = '', only] = /^\*?\.?(.*?)(?::([0-9]+))?$/.exec(entry.toLowerCase()) ?? [];
    if (entry === '*') return true;
    if (name === '' || (only !== undefined && only !== actualPort)) return false;
    return hostname === name || hostname.endsWith(`.${name}`);
  });
}
