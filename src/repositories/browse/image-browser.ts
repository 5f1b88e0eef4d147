import type { BrowsedBlob, ImageBrowser, ImageSort, RowPage, RowRequest, TagSort } from '../../ports/browsing.js';
import type {
  ImageRow,
  ImageSummary,
  ManifestDetails,
  ShownMove,
  TagRow,
} from '../../protocol/manifests/browsed-images.js';
import type { Caller, Repository } from '../../ports/repository.js';
import type { Digest } from '../../protocol/digest.js';
import type { Reference, Tag } from '../../protocol/names.js';
import { findHolders, sumPulls, type BrowseParts, type Holder } from './browse-parts.js';
import { listImageRows } from './image-rows.js';
import { ManifestBrowser } from './manifest-browser.js';
import { ManifestReader } from './manifest-reader.js';
import { TagRows } from './tag-rows.js';

/** Browses the content of the index and the blob store. */
export class StoredImageBrowser implements ImageBrowser {
  readonly #parts: BrowseParts;
  readonly #tags: TagRows;
  readonly #manifests: ManifestBrowser;

  constructor(parts: BrowseParts) {
    this.#parts = parts;
    const reader = new ManifestReader(parts);
    this.#tags = new TagRows(parts, reader);
    this.#manifests = new ManifestBrowser(parts, reader);
  }

  images(
    caller: Caller,
    repositories: readonly Repository[],
    request: RowRequest<ImageSort> & { readonly withUnique: boolean },
  ): Promise<RowPage<ImageRow>> {
    return listImageRows(this.#parts, caller, repositories, request);
  }

  async tags(
    caller: Caller,
    repository: Repository,
    image: string,
    { untagged, ...request }: RowRequest<TagSort> & { readonly untagged: boolean },
  ): Promise<RowPage<TagRow> | undefined> {
    const holders = await this.#holders(caller, repository, image);
    if (holders.length === 0) return undefined;
    return untagged ? this.#tags.untagged(caller, holders, request) : this.#tags.tags(caller, holders, request);
  }

  async summary(caller: Caller, repository: Repository, image: string): Promise<ImageSummary | undefined> {
    const holders = await this.#holders(caller, repository, image);
    const parts: ImageSummary[] = [];
    for (const holder of holders) parts.push(...(await this.#summarize(caller, holder)));
    const [first] = parts;
    return first && parts.slice(1).reduce(add, first);
  }

  async manifest(
    caller: Caller,
    repository: Repository,
    image: string,
    reference: Reference,
  ): Promise<ManifestDetails | undefined> {
    for (const holder of await this.#holders(caller, repository, image)) {
      const found = await this.#manifests.describe(caller, holder, reference);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async history(
    caller: Caller,
    repository: Repository,
    image: string,
    tag: Tag,
    page: { readonly limit: number; readonly before?: number },
  ): Promise<readonly ShownMove[] | undefined> {
    const { metadata } = this.#parts;
    // The history of a deleted tag is kept, even if nothing else of the image is left.
    const members = (await repository.members?.(caller, image)) ?? [repository];
    for (const member of members) {
      const at = { repository: member.config.name, image: member.canonicalImage(image) };
      const moves = await metadata.journal.moves(at, tag, page);
      if (moves.length === 0 && (await metadata.tag(at, tag)) === undefined) continue;
      const isPresent = async (digest: Digest | undefined): Promise<boolean> =>
        digest !== undefined && (await metadata.manifest(at, digest)) !== undefined;
      return Promise.all(moves.map(async (move) => ({ ...move, present: await isPresent(move.digest) })));
    }
    return (await this.#holders(caller, repository, image)).length === 0 ? undefined : [];
  }

  async blob(caller: Caller, repository: Repository, image: string, digest: Digest): Promise<BrowsedBlob | undefined> {
    const { metadata, blobs } = this.#parts;
    for (const { at } of await this.#holders(caller, repository, image)) {
      const manifest = await metadata.manifest(at, digest);
      const { namedBy } = await metadata.inventory.holders(at, digest);
      const size = manifest?.size ?? (namedBy.length > 0 ? (await metadata.link(at, digest))?.size : undefined);
      const content = size === undefined ? undefined : await blobs.read(digest);
      if (content !== undefined && content.size === size) return { size, content };
    }
    return undefined;
  }

  #holders(caller: Caller, repository: Repository, image: string): Promise<readonly Holder[]> {
    return findHolders(this.#parts, caller, repository, image);
  }

  /** Returns nothing for an image that was deleted in the meantime. */
  async #summarize(caller: Caller, holder: Holder): Promise<readonly ImageSummary[]> {
    const { metadata, runtime } = this.#parts;
    const { at, member } = holder;
    const record = await metadata.image(at);
    if (record === undefined) return [];
    const { manifests, tags, bytes, updatedAt, pushedAt = updatedAt } = record;
    const summary = {
      members: member === undefined ? [] : [member],
      manifests,
      tags,
      untagged: await this.#tags.countUntagged(caller, holder),
      bytes,
      uniqueBytes: await metadata.inventory.uniqueBytes(at),
      updatedAt,
      pushedAt,
      ...sumPulls(await metadata.pulls.list(at), runtime.now()),
    };
    return [summary];
  }
}

/** Adds up the figures of two members. Content that both have counts twice, as it does on the members themselves. */
function add(a: ImageSummary, b: ImageSummary): ImageSummary {
  const pulledAt = Math.max(a.pulledAt ?? 0, b.pulledAt ?? 0);
  return {
    members: [...a.members, ...b.members],
    manifests: a.manifests + b.manifests,
    tags: a.tags + b.tags,
    untagged: a.untagged + b.untagged,
    bytes: a.bytes + b.bytes,
    uniqueBytes: a.uniqueBytes + b.uniqueBytes,
    updatedAt: Math.max(a.updatedAt, b.updatedAt),
    pushedAt: Math.max(a.pushedAt, b.pushedAt),
    ...(pulledAt === 0 ? {} : { pulledAt }),
    pulls: a.pulls + b.pulls,
    recentPulls: a.recentPulls + b.recentPulls,
  };
}
