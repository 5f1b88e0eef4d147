/** The operations on images, tags, trash and archives that the distribution specification does not have. */
import type { ImageBrowser, RowPage, RowPosition } from '../../../ports/browsing.js';
import type { Repository } from '../../../ports/repository.js';
import { parseDigest } from '../../../protocol/digest.js';
import { RegistryError } from '../../../protocol/errors.js';
import { formatReference, parseReference, parseRepositoryName, parseTag } from '../../../protocol/names.js';
import {
  encodeImageRow,
  encodeMove,
  encodeSummary,
  encodeTagRow,
} from '../../../protocol/tables/documents/image-documents.js';
import { encodeManifest } from '../../../protocol/tables/documents/manifest-document.js';
import type { ManagementOp, ManagementParams } from '../../../protocol/tables/management.js';
import { decodeImageRows, decodeTagRows } from '../../../protocol/tables/row-requests.js';
import { Cursors } from '../../cursors.js';
import type { Exchange, Handler } from '../../exchange.js';
import { jsonReply, type Reply } from '../../reply.js';
import { bytesPerItem, nextLink, pageOf } from '../distribution/discovery.js';
import { readImageRules, type ImageRuleParts } from './image-rules.js';

/** The dependencies of `createImageHandlers`. */
export interface ImageParts extends ImageRuleParts {
  readonly browser: ImageBrowser;
}

type ImageOp = `image.${'listAll' | 'list' | 'tags' | 'summary' | 'manifest' | 'history' | 'blob'}`;
type ImageHandlers = { readonly [O in Extract<ManagementOp, ImageOp>]: Handler<ManagementParams<O>> };

const maxPageSize = 1000;
/** The page size with unique bytes, which take a read for each blob. */
const maxUniquePageSize = 100;
/** The maximum size of a browsed blob. Larger ones can be pulled. */
const maxBlobBytes = 32 * 1024 * 1024;

/** Creates the handlers that show images. @param find returns a repository or throws NAME_UNKNOWN. */
export function createImageHandlers(parts: () => ImageParts, find: (name: string) => Repository): ImageHandlers {
  const cursors = new Cursors();
  return {
    'image.listAll': async (exchange) => {
      const name = exchange.query.get('repository');
      const listed = name === null ? everything(parts()) : [await findKnown(parts(), exchange, name)];
      return listImages(parts(), exchange, listed, cursors, '');
    },
    'image.list': (exchange) => {
      const repository = find(exchange.params.repository);
      return listImages(parts(), exchange, [repository], cursors, `${repository.config.name}/`);
    },
    'image.tags': (exchange) => listTags(parts(), exchange, find(exchange.params.repository), cursors),
    'image.summary': async ({ caller, params }) => {
      const repository = find(params.repository);
      const summary = (await parts().browser.summary(caller, repository, params.image)) ?? imageUnknown(params);
      const rules = await readImageRules(parts(), caller, repository, params.image);
      return jsonReply(200, encodeSummary(summary, rules));
    },
    'image.manifest': async ({ caller, params, query, turn }) => {
      const reference = parseReference(query.get('reference') ?? 'latest');
      const found = await parts().browser.manifest(caller, find(params.repository), params.image, reference);
      if (found === undefined) {
        throw new RegistryError('MANIFEST_UNKNOWN', { detail: { reference: formatReference(reference) } });
      }
      await turn(2 * found.raw.length);
      return jsonReply(200, encodeManifest(found));
    },
    'image.history': async (exchange) => {
      const { caller, params, query, path } = exchange;
      const { limit, after } = pageOf(exchange, maxPageSize);
      const before = after === undefined ? undefined : parseMove(after);
      const page = { limit: limit + 1, ...(before === undefined ? {} : { before }) };
      const tag = parseTag(query.get('tag') ?? '');
      const moves = await parts().browser.history(caller, find(params.repository), params.image, tag, page);
      const shown = (moves ?? imageUnknown(params)).slice(0, limit).map(encodeMove);
      const last = String(moves?.[limit - 1]?.move ?? '');
      return jsonReply(200, { moves: shown }, (moves?.length ?? 0) > limit ? nextLink(path, query, last, limit) : {});
    },
    'image.blob': async ({ caller, params, query }) => {
      const digest = parseDigest(query.get('digest') ?? '');
      const found = await parts().browser.blob(caller, find(params.repository), params.image, digest);
      if (found === undefined) throw new RegistryError('BLOB_UNKNOWN', { detail: { digest } });
      const { size, content } = found;
      if (size > maxBlobBytes) {
        const message = `the blob has ${size} bytes: at most ${maxBlobBytes} can be browsed, pull it instead`;
        throw new RegistryError('SIZE_INVALID', { status: 413, message, detail: { size, maxBytes: maxBlobBytes } });
      }
      return { status: 200, headers: downloadHeaders(digest), body: { content, length: size } };
    },
  };
}

/** Headers that keep a browser from showing pushed content, in addition to those of every answer. */
function downloadHeaders(digest: string): NonNullable<Reply['headers']> {
  return {
    'Content-Type': 'application/octet-stream',
    'Content-Disposition': `attachment; filename="${digest.replace(':', '-')}"`,
  };
}

/** Returns all repositories that store content under their own name. A virtual repository would list everything twice. */
function everything({ directory }: ImageParts): readonly Repository[] {
  const all = directory.list().map(({ repository }) => repository);
  return all.filter((repository) => !('members' in repository));
}

/** @throws RegistryError NAME_UNKNOWN, the same for an absent and a hidden repository. */
async function findKnown(
  { directory, access }: ImageParts,
  { caller }: Pick<Exchange<unknown>, 'caller'>,
  name: string,
): Promise<Repository> {
  const found = directory.get(parseRepositoryName(name))?.repository;
  if (found !== undefined && (await access.mayKnow(caller.principal, name, 'pull'))) return found;
  throw new RegistryError('NAME_UNKNOWN', { detail: { repository: name } });
}

/** @param own the part before the names of the images in the list, which is not a part of `last`. */
async function listImages(
  { browser }: ImageParts,
  exchange: Pick<Exchange<unknown>, 'caller' | 'query' | 'path' | 'turn'>,
  repositories: readonly Repository[],
  cursors: Cursors,
  own: string,
): Promise<Reply> {
  const { caller, query, turn } = exchange;
  const order = decodeImageRows(query);
  const { limit, after: last } = pageOf(exchange, order.withUnique ? maxUniquePageSize : maxPageSize);
  const after = readPosition(query, cursors, order, last === undefined ? undefined : own + last);
  const page = await browser.images(caller, repositories, { ...order, limit, ...after });
  await turn(page.items.length * bytesPerItem);
  const lastName = page.items
    .map((row) => `${row.repository}/${row.image}`)
    .at(-1)
    ?.slice(own.length);
  return jsonReply(
    200,
    { images: page.items.map(encodeImageRow) },
    linkOf(exchange, page, { limit, lastName, order, cursors }),
  );
}

async function listTags(
  { browser }: ImageParts,
  exchange: Exchange<ManagementParams<'image.tags'>>,
  repository: Repository,
  cursors: Cursors,
): Promise<Reply> {
  const { caller, query, params, turn } = exchange;
  const order = decodeTagRows(query);
  const { limit, after: last } = pageOf(exchange, maxPageSize);
  const after = readPosition(query, cursors, order, last);
  const page = await browser.tags(caller, repository, params.image, { ...order, limit, ...after });
  if (page === undefined) return imageUnknown(params);
  await turn(page.items.length * bytesPerItem);
  const newest = page.items.at(-1);
  const lastName = order.untagged ? newest?.digest : newest?.name;
  const shown = page.items.map(encodeTagRow);
  const key = order.untagged ? 'manifests' : 'tags';
  return jsonReply(200, { [key]: shown }, linkOf(exchange, page, { limit, lastName, order, cursors }));
}

interface Order {
  readonly sort: string;
  readonly isDescending: boolean;
}

/** Returns the position in the cursor of the previous page, or else `last`. */
function readPosition(
  query: URLSearchParams,
  cursors: Cursors,
  order: Order,
  last: string | undefined,
): { readonly after?: RowPosition } {
  const cursor = query.get('cursor');
  if (cursor === null) return last === undefined ? {} : { after: { name: last } };
  // Sealed by this process: no one else can create a cursor.
  const [sort, name, value] = JSON.parse(cursors.open(cursor)) as [string, string, number?];
  if (sort === describeOrder(order)) return { after: { name, ...(value === undefined ? {} : { value }) } };
  const message = 'the cursor is of a list with another order: list again from the first page';
  throw new RegistryError('PAGINATION_NUMBER_INVALID', { message });
}

/** Returns the link to the next page: with `last` if a name is enough, otherwise with a cursor. */
function linkOf(
  { path, query }: Pick<Exchange<unknown>, 'path' | 'query'>,
  { next }: RowPage<unknown>,
  given: {
    readonly limit: number;
    readonly lastName: string | undefined;
    readonly order: Order;
    readonly cursors: Cursors;
  },
): { Link?: string } {
  const { limit, lastName, order, cursors } = given;
  if (next === undefined || limit === 0) return {};
  const isPlain = order.sort === 'name' && !order.isDescending && next.isHidden !== true;
  if (isPlain) return nextLink(path, query, lastName ?? next.name, limit);
  const cursor = cursors.seal(JSON.stringify([describeOrder(order), next.name, next.value]));
  return nextLink(path, query, lastName, limit, cursor);
}

function describeOrder({ sort, isDescending }: Order): string {
  return isDescending ? `-${sort}` : sort;
}

function imageUnknown({ image }: { readonly image: string }): never {
  throw new RegistryError('NAME_UNKNOWN', { message: 'image not known to this registry', detail: { image } });
}

function parseMove(text: string): number {
  if (/^[0-9]{1,15}$/.test(text)) return Number(text);
  throw new RegistryError('OPTIONS_INVALID', { detail: [{ path: 'last', problem: 'must be the number of a move' }] });
}
