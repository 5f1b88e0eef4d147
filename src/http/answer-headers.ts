/**
 * Sent with every answer of ours, errors too. Images and upstreams bring any bytes under any name: a browser that is led to
 * them must not guess a type, run a script, or show them inside another page.
 */
export const guardHeaders = {
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
} as const;

/** The media type of everything that is neither a manifest nor JSON of ours. */
export const plainType = 'application/octet-stream';

/** What every answer of a surface depends on. */
export interface AnswerContext {
  /** Of the request. */
  readonly id: string;
  /** Whether anyone may read everything: otherwise no shared cache may keep an answer. */
  readonly isPublic: boolean;
}

/**
 * The headers that every answer under `/v2` and of the management API has. `no-transform`: a compressing middleware of the host
 * would break lengths, ranges and digests.
 */
export function commonHeaders({ id, isPublic }: AnswerContext, caching = 'no-transform'): Record<string, string> {
  return {
    'Docker-Distribution-API-Version': 'registry/2.0',
    'X-Request-Id': id,
    'Cache-Control': isPublic || caching.includes('no-store') ? caching : `private, ${caching}`,
    ...guardHeaders,
  };
}

/** The type under which content may leave: its own when it is one of `allowed`, otherwise bytes and nothing more. */
export function safeContentType(type: string | undefined, allowed: readonly string[]): string {
  const bare = type?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  return allowed.includes(bare) ? bare : plainType;
}
