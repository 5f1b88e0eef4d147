/**
 * Headers of every response, including errors. Images and upstreams contain arbitrary bytes under arbitrary names: a
 * browser that opens them must not guess their type, run scripts in them or show them inside another page.
 */
export const guardHeaders = {
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
} as const;

/** The media type of everything except manifests and our own JSON. */
export const plainType = 'application/octet-stream';

/** Facts about the request that affect the headers of every response. */
export interface AnswerContext {
  /** The id of the request. */
  readonly id: string;
  /** Whether anyone may read everything. If not, shared caches must not store responses. */
  readonly isPublic: boolean;
}

/**
 * Returns the headers of every response of `/v2` and the management API. `no-transform` keeps compressing middleware of the
 * host from breaking lengths, ranges and digests.
 */
export function commonHeaders({ id, isPublic }: AnswerContext, caching = 'no-transform'): Record<string, string> {
  return {
    'Docker-Distribution-API-Version': 'registry/2.0',
    'X-Request-Id': id,
    'Cache-Control': isPublic || caching.includes('no-store') ? caching : `private, ${caching}`,
    ...guardHeaders,
  };
}

/** Returns the media type to serve content with: its own if it is one of `allowed`, otherwise `plainType`. */
export function safeContentType(type: string | undefined, allowed: readonly string[]): string {
  if (type !== undefined && allowed.includes(type)) return type;
  const bare = type?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  return allowed.includes(bare) ? bare : plainType;
}
