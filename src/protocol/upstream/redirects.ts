import { firstOf, type AnswerHeaders } from './answer-headers.js';
import { failed } from './verdict.js';

/** The parts of a URL that a request needs. A `URL` has them; code that knows them does not have to parse one. */
export type RequestUrl = Pick<
  URL,
  'href' | 'origin' | 'protocol' | 'hostname' | 'host' | 'port' | 'pathname' | 'search'
>;

/** One request on its way: the first, or the one that a redirect leads to. */
export interface Hop {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: RequestUrl;
  /** Sent wherever redirects lead. Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Sent only to the origin of the first request: its `Authorization`. */
  readonly credentials: Readonly<Record<string, string>>;
  /** The form that a POST sends. */
  readonly form?: URLSearchParams;
  /** The body that a POST sends instead of a form. `headers` name its type. */
  readonly body?: string;
  /** Whether a redirect has led away from the first origin. Later redirects do not lead back. */
  readonly elsewhere: boolean;
}

const redirectStatuses = new Set([301, 302, 303, 307, 308]);

/** Returns whether an answer with this status is a redirect. */
export function isRedirect(status: number): boolean {
  return redirectStatuses.has(status);
}

/** Returns the request that follows a redirect to `url`. */
export function followRedirect(hop: Hop, url: URL): Hop {
  if (url.origin === hop.url.origin && !hop.elsewhere) return { ...hop, url };
  // S3 refuses a signed URL with Authorization. A URL may be signed for GET alone.
  return { ...hop, method: 'GET', url, credentials: {}, elsewhere: true };
}

/**
 * Returns the https URL for an http URL of the server that was reached over https: behind a proxy that terminates TLS, a
 * registry does not know its own scheme. Returns other URLs unchanged.
 */
export function keepSecure(url: URL, from: RequestUrl): URL {
  const isSame = url.hostname === from.hostname && (url.port === '' || url.port === from.port);
  if (url.protocol !== 'http:' || from.protocol !== 'https:' || !isSame) return url;
  const secure = new URL(url);
  secure.protocol = from.protocol;
  secure.port = from.port;
  return secure;
}

/**
 * Returns where a redirect leads.
 * @throws UpstreamVerdict failed without a valid `Location`, and from https to http on another host.
 */
export function readLocation(headers: AnswerHeaders, from: RequestUrl): URL {
  const location = firstOf(headers, 'location');
  // An empty one would lead to the same URL again.
  if (location === undefined || location === '' || !URL.canParse(location, from.href))
    throw failed('it redirects without a valid Location');
  const url = keepSecure(new URL(location, from.href), from);
  if (url.protocol !== 'https:' && url.protocol !== from.protocol) {
    throw failed(`it redirects from ${from.protocol.slice(0, -1)} to ${url.protocol.slice(0, -1)}`);
  }
  url.username = '';
  url.password = '';
  url.hash = '';
  return url;
}
