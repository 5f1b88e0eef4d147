import type { RepositoryDirectory } from '../../../ports/repository.js';
import type { RegistryParams } from '../../../protocol/tables/endpoints.js';
import { formatNextLink, parsePageSize } from '../../../protocol/headers.js';
import { listInReach } from '../../../util/reach-listing.js';
import { takeTurns } from '../../../util/scheduling/turns.js';
import { Cursors } from '../../cursors.js';
import type { Exchange, Handler } from '../../exchange.js';
import { jsonReply, type Reply } from '../../reply.js';

const defaultCatalogPageSize = 100;
const maxCatalogPageSize = 10_000;
/** The number of images examined for one page. */
const maxImagesExamined = 20_000;
/** The approximate size of an item of a list in an answer. */
export const bytesPerItem = 100;

/** Confirms that this is a registry (end-1). */
export const checkVersion: Handler<RegistryParams<'version.check'>> = () => Promise.resolve(jsonReply(200, {}));

/**
 * Creates the handler of the catalog, an extension: the images of all repositories in byte order of their names, with `n`
 * and `last`. A host or namespace that is mapped to a repository lists the images of that repository, without its name. The
 * handler examines a bounded number of images: if the caller may see few of them, a page links to the next one by a cursor.
 */
export function createListCatalog(
  parts: () => { readonly directory: RepositoryDirectory },
): Handler<RegistryParams<'catalog.list'>> {
  const cursors = new Cursors();
  return async ({ query, caller, client, path, turn: listTurn }): Promise<Reply> => {
    const limit = parsePageSize(query.get('n') ?? String(defaultCatalogPageSize), maxCatalogPageSize);
    const from = positionOf(query, cursors);
    const budget = { left: maxImagesExamined };
    const turn = takeTurns();
    const names: string[] = [];
    let seenTo: string | undefined;
    let more = false;
    const addressed = parts().directory.listAt({ host: client.host, namespace: query.get('ns') ?? undefined });
    for (const { repository, prefix: own } of limit === 0 ? [] : addressed) {
      await turn();
      if (own < from && !from.startsWith(own)) continue;
      const reach = await caller.reach(repository.config.name);
      const after = from.startsWith(own) ? { after: from.slice(own.length) } : {};
      const page = await listInReach(
        reach,
        { limit: limit - names.length, ...after },
        { list: (part) => repository.listImages(caller, part), budget, hasLeft: () => caller.hasLeft() },
      );
      for (const { image } of page.items) names.push(own + image);
      ({ more } = page);
      seenTo = page.seenTo === undefined ? undefined : own + page.seenTo;
      if (more) break;
    }
    const headers = more ? nextLink(path, query, names.at(-1), limit, seenTo && cursors.seal(seenTo)) : {};
    await listTurn(names.length * bytesPerItem);
    return jsonReply(200, { repositories: names }, headers);
  };
}

/** Returns the position where a page begins: the cursor of the previous page, or else `last`. */
function positionOf(query: URLSearchParams, cursors: Cursors): string {
  const cursor = query.get('cursor');
  return cursor === null ? (query.get('last') ?? '') : cursors.open(cursor);
}

/** Returns the `Link` header to the next page: the client's path and query, with the last item or a cursor. */
export function nextLink(
  path: string,
  query: URLSearchParams,
  last: string | undefined,
  limit: number,
  cursor?: string,
): { Link: string } {
  const next = new URLSearchParams(query);
  if (last !== undefined) next.set('last', last);
  next.set('n', String(limit));
  next.delete('cursor');
  if (cursor !== undefined) next.set('cursor', cursor);
  return { Link: formatNextLink(path, next) };
}

/** Returns the page that `n` and `last` request. */
export function pageOf({ query }: Pick<Exchange<unknown>, 'query'>, max: number): { limit: number; after?: string } {
  const limit = parsePageSize(query.get('n'), max);
  const last = query.get('last');
  return last === null || last === '' ? { limit } : { limit, after: last };
}
