import type { RowPage, RowRequest, TagSort } from '../../ports/browsing.js';
import type { PullFigures, TagRow } from '../../protocol/manifests/browsed-images.js';
import type { ImageKey, ManifestRecord } from '../../ports/metadata/images.js';
import type { TagRecord } from '../../ports/metadata/metadata.js';
import type { Caller } from '../../ports/repository.js';
import type { Digest } from '../../protocol/digest.js';
import { kindOfManifest } from '../../protocol/manifests/manifest-view.js';
import { matchesPattern } from '../../protocol/patterns.js';
import { immutablePatternOf } from '../../protocol/settings/immutable-tags.js';
import { takeTurns } from '../../util/scheduling/turns.js';
import { sumPulls, type BrowseParts, type Holder } from './browse-parts.js';
import type { ManifestReader } from './manifest-reader.js';
import { createMatcher, cutSorted, refuseSorting, type Sortable } from './row-order.js';
import { itemsOf } from '../../util/pages.js';
import type { PageRequest } from '../../ports/pages.js';

const pageSize = 500;
/** The number of tags or manifests examined for one page. */
const maxExamined = 100_000;

type Request = RowRequest<TagSort>;

/** A tag, or a manifest without a tag, and where it is stored. */
interface Found {
  readonly holder: Holder;
  readonly digest: Digest;
  readonly tag?: TagRecord;
  readonly record?: ManifestRecord;
}

/** A list that is read in the order of names. */
type Source = (
  after: string | undefined,
) => AsyncIterable<{ readonly name: string; readonly found: Found | undefined }>;

/** Lists the tags of an image, or the manifests that nothing keeps. */
export class TagRows {
  readonly #parts: BrowseParts;
  readonly #reader: ManifestReader;

  constructor(parts: BrowseParts, reader: ManifestReader) {
    this.#parts = parts;
    this.#reader = reader;
  }

  /** Lists tags. If several members have a tag, the first one shows it. */
  tags(caller: Caller, holders: readonly Holder[], request: Request): Promise<RowPage<TagRow>> {
    const matches = createMatcher(request.q);
    return this.#list(caller, request, (after) => this.#readTags(holders, after, matches));
  }

  /** Lists manifests that no tag, no index and no subject keeps. */
  untagged(caller: Caller, holders: readonly Holder[], request: Request): Promise<RowPage<TagRow>> {
    const matches = createMatcher(request.q);
    return this.#list(caller, request, (after) => this.#readUntagged(holders, after, matches));
  }

  /** Counts the manifests that no tag, no index and no subject keeps. */
  async countUntagged(caller: Caller, holder: Holder): Promise<number> {
    let count = 0;
    for await (const { found } of this.#readUntagged([holder], undefined, () => true)) {
      if (caller.hasLeft()) break;
      if (found !== undefined) count += 1;
    }
    return count;
  }

  async #list(caller: Caller, request: Request, source: Source): Promise<RowPage<TagRow>> {
    const isByName = request.sort === 'name' && !request.isDescending;
    const page = isByName ? await readPage(caller, request, source) : await this.#readSorted(caller, request, source);
    const items: TagRow[] = [];
    const turn = takeTurns();
    for (const found of page.items) {
      await turn();
      const row = await this.#describe(found);
      if (row !== undefined) items.push(row);
    }
    return { ...page, items };
  }

  async #readSorted(caller: Caller, request: Request, source: Source): Promise<RowPage<Found>> {
    const rows: Sortable<Found>[] = [];
    const turn = takeTurns();
    for await (const { name, found } of source(undefined)) {
      await turn();
      if (caller.hasLeft()) break;
      if (found === undefined) continue;
      refuseSorting(rows.length + 1);
      rows.push({ name, value: await this.#valueOf(found, request.sort), row: found });
    }
    return cutSorted(rows, request);
  }

  async *#readTags(
    holders: readonly Holder[],
    after: string | undefined,
    matches: (name: string) => boolean,
  ): ReturnType<Source> {
    const read = (holder: Holder) => async (page: PageRequest) => {
      const { items, more } = await this.#parts.metadata.tags(holder.at, page);
      return { more, items: items.map((tag) => ({ name: tag.name, found: { holder, digest: tag.digest, tag } })) };
    };
    const lists = holders.map((holder) => itemsOf(read(holder), ({ name }) => name, pageAfter(after)));
    for await (const { name, found } of merge(lists)) yield { name, found: matches(name) ? found : undefined };
  }

  async *#readUntagged(
    holders: readonly Holder[],
    after: string | undefined,
    matches: (name: string) => boolean,
  ): ReturnType<Source> {
    const { inventory } = this.#parts.metadata;
    const read = (holder: Holder) => async (page: PageRequest) => {
      const { items, more } = await inventory.manifests(holder.at, page);
      return {
        more,
        items: items.map((record) => ({ name: record.digest, found: { holder, digest: record.digest, record } })),
      };
    };
    const lists = holders.map((holder) => itemsOf(read(holder), ({ name }) => name, pageAfter(after)));
    for await (const { name, found } of merge(lists)) {
      const { record } = found;
      const isWanted = matches(name) || matches(record?.artifactType ?? '') || matches(record?.mediaType ?? '');
      yield { name, found: isWanted && !(await this.#isKept(found)) ? found : undefined };
    }
  }

  async #isKept({ holder: { at }, digest, record }: Found): Promise<boolean> {
    const { tags, namedBy } = await this.#parts.metadata.inventory.holders(at, digest);
    if (tags.length > 0 || namedBy.length > 0) return true;
    const subject = record?.subject;
    return subject !== undefined && (await this.#parts.metadata.manifest(at, subject)) !== undefined;
  }

  async #valueOf(found: Found, sort: TagSort): Promise<number> {
    const { metadata } = this.#parts;
    const { at } = found.holder;
    if (sort === 'name') return 0;
    if (sort === 'pulled_at' || sort === 'pulls') {
      const pulls = await this.#pullsOf(at, found.digest);
      return sort === 'pulls' ? pulls.pulls : (pulls.pulledAt ?? -1);
    }
    const record = found.record ?? (await metadata.manifest(at, found.digest));
    if (record === undefined) return -1;
    return sort === 'pushed_at' ? record.pushedAt : this.#reader.bytes(at, record, kindOf(record) === 'index');
  }

  /** Returns `undefined` for a manifest that was deleted since it was listed. */
  async #describe({ holder, digest, tag, record: known }: Found): Promise<TagRow | undefined> {
    const { metadata } = this.#parts;
    const { at, member } = holder;
    const record = known ?? (await metadata.manifest(at, digest));
    if (record === undefined) return undefined;
    const kind = kindOf(record);
    const { mediaType, size, artifactType, pushedAt } = record;
    return {
      ...(tag === undefined ? {} : { name: tag.name }),
      ...(member === undefined ? {} : { member }),
      digest,
      mediaType,
      kind,
      ...(kind === 'artifact' && artifactType !== undefined ? { artifactType } : {}),
      ...(kind === 'index' ? { platforms: await this.#reader.platforms(record) } : {}),
      manifestBytes: size,
      bytes: await this.#reader.bytes(at, record, kind === 'index'),
      pushedAt,
      ...(tag === undefined ? {} : await this.#describeTag(holder, tag)),
      ...(await this.#pullsOf(at, digest)),
    };
  }

  async #describeTag({ repository, at }: Holder, tag: TagRecord): Promise<Partial<TagRow>> {
    const { config } = repository;
    const [newest] = await this.#parts.metadata.journal.moves(at, tag.name, { limit: 1 });
    const immutable = immutablePatternOf(config, tag.name);
    const pinnedBy = config.type === 'remote' ? config.pins.filter((pin) => isPinning(pin, at.image, tag.name)) : [];
    return {
      updatedAt: tag.updatedAt,
      ...(newest?.digest === tag.digest ? { pushedBy: newest.by } : {}),
      ...(immutable === undefined ? {} : { immutable }),
      ...(tag.checkedAt === undefined ? {} : { checkedAt: tag.checkedAt }),
      ...(repository.freshUntil === undefined ? {} : { freshUntil: repository.freshUntil(tag) }),
      ...(pinnedBy.length === 0 ? {} : { pinnedBy }),
    };
  }

  async #pullsOf(at: ImageKey, digest: Digest): Promise<PullFigures> {
    const record = await this.#parts.metadata.pulls.get(at, digest);
    return sumPulls(record === undefined ? [] : [record], this.#parts.runtime.now());
  }
}

function kindOf({ mediaType, artifactType }: ManifestRecord): TagRow['kind'] {
  return kindOfManifest(mediaType, artifactType);
}

/** Returns whether a pin, `image` or `image:tag`, protects a tag. */
function isPinning(pin: string, image: string, tag: string): boolean {
  const [images = '', tags] = pin.split(':');
  return matchesPattern(images, image) && (tags === undefined || matchesPattern(tags, tag));
}

async function readPage(caller: Caller, { limit, after }: Request, source: Source): Promise<RowPage<Found>> {
  const items: Found[] = [];
  let examined = 0;
  let last = after?.name;
  for await (const { name, found } of limit === 0 ? [] : source(after?.name)) {
    if (items.length === limit && found !== undefined)
      return { items, ...(last === undefined ? {} : { next: { name: last } }) };
    if (found !== undefined) {
      items.push(found);
      last = name;
    }
    examined += 1;
    if (examined === maxExamined || caller.hasLeft()) return { items, next: { name } };
  }
  return { items };
}

interface Named {
  readonly name: string;
}

function pageAfter(after: string | undefined): PageRequest {
  return { limit: pageSize, ...(after === undefined ? {} : { after }) };
}

/** Merges sorted lists. If several items have the same name, yields the one of the first list. */
async function* merge<T extends Named>(lists: readonly AsyncGenerator<T>[]): AsyncGenerator<T> {
  const heads: (T | undefined)[] = [];
  for (const list of lists) heads.push((await list.next()).value as T | undefined);
  for (;;) {
    const names = heads.flatMap((head) => head?.name ?? []);
    const least = names.reduce<string | undefined>((a, b) => (a === undefined || b < a ? b : a), undefined);
    if (least === undefined) return;
    const first = heads.find((head) => head?.name === least);
    for (const [i, list] of lists.entries()) {
      // At its end, the value has the type `any`.
      if (heads[i]?.name === least) heads[i] = (await list.next()).value as T | undefined;
    }
    if (first !== undefined) yield first;
  }
}
