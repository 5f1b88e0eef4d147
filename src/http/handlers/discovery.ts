import type { AccessControl, ImageRecord, RepositoryDirectory } from '../../ports.js';
import type { RegistryParams } from '../../protocol/endpoints.js';
import { formatNextLink, parsePageSize } from '../../protocol/headers.js';
import type { Exchange, Handler } from '../exchange.js';
import { jsonReply, type Reply } from '../reply.js';

const catalogPageDefault = 100;
const catalogPageMost = 10_000;

/** end-1: whether this is a registry. */
export const checkVersion: Handler<RegistryParams<'version.check'>> = () => Promise.resolve(jsonReply(200, {}));

/** The catalog (an extension): the images of all repositories in byte order of their names; `n`, `last`. */
export function createListCatalog(
  parts: () => { readonly access: AccessControl; readonly directory: RepositoryDirectory },
): Handler<RegistryParams<'catalog.list'>> {
  return async ({ query, caller, path }): Promise<Reply> => {
    const { access, directory } = parts();
    const limit = parsePageSize(query.get('n') ?? String(catalogPageDefault), catalogPageMost);
    const last = query.get('last') ?? '';
    const names: string[] = [];
    for (const { repository } of directory.list()) {
      const { name } = repository.config;
      if (names.length > limit) break;
      if (!(await access.knows(caller.principal, name))) continue;
      for await (const { image } of imagesAfter(name, last, limit, (page) => repository.listImages(caller, page))) {
        if (await caller.mayPull({ repository: name, image })) names.push(`${name}/${image}`);
        if (names.length > limit) break;
      }
    }
    const page = names.slice(0, limit);
    const more = names.length > limit && limit > 0;
    return jsonReply(200, { repositories: page }, more ? nextLink(path, query, page.at(-1) ?? '', limit) : {});
  };
}

/** The images of one repository whose full name comes after `last`. */
async function* imagesAfter(
  repository: string,
  last: string,
  limit: number,
  list: (page: { limit: number; after?: string }) => Promise<{ items: readonly ImageRecord[]; more: boolean }>,
): AsyncGenerator<ImageRecord> {
  const own = `${repository}/`;
  let after = last.startsWith(own) ? last.slice(own.length) : undefined;
  if (after === undefined && own < last) return;
  let pageSize = Math.min(limit + 1, 1000);
  for (;;) {
    const { items, more } = await list({ limit: pageSize, ...(after === undefined ? {} : { after }) });
    yield* items;
    // Much may be left out of what comes.
    pageSize = 1000;
    after = items.at(-1)?.image;
    if (!more || after === undefined) return;
  }
}

/** The `Link` header of a page: the client's own path and query, from the last item on. */
export function nextLink(path: string, query: URLSearchParams, last: string, limit: number): { Link: string } {
  const next = new URLSearchParams(query);
  next.set('last', last);
  next.set('n', String(limit));
  return { Link: formatNextLink(path, next) };
}

/** The page that `n` and `last` ask for. */
export function pageOf({ query }: Pick<Exchange<unknown>, 'query'>, most: number): { limit: number; after?: string } {
  const limit = parsePageSize(query.get('n'), most);
  const last = query.get('last');
  return last === null || last === '' ? { limit } : { limit, after: last };
}
