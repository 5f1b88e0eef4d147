import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Forward } from '../../ports/upstream.js';

/**
 * The headers of a client's request that an upstream gets. An allowlist: a gateway in front of us may put names, addresses and
 * tokens of its own into headers that we do not know.
 */
const requestHeaders = ['accept', 'if-modified-since', 'if-none-match', 'if-range', 'range', 'user-agent'] as const;

/**
 * The headers of an answer that our client gets. An allowlist: an upstream must not set cookies or policies for our origin, nor
 * tell an nginx in front of us which file to serve (`X-Accel-Redirect`). We set the type of its content ourselves.
 */
const answerHeaders = new Set([
  'accept-ranges',
  'age',
  'content-encoding',
  'content-length',
  'content-range',
  'etag',
  'last-modified',
  'retry-after',
  'warning',
]);
const answerHeaderFamilies = /^(?:docker-(?!distribution-api-version$)|oci-|ratelimit-|x-ratelimit-)/;

/** Builds the headers that are sent wherever redirects lead: lower-case names, no credentials. */
export function buildRequestHeaders(req: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = { 'user-agent': 'artifactapi', 'accept-encoding': 'identity' };
  for (const name of requestHeaders) {
    const value = req.headers[name];
    if (typeof value === 'string') headers[name] = value;
  }
  // Meaningless for HEAD. If the HEAD becomes a GET, it would yield the wrong length.
  if (req.method === 'HEAD') delete headers['range'];
  return headers;
}

/** The mapping of the upstream's URLs to paths of ours. */
export interface BackMap {
  readonly forward: Forward;
  /** The path before `/v2` in the URLs of this registry. */
  readonly prefix: string;
}

/** Returns the path by which our client reaches a URL of the upstream; `undefined` if it cannot reach it through us. */
export function mapBack(url: URL, { forward, prefix }: BackMap): string | undefined {
  // Compares hosts, not origins: many registries behind a proxy that terminates TLS call themselves http.
  if (url.host !== forward.url.host) return undefined;
  const path = forward.mapBack(new URL(url.pathname + url.search, forward.url.origin));
  return path === undefined ? undefined : prefix + path;
}

/** Returns the headers of an answer for our client. Omits `Link`, because lists do not pass through. */
export function cleanAnswerHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const cleaned: Record<string, string> = {};
  // The headers that Connection names are only for the next hop (RFC 9110, 7.6.1).
  const hopByHop = headers.connection?.split(',').map((name) => name.trim().toLowerCase()) ?? [];
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (typeof value !== 'string' || hopByHop.includes(name)) continue;
    if (answerHeaders.has(name) || answerHeaderFamilies.test(name)) cleaned[name] = value;
  }
  return cleaned;
}
