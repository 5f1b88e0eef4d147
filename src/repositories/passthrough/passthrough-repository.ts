/**
 * Remote repositories without a cache. `forward` describes the exchange that http/passthrough/ carries. Imported by the
 * composition root; imports content/ and remote/ of the other folders.
 */
import type { BlobContent, ByteRange } from '../../ports/bytes.js';
import type { Caller, Explanation, Listed, Repository, RepositoryBlob, TagEntry } from '../../ports/repository.js';
import type {
  ManifestContent,
  ManifestInfo,
  Referrer,
  ImageKey,
  ImagePage,
  ReferrerPageRequest,
} from '../../ports/metadata/images.js';
import type {
  Forward,
  ForwardedRequest,
  Outgoing,
  ProbeResult,
  Upstream,
  UpstreamBlob,
  UpstreamResult,
} from '../../ports/upstream.js';
import type { PageRequest } from '../../ports/pages.js';
import type { Digest } from '../../protocol/digest.js';
import { hasOfficialImages, toCanonicalImage, toRegistryUrl } from '../../protocol/docker-hub.js';
import { RegistryError } from '../../protocol/errors.js';
import type { Reference, Tag } from '../../protocol/names.js';
import type { RemoteRepositoryConfig } from '../../protocol/settings/repository-config.js';
import { generatedStream } from '../../util/streams/generated-stream.js';
import { pipeRange } from '../../util/streams/pipe-range.js';
import { resumedBody } from './resumed-body.js';
import { UpstreamUrl } from './upstream-url.js';
import { verifiedBody } from './verified-body.js';
import { explainUpstream } from '../remote/explain-upstream.js';
import { FetchedLists, listingMs } from '../remote/fetched-lists.js';
import type { ListCache } from '../remote/list-cache.js';
import { toRefusal } from '../../protocol/upstream/refusal.js';
import { cutByBytes, sliceSorted } from '../content/list-pages.js';

type OpenedBlob = Omit<BlobContent, 'size'>;

export interface PassthroughParts {
  readonly upstream: Upstream;
  readonly outgoing: Outgoing;
  /** Shared with the caches. */
  readonly lists: ListCache;
  readonly now: () => number;
}

/**
 * Passes another registry through without storing anything. A client's exchange is forwarded unchanged (`forward`); the
 * reads serve virtual repositories, which need an answer before they choose a member.
 */
export class PassthroughRepository implements Repository {
  readonly config: RemoteRepositoryConfig;
  readonly #parts: PassthroughParts;
  readonly #lists: FetchedLists;
  readonly #base: UpstreamUrl;
  /** The path of an image's URLs begins with it. */
  readonly #root: string;
  readonly #hasOfficialImages: boolean;

  constructor(config: RemoteRepositoryConfig, parts: PassthroughParts) {
    this.config = config;
    this.#parts = parts;
    this.#lists = new FetchedLists({ ...parts, repository: config.name });
    const base = new URL(toRegistryUrl(config.url));
    this.#base = new UpstreamUrl(base, base.pathname);
    this.#hasOfficialImages = hasOfficialImages(config);
    this.#root = `/v2${this.#base.pathname.replace(/\/$/, '')}/`;
  }

  canonicalImage(image: string): string {
    return this.#hasOfficialImages ? toCanonicalImage(image) : image;
  }

  forward({ trail }: Caller, image: string, rest: string): Forward {
    const { outgoing, upstream } = this.#parts;
    const root = this.#root + image;
    // Each property by name: a spread takes a slow path of V8.
    return {
      outgoing,
      url: new UpstreamUrl(this.#base, root + rest),
      headers: { via: upstream.via(trail) },
      exchange: async (method, send) =>
        unwrapFound(await upstream.exchange({ image, kind: kindOf(rest), method }, trail, send)),
      confirmAbsence: async () => void unwrapFound(await upstream.checkRegistry()),
      mapBack: ({ origin, pathname, search }) =>
        origin === this.#base.origin && pathname.startsWith(`${root}/`)
          ? pathname.slice(root.length) + search
          : undefined,
      redirects: this.config.redirects,
    };
  }

  probe(): Promise<ProbeResult> {
    return this.#parts.upstream.probe();
  }

  async statManifest(caller: Caller, image: string, reference: Reference): Promise<ManifestInfo | undefined> {
    const found = unwrap(await this.#parts.upstream.statManifest(image, reference, caller.trail));
    if (found === undefined) return undefined;
    const { digest, mediaType, size } = found;
    if (digest === undefined || mediaType === undefined || size === undefined) {
      return this.getManifest(caller, image, reference);
    }
    return { digest, mediaType, size, provenance: { repository: this.config.name, cache: 'miss' } };
  }

  async getManifest(caller: Caller, image: string, reference: Reference): Promise<ManifestContent | undefined> {
    const found = unwrap(await this.#parts.upstream.getManifest(image, reference, caller.trail));
    return found && { ...found, provenance: { repository: this.config.name, cache: 'miss' } };
  }

  async statBlob(caller: Caller, image: string, digest: Digest): Promise<Omit<RepositoryBlob, 'content'> | undefined> {
    const found = unwrap(await this.#parts.upstream.statBlob(image, digest, caller.trail));
    if (found === undefined) return undefined;
    return found.size === undefined ? {} : { size: found.size };
  }

  async getBlob(caller: Caller, image: string, digest: Digest): Promise<RepositoryBlob | undefined> {
    const found = await this.statBlob(caller, image, digest);
    if (found === undefined) return undefined;
    const content = (range?: ByteRange): Promise<OpenedBlob | undefined> =>
      this.#open(caller, image, { digest, ...found }, range);
    return { ...found, content, provenance: { repository: this.config.name, cache: 'miss' } };
  }

  /** Does not hold anything. */
  findHeldBlob(): Promise<{ at: ImageKey; size: number } | undefined> {
    return Promise.resolve(undefined);
  }

  holdsManifest(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async listTags(caller: Caller, image: string, page: PageRequest): Promise<Listed<TagEntry> | undefined> {
    const ask = (): Promise<UpstreamResult<readonly Tag[]>> => this.#parts.upstream.listTags(image, caller.trail);
    const found = await this.#list(`${image}\0tags`, caller, page, ask);
    if (found === undefined) return undefined;
    const { items, more } = sliceSorted(found, page, (name) => name);
    return { items: items.map((name) => ({ name })), more };
  }

  async listReferrers(
    caller: Caller,
    image: string,
    subject: Digest,
    page: ReferrerPageRequest,
  ): Promise<Listed<Referrer>> {
    const ask = (): Promise<UpstreamResult<readonly Referrer[]>> =>
      this.#parts.upstream.listReferrers(image, subject, caller.trail);
    const found = await this.#list(`${image}\0${subject}`, caller, page, ask);
    const list = sliceSorted(found ?? [], page, ({ digest }) => digest);
    return cutByBytes(list, page);
  }

  listImages(): Promise<ImagePage> {
    return Promise.resolve({ items: [], more: false });
  }

  explain(_caller: Caller, image: string): Promise<Explanation> {
    const state = explainUpstream(this.#parts.upstream, image);
    const common = { repository: this.config.name, type: this.config.type, image, ...state };
    return Promise.resolve({
      ...common,
      answer: 'upstream',
      reason: 'every request is passed through: nothing is stored',
    });
  }

  async close(): Promise<void> {
    this.#lists.forget('');
  }

  /** A first page shows the upstream's present list; later pages are cut from the list that was kept for it. */
  async #list<T extends Tag | Referrer>(
    key: string,
    { trail }: Caller,
    { after }: PageRequest,
    ask: () => Promise<UpstreamResult<readonly T[]>>,
  ): Promise<readonly T[] | undefined> {
    const kept = after === undefined ? undefined : this.#lists.kept(key, listingMs);
    const list = kept ?? unwrap(await this.#lists.fetch(key, trail, ask));
    // Each key is for one kind of list.
    return list?.items as readonly T[] | undefined;
  }

  async #open(
    { trail }: Caller,
    image: string,
    { digest, size = Infinity }: { readonly digest: Digest; readonly size?: number },
    { start, end }: ByteRange = { start: 0, end: size - 1 },
  ): Promise<OpenedBlob | undefined> {
    const { upstream } = this.#parts;
    const found = unwrap(await upstream.getBlob(image, digest, start, trail));
    if (found === undefined) return undefined;
    const ask = (offset: number): Promise<UpstreamResult<UpstreamBlob>> =>
      upstream.getBlob(image, digest, offset, trail);
    const body = resumedBody(found, { start, size, ask });
    const part = { skip: 0, take: end - start + 1 };
    if (part.take < size) return { writeTo: (sink) => pipeRange(body, sink, part) };
    const expected = { upstream: upstream.host, digest, size };
    const verified = generatedStream(verifiedBody(body, expected), () => body.destroy());
    return { writeTo: (sink) => pipeRange(verified, sink, part) };
  }
}

/** @throws RegistryError as `unwrap` does, and NAME_UNKNOWN. */
function unwrapFound<T>(result: UpstreamResult<T>): T {
  const found = unwrap(result);
  if (found === undefined) throw new RegistryError('NAME_UNKNOWN');
  return found;
}

/** @throws RegistryError from `toRefusal` when the upstream denied access or failed. */
function unwrap<T>(result: UpstreamResult<T>): T | undefined {
  if (result.type === 'found') return result.value;
  if (result.type === 'absent') return undefined;
  throw toRefusal(result);
}

/** Returns the content that the end of a path asks for. */
function kindOf(rest: string): ForwardedRequest['kind'] {
  if (rest.startsWith('/manifests/')) return 'manifest';
  return rest.startsWith('/blobs/') ? 'blob' : 'list';
}
