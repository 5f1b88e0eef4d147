import { isTag, tryParseName, type Tag } from '../protocol/names.js';
import { linksOf } from '../protocol/upstream/answer-headers.js';
import { parseObject } from './upstream-manifest.js';
import { readDocument } from '../util/outgoing/answer-body.js';
import type { Answer } from '../util/outgoing/transport.js';
import { failed, UpstreamVerdict } from '../protocol/upstream/verdict.js';

const maxPages = 1000;
/** Items of one list. The largest public images have about 100,000 tags. */
const maxItems = 200_000;
const maxListBytes = 16 * 1024 * 1024;
const maxPageBytes = 8 * 1024 * 1024;
const pageLimits = { maxDepth: 64, maxValues: maxItems, maxMembers: 10_000 };

const tooLong = `its list is too long: at most ${maxItems} items in ${maxPages} pages and ${maxListBytes} bytes are read`;

/** Gets one page. @throws UpstreamVerdict when the answer is not 200. */
export type GetPage = (url: URL) => Promise<Answer>;

/** Returns the items of one page's JSON; `undefined` when it is not a list of this kind. */
export type ReadPage<T> = (page: Readonly<Record<string, unknown>>) => readonly T[] | undefined;

/**
 * Returns the items of all pages. The next page has the path of the first one and the query of its `Link`: registries behind
 * proxies do not know the path, the host or the scheme under which they are reached.
 * @throws UpstreamVerdict failed when there are more than 1000 pages, 200,000 items or 16 MiB, and when a page after the first
 * is missing. A list is never truncated silently.
 */
export async function readPages<T>(first: URL, getPage: GetPage, read: ReadPage<T>, timeoutMs: number): Promise<T[]> {
  const items: T[] = [];
  const visited = new Set<string>();
  let leftBytes = maxListBytes;
  for (let url: URL | undefined = first; url !== undefined;) {
    const answer = await (visited.size === 0 ? getPage(url) : getLaterPage(url, getPage));
    visited.add(url.href);
    const maxBytes = Math.min(leftBytes, maxPageBytes);
    const bytes = await readDocument(answer.body, { maxBytes, timeoutMs });
    leftBytes -= bytes.length;
    const page = parseObject(bytes, pageLimits, () => {
      throw unreadable(tooLong);
    });
    const pageItems = page === undefined ? undefined : read(page);
    if (pageItems === undefined) throw unreadable('its list is malformed');
    for (const item of pageItems) items.push(item);
    url = nextPage(answer, first);
    if (url !== undefined && visited.has(url.href)) throw unreadable('the pages of its list form a loop');
    const isLast = url === undefined;
    if (items.length > maxItems || (!isLast && (visited.size >= maxPages || leftBytes <= 0))) throw unreadable(tooLong);
  }
  return items;
}

/** Asks one upstream for large pages, unless it refuses them: quay.io accepts at most 100 items. */
export class PageSize {
  #query = '?n=1000';

  /** Calls `read` with the query of a first page. */
  async choose<T>(read: (query: string) => Promise<T>): Promise<T> {
    const query = this.#query;
    try {
      return await read(query);
    } catch (error) {
      const status = error instanceof UpstreamVerdict ? error.fields.status : undefined;
      if (query === '' || (status !== 400 && status !== 422)) throw error;
      const items = await read('');
      // Remembered only now: the upstream may have refused something else.
      this.#query = '';
      return items;
    }
  }
}

/** @throws UpstreamVerdict failed even if the page is absent or denied: the upstream has the list, but not all of it. */
async function getLaterPage(url: URL, getPage: GetPage): Promise<Answer> {
  try {
    return await getPage(url);
  } catch (error) {
    if (!(error instanceof UpstreamVerdict) || error.type === 'failed') throw error;
    throw failed(`a further page of its list is ${error.type}: ${error.message}`, error.fields);
  }
}

function unreadable(reason: string): UpstreamVerdict {
  return failed(reason, { isLasting: true });
}

function nextPage({ headers }: Answer, first: URL): URL | undefined {
  const link = linksOf(headers).find(({ isNext }) => isNext);
  if (link === undefined) return undefined;
  const query = /\?([^#]+)/.exec(link.target)?.[1]?.trim();
  if (query === undefined) throw unreadable('the URL of the next page of its list has no query');
  const url = new URL(first);
  url.search = query;
  return url;
}

/** Returns the valid names in a page of the catalog that begin with a prefix, without it. */
export function readImages(page: Readonly<Record<string, unknown>>, prefix: string): readonly string[] | undefined {
  const names = page['repositories'];
  if (names === null) return [];
  if (!Array.isArray(names)) return undefined;
  return names.flatMap((name) => {
    if (typeof name !== 'string' || !name.startsWith(prefix)) return [];
    return tryParseName(name.slice(prefix.length)) ?? [];
  });
}

/** Returns `tags` of a page without invalid tags. Some servers send `null` for an empty list. */
export function readTags(page: Readonly<Record<string, unknown>>): readonly Tag[] | undefined {
  const tags = page['tags'];
  if (tags === null || (tags === undefined && 'name' in page)) return [];
  if (!Array.isArray(tags)) return undefined;
  return tags.filter((tag): tag is Tag => typeof tag === 'string' && isTag(tag));
}
