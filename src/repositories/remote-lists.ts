import { LRUCache } from 'lru-cache';
import type { Caller, Listed, PageRequest, Provenance, Referrer, TagEntry, UpstreamResult } from '../ports.js';
import type { Digest } from '../protocol/digest.js';
import { SingleFlight } from '../util/concurrency.js';
import { sliceSorted, sortByName } from './list-pages.js';
import { describeReferrer } from './local.js';
import type { RemoteContext } from './remote-context.js';
import { describeFailure, toRefusal } from './remote-verdict.js';

/** Sorted once, when it comes: it is given in many pages. */
interface KeptList {
  readonly items: readonly (TagEntry | Referrer)[];
  readonly checkedAt: number;
}

/** The lists of a cache: the upstream's, kept briefly in memory, and given as stale when the upstream cannot tell. */
export class RemoteLists {
  readonly #context: RemoteContext;
  readonly #kept = new LRUCache<string, KeptList>({ max: 1000 });
  readonly #flights = new SingleFlight<Listed<TagEntry | Referrer> | undefined>();

  constructor(context: RemoteContext) {
    this.#context = context;
  }

  /** `undefined` when the upstream has no such image. */
  async tags(caller: Caller, image: string, page: PageRequest): Promise<Listed<TagEntry> | undefined> {
    const list = await this.#list<TagEntry>(`${image}\0tags`, image, caller, {
      ask: async () => mapFound(await this.#context.upstream.listTags(image, caller.trail), (name) => ({ name })),
      fallBack: async () => {
        const { items } = await this.#context.parts.metadata.tags(this.#context.at(image), { limit: 10_000 });
        return items.length === 0 ? undefined : items;
      },
    });
    return list && { ...list, ...sliceSorted(list.items, page, nameOf) };
  }

  async referrers(caller: Caller, image: string, subject: Digest, page: PageRequest): Promise<Listed<Referrer>> {
    const list = await this.#list<Referrer>(`${image}\0${subject}`, image, caller, {
      ask: async () =>
        mapFound(await this.#context.upstream.listReferrers(image, subject, caller.trail), (item) => item),
      fallBack: async () => {
        const { items } = await this.#context.parts.metadata.referrers(this.#context.at(image), subject, {
          limit: 1000,
        });
        return items.length === 0 ? undefined : items.map(describeReferrer);
      },
    });
    return { ...list, ...sliceSorted(list?.items ?? [], page, nameOf) };
  }

  forget(image?: string): void {
    for (const key of this.#kept.keys())
      if (image === undefined || key.startsWith(`${image}\0`)) this.#kept.delete(key);
  }

  /** @throws RegistryError what `toRefusal` says when the upstream cannot tell and nothing is kept. */
  #list<T extends TagEntry | Referrer>(
    key: string,
    image: string,
    { trail }: Caller,
    source: { ask(): Promise<UpstreamResult<readonly T[]>>; fallBack(): Promise<readonly T[] | undefined> },
  ): Promise<Listed<T> | undefined> {
    const { runtime } = this.#context.parts;
    const kept = this.#kept.get(key);
    if (kept !== undefined && runtime.now() < kept.checkedAt + this.#context.config.listTtlSeconds * 1000) {
      return Promise.resolve(this.#answer(image, kept, 'hit') as Listed<T>);
    }
    // By trail, for the reason that `RemoteManifests` has.
    return this.#flights.run([key, ...trail].join('\0'), async () => {
      const answer = await source.ask();
      if (answer.type === 'absent') return undefined;
      if (answer.type === 'found') {
        const list = { items: sortByName(answer.value, nameOf), checkedAt: runtime.now() };
        this.#kept.set(key, list);
        return this.#answer(image, list, 'miss');
      }
      const items = answer.type === 'denied' ? undefined : (kept?.items ?? (await source.fallBack()));
      if (items === undefined) throw toRefusal(answer);
      const list = { items: kept?.items ?? sortByName(items, nameOf), checkedAt: kept?.checkedAt ?? 0 };
      return this.#answer(image, list, 'stale', describeFailure(answer.reason));
      // One key is of one kind of list.
    }) as Promise<Listed<T> | undefined>;
  }

  #answer(
    image: string,
    { items, checkedAt }: KeptList,
    cache: Provenance['cache'],
    reason?: string,
  ): Listed<TagEntry | Referrer> {
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

function nameOf(item: TagEntry | Referrer): string {
  return 'name' in item ? item.name : item.digest;
}

function mapFound<T, U>(result: UpstreamResult<readonly T[]>, map: (item: T) => U): UpstreamResult<readonly U[]> {
  return result.type === 'found' ? { type: 'found', value: result.value.map(map) } : result;
}
