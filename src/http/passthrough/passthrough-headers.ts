import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Forward } from '../../ports/upstream.js';
import { PassthroughFailure } from './passthrough-errors.js';

/**
 * What a client's request may tell an upstream. A list of what goes, not of what stays: a gateway in front of us puts names,
 * addresses and tokens of its own into headers that we have never heard of.
 */
const requestHeaders = ['accept', 'if-modified-since', 'if-none-match', 'if-range', 'range', 'user-agent'] as const;

/**
 * What an answer may tell our client. Again a list of what goes: an upstream must not set cookies or policies for our origin,
 * nor tell an nginx in front of us which file to serve (`X-Accel-Redirect`). The type of its content is ours to say.
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
const answerHeaderFamilies = /^(?:docker|oci|ratelimit|x-ratelimit)-/;

type Headers = Readonly<Record<string, string>>;

/** What is sent wherever it goes: lower-case names, no credentials. */
export function buildRequestHeaders(req: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = { 'user-agent': 'artifactapi', 'accept-encoding': 'identity' };
  for (const name of requestHeaders) {
    const value = req.headers[name];
    if (typeof value === 'string') headers[name] = value;
  }
  // Of a HEAD it would mean nothing, and where that becomes a GET the wrong length.
  if (req.method === 'HEAD') delete headers['range'];
  return headers;
}

/**
 * What the forward adds, with lower-case names; `Via` tells of everyone on the way so far besides.
 * @throws PassthroughFailure for a request that has come through here before.
 */
export function buildForwardHeaders(added: Headers, trail: readonly string[]): Record<string, string> {
  const headers = Object.fromEntries(Object.entries(added).map(([name, value]) => [name.toLowerCase(), value]));
  const own = headers['via'] ?? '';
  const ownNames = own.split(',').map((entry) => entry.trim().split(/\s+/)[1]);
  if (trail.some((name) => ownNames.includes(name)))
    throw new PassthroughFailure('a loop: the request has come through here before');
  const names = trail.filter((name) => /^[\w.:[\]!#$%&'*+^`|~-]{1,255}$/.test(name)).map((name) => `1.1 ${name}`);
  const via = [...names, ...(own === '' ? [] : [own])].join(', ');
  return via === '' ? headers : { ...headers, via };
}

/** How URLs of the upstream become paths of ours. */
export interface BackMap {
  readonly forward: Forward;
  /** What precedes `/v2` in the URLs of this registry. */
  readonly prefix: string;
}

/** The path by which our client reaches what the upstream calls so; `undefined` for what it cannot reach through us. */
export function mapBack(url: URL, { forward, prefix }: BackMap): string | undefined {
  // By host and not by origin: many a registry behind a proxy that ends TLS calls itself http.
  if (url.host !== forward.url.host) return undefined;
  const path = forward.mapBack(new URL(url.pathname + url.search, forward.url.origin));
  return path === undefined ? undefined : prefix + path;
}

/**
 * The headers of an answer for our client.
 * @throws PassthroughFailure when a list goes on where our client cannot follow: without the link it would look complete.
 */
export function cleanAnswerHeaders(headers: IncomingHttpHeaders, from: URL, back: BackMap): Record<string, string> {
  const cleaned: Record<string, string> = {};
  // What Connection names is for the next hop alone, whatever it is called (RFC 9110, 7.6.1).
  const hopByHop = new Set((headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase()));
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== 'string' || hopByHop.has(name)) continue;
    if (answerHeaders.has(name) || answerHeaderFamilies.test(name)) cleaned[name] = value;
  }
  delete cleaned['docker-distribution-api-version'];
  const link = headers['link'] === undefined ? '' : mapLinks(String(headers['link']), from, back);
  return link === '' ? cleaned : { ...cleaned, link };
}

function mapLinks(text: string, from: URL, back: BackMap): string {
  const links = [...text.matchAll(/<([^>]*)>([^<]*)/g)].map(([, target = '', params = '']) => {
    const url = URL.canParse(target, from.href) ? new URL(target, from) : undefined;
    const mapped = url === undefined ? undefined : mapBack(url, back);
    if (mapped !== undefined) return `<${mapped}>${params.replace(/[\s,]+$/, '')}`;
    if (/;\s*rel\s*=\s*"?[^";,]*\bnext\b/i.test(params))
      throw new PassthroughFailure('its list goes on at a URL that is not of this image');
    return '';
  });
  return links.filter((link) => link !== '').join(', ');
}

/**
 * Where a redirect leads.
 * @throws PassthroughFailure for none, and for one that gives up TLS.
 */
export function readLocation(headers: IncomingHttpHeaders, from: URL): URL {
  const { location } = headers;
  if (location === undefined || !URL.canParse(location, from.href))
    throw new PassthroughFailure('it redirects to nowhere');
  const url = new URL(location, from);
  if (url.protocol !== 'https:' && url.protocol !== from.protocol)
    throw new PassthroughFailure('it redirects from https to http');
  url.username = '';
  url.password = '';
  url.hash = '';
  return url;
}
