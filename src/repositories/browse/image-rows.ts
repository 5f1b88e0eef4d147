import type { ImageSort, RowPage, RowRequest } from '../../ports/browsing.js';
import type { ImageRow, PullFigures } from '../../protocol/manifests/browsed-images.js';
import type { Reach } from '../../ports/access/access.js';
import type { ImageKey, ImagePage, ImageRecord } from '../../ports/metadata/images.js';
import type { Caller, Repository } from '../../ports/repository.js';
import { listInReach } from '../../util/reach-listing.js';
import { takeTurns } from '../../util/scheduling/turns.js';
import { sumPulls, type BrowseParts } from './browse-parts.js';
import { createMatcher, cutSorted, maxSorted, refuseSorting, type Sortable } from './row-order.js';

/** The number of images examined for one page, as in the catalog. */
const maxExamined = 20_000;
/** The number of images examined for a list that is sorted as a whole. */
const maxExaminedWhole = 200_000;

type Request = RowRequest<ImageSort> & { readonly withUnique: boolean };

interface Found {
  readonly repository: Repository;
  readonly record: ImageRecord;
}

/** Lists images that the caller may pull. */
export async function listImageRows(
  parts: BrowseParts,
  caller: Caller,
  repositories: readonly Repository[],
  request: Request,
): Promise<RowPage<ImageRow>> {
  const isByName = request.sort === 'name' && !request.isDescending;
  const page = isByName
    ? await listByName(caller, repositories, request)
    : await listSorted(parts, caller, repositories, request);
  const items: ImageRow[] = [];
  const turn = takeTurns();
  for (const found of page.items) {
    await turn();
    items.push(await describe(parts, found, request));
  }
  return { ...page, items };
}

/** Reads one page, one repository after another. */
async function listByName(
  caller: Caller,
  repositories: readonly Repository[],
  request: Request,
): Promise<RowPage<Found>> {
  const { limit } = request;
  const from = request.after?.name ?? '';
  const items: Found[] = [];
  const budget = { left: maxExamined };
  for (const repository of limit === 0 ? [] : repositories) {
    const own = `${repository.config.name}/`;
    if (own < from && !from.startsWith(own)) continue;
    const after = from.startsWith(own) ? { after: from.slice(own.length) } : {};
    const rest = { limit: limit - items.length, ...after };
    const page = await listMatching(caller, repository, rest, { q: request.q, budget });
    items.push(...page.items.map((record) => ({ repository, record })));
    if (!page.more) continue;
    if (page.seenTo !== undefined) return { items, next: { name: own + page.seenTo, isHidden: true } };
    const last = items.at(-1);
    return last === undefined ? { items } : { items, next: { name: nameOf(last) } };
  }
  return { items };
}

/** Reads all images, then sorts them. */
async function listSorted(
  parts: BrowseParts,
  caller: Caller,
  repositories: readonly Repository[],
  request: Request,
): Promise<RowPage<Found>> {
  const rows: Sortable<Found>[] = [];
  const budget = { left: maxExaminedWhole };
  const turn = takeTurns();
  for (const repository of repositories) {
    const page = { limit: maxSorted + 1 - rows.length };
    const { items, more } = await listMatching(caller, repository, page, { q: request.q, budget });
    refuseSorting(rows.length + items.length + (more ? maxSorted : 0));
    for (const record of items) {
      await turn();
      const row = { repository, record };
      rows.push({ name: nameOf(row), value: await valueOf(parts, row, request.sort), row });
    }
  }
  return cutSorted(rows, request);
}

async function listMatching(
  caller: Caller,
  repository: Repository,
  page: { readonly limit: number; readonly after?: string },
  { q, budget }: { readonly q: string | undefined; readonly budget: { left: number } },
): Promise<ImagePage> {
  const { name } = repository.config;
  const reach = await caller.reach(name);
  const matches = createMatcher(q);
  // A search for `docker-internal/team` finds the image too.
  const has: Reach['has'] = (image) => matches(image) || matches(`${name}/${image}`);
  const wanted: Reach = { prefixes: reach.prefixes, has: (image) => has(image) && reach.has(image) };
  return listInReach(wanted, page, {
    list: (part) => repository.listImages(caller, part),
    budget,
    hasLeft: () => caller.hasLeft(),
  });
}

async function valueOf(parts: BrowseParts, found: Found, sort: ImageSort): Promise<number> {
  const { tags, bytes, updatedAt, pushedAt = updatedAt } = found.record;
  if (sort !== 'pulled_at' && sort !== 'pulls') return { name: 0, tags, size: bytes, pushed_at: pushedAt }[sort];
  const { pulledAt = -1, pulls } = await pullsOf(parts, found);
  return sort === 'pulls' ? pulls : pulledAt;
}

async function describe(parts: BrowseParts, found: Found, { withUnique }: Request): Promise<ImageRow> {
  const { repository, record } = found;
  const { image, member, manifests, tags, bytes, updatedAt, pushedAt = updatedAt } = record;
  return {
    repository: repository.config.name,
    image,
    ...(member === undefined ? {} : { member }),
    manifests,
    tags,
    bytes,
    ...(withUnique ? { uniqueBytes: await parts.metadata.inventory.uniqueBytes(keyOf(found)) } : {}),
    updatedAt,
    pushedAt,
    ...(await pullsOf(parts, found)),
  };
}

async function pullsOf({ metadata, runtime }: BrowseParts, found: Found): Promise<PullFigures> {
  return sumPulls(await metadata.pulls.list(keyOf(found)), runtime.now());
}

/** Returns where the image is stored. */
function keyOf({ repository, record }: Found): ImageKey {
  return { repository: record.member ?? repository.config.name, image: record.image };
}

function nameOf({ repository, record }: Found): string {
  return `${repository.config.name}/${record.image}`;
}
