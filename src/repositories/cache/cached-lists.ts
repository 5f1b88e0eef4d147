import type { Caller, Listed, TagEntry } from '../../ports/repository.js';
import type { Provenance, Referrer, ReferrerPageRequest } from '../../ports/metadata/images.js';
import type { PageRequest } from '../../ports/pages.js';
import type { UpstreamResult } from '../../ports/upstream.js';
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import { FetchedLists, listingMs } from '../remote/fetched-lists.js';
import type { KeptList } from '../remote/list-cache.js';
import { cutByBytes, collectReferrers, sliceSorted } from '../content/list-pages.js';
import type { CacheContext } from './cache-context.js';
import { freshnessOf } from './freshness.js';
import { describeFailure, toRefusal } from '../../protocol/upstream/refusal.js';

const maxStoredTags = 10_000;
const maxStoredReferrers = { limit: 1000, maxBytes: 4 * 1024 * 1024 };

/**
 * Serves lists from the upstream. Keeps them in memory for a short time and serves them stale when the upstream fails.
 */
export class CachedLists {
  readonly #context: CacheContext;
  readonly #lists: FetchedLists;

  constructor(context: CacheContext) {
    this.#context = context;
    const { runtime, lists } = context.parts;
    this.#lists = new FetchedLists({ repository: context.config.name, lists, now: () => runtime.now() });
  }

  /** Returns `undefined` when the upstream does not have the image. */
  async tags(caller: Caller, image: string, page: PageRequest): Promise<Listed<TagEntry> | undefined> {
    const list = await this.#list<Tag>(`${image}\0tags`, image, caller, {
      maxAgeMs: maxAgeOf(page, this.#context.config.listTtlSeconds),
      ask: () => this.#context.upstream.listTags(image, caller.trail),
      fallBack: async () => {
        const { items } = await this.#context.parts.metadata.tags(this.#context.at(image), { limit: maxStoredTags });
        return items.length === 0 ? undefined : items.map(({ name }) => name);
      },
    });
    if (list === undefined) return undefined;
    const { items, more } = sliceSorted(list.items, page, nameOf);
    return { ...list, items: items.map((name) => ({ name })), more };
  }

  async referrers(
    caller: Caller,
    image: string,
    subject: Digest,
    page: ReferrerPageRequest,
  ): Promise<Listed<Referrer>> {
    // A signature that was just made must be found. A rule for the fallback tag of the referrers applies to the list too.
    const { seconds } = freshnessOf(this.#context.config, subject.replace(':', '-'));
    const list = await this.#list<Referrer>(`${image}\0${subject}`, image, caller, {
      maxAgeMs: maxAgeOf(page, seconds),
      ask: () => this.#context.upstream.listReferrers(image, subject, caller.trail),
      fallBack: async () => {
        const { metadata } = this.#context.parts;
        const { items } = await collectReferrers(metadata, this.#context.at(image), subject, maxStoredReferrers);
        return items.length === 0 ? undefined : items;
      },
    });
    return cutByBytes({ ...list, ...sliceSorted(list?.items ?? [], page, nameOf) }, page);
  }

  forget(image?: string): void {
    this.#lists.forget(image === undefined ? '' : `${image}\0`);
  }

  /** @throws RegistryError from `toRefusal` when the upstream gives no list and none is kept. */
  async #list<T extends Tag | Referrer>(
    key: string,
    image: string,
    { trail }: Caller,
    source: {
      readonly maxAgeMs: number;
      ask(): Promise<UpstreamResult<readonly T[]>>;
      fallBack(): Promise<readonly T[] | undefined>;
    },
  ): Promise<Listed<T> | undefined> {
    // A key always holds the same kind of list.
    const answer = (list: KeptList, cache: Provenance['cache'], reason?: string): Listed<T> =>
      this.#answer(image, list, cache, reason) as Listed<T>;
    const fresh = this.#lists.kept(key, source.maxAgeMs);
    if (fresh !== undefined) return answer(fresh, 'hit');
    const result = await this.#lists.fetch(key, trail, () => source.ask());
    if (result.type === 'absent') return undefined;
    if (result.type === 'found') return answer(result.value, 'miss');
    const kept = result.type === 'denied' ? undefined : this.#lists.kept(key);
    const items = result.type === 'denied' ? undefined : (kept?.items ?? (await source.fallBack()));
    if (items === undefined) throw toRefusal(result);
    return answer({ items, checkedAt: kept?.checkedAt ?? 0 }, 'stale', describeFailure(result.reason));
  }

  #answer(
    image: string,
    { items, checkedAt }: KeptList,
    cache: Provenance['cache'],
    reason?: string,
  ): Listed<Tag | Referrer> {
    this.#context.count(image, 'list', cache);
    const provenance: Provenance = {
      repository: this.#context.config.name,
      cache,
      ...(checkedAt === 0 ? {} : { checkedAt }),
      ...(reason === undefined ? {} : { reason }),
    };
    return { items, more: false, provenance };
  }
}

/** Returns how old the list of a page may be. The pages after the first are cut from the list that was kept for it. */
function maxAgeOf({ after }: PageRequest, ttlSeconds: number): number {
  return after === undefined ? ttlSeconds * 1000 : Math.max(ttlSeconds * 1000, listingMs);
}

function nameOf(item: Tag | Referrer): string {
  return typeof item === 'string' ? item : item.digest;
}
