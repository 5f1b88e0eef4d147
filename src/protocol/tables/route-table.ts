/**
 * Endpoint tables: one row per operation of `/v2` and of the management API, and the documents of the latter. Routing,
 * access checks and the API documentation come from these tables. Every layer may import it; it imports protocol/ only.
 */
import {
  accountPattern,
  parseAccountName,
  parsePersonName,
  parseRuleId,
  parseTokenId,
  personPattern,
  ruleIdPattern,
  tokenIdPattern,
} from '../settings/access-names.js';
import { digestPattern, parseDigest, type Digest } from '../digest.js';
import { RegistryError } from '../errors.js';
import {
  formatReference,
  namePattern,
  parseName,
  parseReference,
  parseRepositoryName,
  parseSessionId,
  repositoryNamePattern,
  sessionPattern,
  tagPattern,
  type Reference,
  type SessionId,
  type WireName,
} from '../names.js';
import { jobIdPattern, parseJobId } from './documents/job-documents.js';
import { loginIdPattern, parseLoginId, parseProviderName } from './documents/session-documents.js';
import { providerPattern } from '../settings/token-config.js';
import { parseSyncName } from './documents/sync-documents.js';
import { deliveryPattern, parseDelivery, parseWebhookName } from './documents/webhook-documents.js';
import type { QueryParameter } from './query-parameters.js';

/** One operation: its name, method and path, and the access that it requires. */
export interface Endpoint {
  readonly op: string;
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** `:name` and `:image` match one or more path segments, other placeholders one. */
  readonly path: string;
  readonly access:
    | 'none'
    | 'anyone'
    | 'ping'
    | 'token'
    | 'login'
    | 'browse'
    | 'pull'
    | 'push'
    | 'delete'
    | 'catalog'
    | 'monitor'
    | 'admin';
  readonly spec: string;
  /** The supported query parameters. The management API refuses others; `/v2` ignores them. */
  readonly query?: readonly QueryParameter[];
  /** Set if the caller is sent here by another server, which may add parameters of its own. */
  readonly anyQuery?: true;
  readonly summary: string;
  /** The change that it makes, if the journal does not record it: its name in the audit file. */
  readonly change?: string;
}

/** The type of each placeholder. Each has a parser of the same name, so handlers receive only validated values. */
interface Placeholders {
  name: WireName;
  image: WireName;
  digest: Digest;
  reference: Reference;
  session: SessionId;
  repository: string;
  account: string;
  person: string;
  token: string;
  rule: string;
  job: string;
  sync: string;
  webhook: string;
  delivery: number;
  login: string;
  provider: string;
}

type PlaceholderIn<Path extends string> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? Name | PlaceholderIn<`/${Rest}`>
  : Path extends `${string}:${infer Name}`
    ? Name
    : never;

/** The parameters of a path: `ParamsOf<'/v2/:name/blobs/:digest'>` is `{ name: WireName; digest: Digest }`. */
export type ParamsOf<Path extends string> = {
  readonly [N in PlaceholderIn<Path> & keyof Placeholders]: Placeholders[N];
};

const parsers: { readonly [N in keyof Placeholders]: (text: string) => Placeholders[N] } = {
  name: parseName,
  image: parseName,
  digest: parseDigest,
  reference: parseReference,
  session: parseSessionId,
  repository: parseRepositoryName,
  account: parseAccountName,
  person: parsePersonName,
  token: parseTokenId,
  rule: parseRuleId,
  job: parseJobId,
  sync: parseSyncName,
  webhook: parseWebhookName,
  delivery: parseDelivery,
  login: parseLoginId,
  provider: parseProviderName,
};

/** The patterns of placeholders for the OpenAPI document. The parsers also check lengths. */
export const placeholderPatterns: { readonly [N in keyof Placeholders]: RegExp } = {
  name: namePattern,
  image: namePattern,
  digest: digestPattern,
  reference: new RegExp(`${tagPattern.source}|${digestPattern.source}`),
  session: sessionPattern,
  repository: repositoryNamePattern,
  account: accountPattern,
  person: personPattern,
  token: tokenIdPattern,
  rule: ruleIdPattern,
  job: jobIdPattern,
  sync: repositoryNamePattern,
  webhook: repositoryNamePattern,
  delivery: deliveryPattern,
  login: loginIdPattern,
  provider: providerPattern,
};

/** Twice the length that a name, a digest and the literal segments need. */
const maxPathLength = 1024;

/** A row that matches a path, with the parsed parameters. */
export interface Match<Row extends Endpoint> {
  readonly row: Row;
  readonly params: Readonly<Record<string, unknown>>;
}

/** A path of the table, and its row for each method. */
interface Route<Row> {
  readonly rows: Map<string, Row>;
  /** The segments before `wide`; all segments if there is none. */
  readonly head: readonly string[];
  /** The placeholder that matches several segments. */
  readonly wide: string | undefined;
  /** The segments after `wide`. */
  readonly tail: readonly string[];
  readonly endsWithSlash: boolean;
}

/**
 * Matches paths against a table of endpoints. It matches from the right, so images can be named `blobs` or `tags/list`.
 */
export class RouteTable<Row extends Endpoint> {
  readonly #routes: readonly Route<Row>[];

  constructor(rows: readonly Row[]) {
    const routes = new Map<string, Route<Row>>();
    for (const row of rows) {
      const route = routes.get(row.path) ?? compile<Row>(row.path);
      route.rows.set(row.method, row);
      // The reply leaves out the body. Health checks and `curl -I` ask so (RFC 9110, 9.1).
      if (row.method === 'GET' && !route.rows.has('HEAD')) route.rows.set('HEAD', row);
      routes.set(row.path, route);
    }
    this.#routes = [...routes.values()];
  }

  /**
   * Returns the matching row, or `undefined` if no row has this path. The row of a GET also matches HEAD, unless HEAD has its own.
   * @param path absolute, percent-encoded, without query. A row that ends in "/" also matches a path without it.
   * @throws RegistryError UNSUPPORTED 405 with `Allow` when the path exists only for other methods; errors of the parsers.
   */
  match(method: string, path: string): Match<Row> | undefined {
    if (path.length > maxPathLength)
      throw new RegistryError('NAME_INVALID', { message: 'the path is too long', status: 414 });
    const segments = path.split('/');
    const slash = segments.length > 2 && segments.at(-1) === '';
    if (slash) segments.pop();
    for (const route of this.#routes) {
      if ((slash && !route.endsWithSlash) || !fits(route, segments)) continue;
      // The first path that fits wins for all methods: literal segments come before placeholders.
      const row = route.rows.get(method);
      if (row !== undefined) return { row, params: parseParams(route, segments) };
      throw new RegistryError('UNSUPPORTED', {
        message: `method ${method.slice(0, 20)} is not supported for this path`,
        headers: { Allow: [...route.rows.keys()].join(', ') },
      });
    }
    return undefined;
  }
}

/** Builds a path: the inverse of `match`. Values contain only characters that need no encoding in a path. */
export function buildPath(path: string, params: Readonly<Record<string, string | Reference>>): string {
  let built = '';
  // Not a pattern with a callback, which takes several times as long.
  for (const part of path.split('/')) {
    const value = part.startsWith(':') ? params[part.slice(1)] : undefined;
    if (value === undefined) built += `${part}/`;
    else built += typeof value === 'string' ? `${value}/` : `${formatReference(value)}/`;
  }
  return built.slice(0, -1);
}

function compile<Row>(path: string): Route<Row> {
  const endsWithSlash = path.endsWith('/');
  const segments = (endsWithSlash ? path.slice(0, -1) : path).split('/');
  const found = segments.findIndex((segment) => segment === ':name' || segment === ':image');
  const at = found < 0 ? segments.length : found;
  return {
    rows: new Map(),
    head: segments.slice(0, at),
    wide: segments[at]?.slice(1),
    tail: segments.slice(at + 1),
    endsWithSlash,
  };
}

function fits({ head, wide, tail }: Route<unknown>, segments: readonly string[]): boolean {
  const spare = segments.length - head.length - tail.length;
  if (wide === undefined ? spare !== 0 : spare < 1) return false;
  return agree(tail, segments, segments.length - tail.length) && agree(head, segments, 0);
}

// These functions run for each request: loops without callbacks take a third of the time.

function agree(pattern: readonly string[], segments: readonly string[], offset: number): boolean {
  for (let i = 0; i < pattern.length; i += 1) {
    if (pattern[i] !== segments[offset + i] && pattern[i]?.startsWith(':') !== true) return false;
  }
  return true;
}

function parseParams({ head, wide, tail }: Route<unknown>, segments: readonly string[]): Record<string, unknown> {
  const params: Record<string, unknown> = {};
  if (wide !== undefined) {
    const parts = segments.slice(head.length, segments.length - tail.length);
    // The table was compiled: each placeholder has a parser.
    const text = parts.some(isEncoded) ? decodeAll(parts, wide) : parts.join('/');
    params[wide] = parsers[wide as keyof Placeholders](text);
  }
  addParams(params, head, segments, 0);
  addParams(params, tail, segments, segments.length - tail.length);
  return params;
}

function addParams(
  params: Record<string, unknown>,
  pattern: readonly string[],
  segments: readonly string[],
  offset: number,
): void {
  for (let i = 0; i < pattern.length; i += 1) {
    if (pattern[i]?.startsWith(':') !== true) continue;
    // The table was compiled: each placeholder has a parser.
    const name = pattern[i]?.slice(1) as keyof Placeholders;
    params[name] = parsers[name](decode(segments[offset + i] ?? ''));
  }
}

/**
 * Decodes a name of several segments. Clients that were generated from the OpenAPI document encode the slashes of an image.
 * @throws RegistryError NAME_INVALID for an encoded slash in a name on the wire, which proxies and upstreams could read
 * differently.
 */
function decodeAll(parts: readonly string[], placeholder: string): string {
  const decoded = parts.map(decode);
  if (placeholder !== 'image' && decoded.some((part) => part.includes('/'))) throw new RegistryError('NAME_INVALID');
  return decoded.join('/');
}

function isEncoded(text: string): boolean {
  return text.includes('%');
}

function decode(text: string): string {
  if (!isEncoded(text)) return text;
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new RegistryError('NAME_INVALID', { message: 'the path is not percent-encoded UTF-8', cause });
  }
}
