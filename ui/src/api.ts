import { signal } from '@preact/signals';
import { ApiError, toApiError } from './api-error.ts';

export { ApiError } from './api-error.ts';

/** The management API, relative to the page: the UI works under any path. Only this file sends requests. */
const base = new URL('../api/v1/', document.baseURI);

type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** Asks the user to log in. Resolves to whether someone is logged in now. */
export type AskLogin = () => Promise<boolean>;

/** Called when the API answers 401. Set by the session. */
export const askLogin = signal<AskLogin>(() => Promise.resolve(false));

/** Returns the URL of a path of the API: `urlOf('images', { q: 'app' })`. */
export function urlOf(path: string, query: Query = {}): string {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? (value as readonly string[]) : [value]) {
      url.searchParams.append(name, String(one));
    }
  }
  return url.href;
}

/** Returns the path of an image in the API, to which callers append a fixed word. */
export function imagePath(repository: string, image: string): string {
  return `repositories/${repository}/images/${image}`;
}

/** Reads a document. @throws ApiError */
export async function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return (await exchange<T>('GET', urlOf(path, query), undefined, signal)).document;
}

/** A document, and its version for `send`. */
export interface Versioned<T> {
  readonly document: T;
  readonly version: string | undefined;
}

/** Reads a document with its version. @throws ApiError */
export async function getVersioned<T>(path: string, signal?: AbortSignal): Promise<Versioned<T>> {
  return exchange<T>('GET', urlOf(path), undefined, signal);
}

/**
 * Sends a document, and returns the document of the answer.
 * @param version the version that the document must still have: otherwise the registry refuses the change with 412.
 * @throws ApiError
 */
export async function send<T = undefined>(
  method: 'POST' | 'PUT' | 'DELETE',
  path: string,
  body?: object,
  query?: Query,
  version?: string,
): Promise<T> {
  return (await exchange<T>(method, urlOf(path, query), body, undefined, version)).document;
}

/** A complete list, or its start if it is too long. */
export interface Listed<Item> {
  readonly items: readonly Item[];
  readonly isComplete: boolean;
}

/** The number of items per request of a list. */
const pageSize = 1000;
/** The maximum number of items that the page sorts and filters. The registry does that for longer lists. */
export const maxItems = 20_000;

/** Reads a list with all of its pages, up to 20,000 items. @throws ApiError */
export async function getAll<Item>(
  path: string,
  pick: (document: never) => readonly Item[],
  query: Query = {},
  options: {
    readonly signal?: AbortSignal;
    readonly max?: number;
    readonly onPage?: (list: Listed<Item>) => void;
  } = {},
): Promise<Listed<Item>> {
  const { max = maxItems } = options;
  const items: Item[] = [];
  let shown = 0;
  let next: string | undefined = urlOf(path, { n: Math.min(pageSize, max), ...query });
  while (next !== undefined && items.length < max) {
    const { document: page, link }: Answer<never> = await exchange<never>('GET', next, undefined, options.signal);
    items.push(...pick(page));
    next = link;
    // Each time twice as many, because the page sorts what it shows.
    if (next === undefined || items.length < 2 * shown) continue;
    shown = items.length;
    options.onPage?.({ items: [...items], isComplete: false });
  }
  return { items, isComplete: next === undefined };
}

interface Answer<T> extends Versioned<T> {
  /** The URL of the next page. */
  readonly link?: string | undefined;
}

async function exchange<T>(
  method: string,
  url: string,
  body?: object,
  signal?: AbortSignal,
  version?: string,
  isRepeated = false,
): Promise<Answer<T>> {
  const response = await request(method, url, body, signal, version);
  if (response.status === 401 && !isRepeated && !isAboutLogin(method, url) && (await askLogin.value())) {
    return exchange(method, url, body, signal, version, true);
  }
  if (!response.ok) throw await toError(response);
  const document = (response.status === 204 ? undefined : await response.json()) as T;
  // A proxy that compresses makes the tag weak, and a weak one never matches.
  const tag = response.headers.get('ETag')?.replace(/^W\//, '');
  return { document, version: tag, link: nextOf(response) };
}

function isAboutLogin(method: string, url: string): boolean {
  return method !== 'GET' && url === urlOf('session');
}

async function request(
  method: string,
  url: string,
  body?: object,
  signal?: AbortSignal,
  version?: string,
): Promise<Response> {
  const headers: Record<string, string> = { Accept: 'application/json', 'X-Artifactapi-Client': 'ui' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (version !== undefined) headers['If-Match'] = version;
  try {
    return await fetch(url, {
      method,
      headers,
      credentials: 'same-origin',
      cache: 'no-store',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (cause) {
    if (signal?.aborted === true) throw cause;
    throw new ApiError(0, 'UNREACHABLE', 'the registry did not answer');
  }
}

async function toError(response: Response): Promise<ApiError> {
  const document: unknown = await response.json().catch(() => undefined);
  return toApiError(response.status, document, response.headers.get('X-Request-Id'));
}

/** The link is relative to the server or absolute; only its query matters, because a proxy may have changed the path. */
function nextOf(response: Response): string | undefined {
  const [, target] = /<([^>]+)>\s*;\s*rel="?next/.exec(response.headers.get('Link') ?? '') ?? [];
  if (target === undefined) return undefined;
  const url = new URL(response.url);
  url.search = new URL(target, url).search;
  return url.href;
}
