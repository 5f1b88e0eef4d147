import type {
  Caller,
  Explanation,
  Listed,
  PurgeReport,
  RemoteStatus,
  Repository,
  RepositoryBlob,
  TagEntry,
} from '../../ports/repository.js';
import type {
  ManifestContent,
  ManifestInfo,
  Referrer,
  ImageKey,
  ImagePage,
  ImagePageRequest,
  ReferrerPageRequest,
} from '../../ports/images.js';
import type { PageRequest } from '../../ports/pages.js';
import type { Digest } from '../../protocol/digest.js';
import type { Reference, Tag } from '../../protocol/names.js';
import type { RemoteRepositoryConfig } from '../../protocol/settings/repository-config.js';
import { Closers } from '../../util/closers.js';
import { RemoteBlobs } from './remote-blobs.js';
import type { RemoteContext } from './remote-context.js';
import { RemoteLists } from './remote-lists.js';
import { RemoteManifestStore } from './remote-manifest-store.js';
import { RemoteManifests, type Resolved } from './remote-manifests.js';

/** A pull-through cache of another registry. Nothing can be pushed to it. */
export class RemoteRepository implements Repository {
  readonly config: RemoteRepositoryConfig;
  readonly #context: RemoteContext;
  readonly #store: RemoteManifestStore;
  readonly #manifests: RemoteManifests;
  readonly #blobs: RemoteBlobs;
  readonly #lists: RemoteLists;

  constructor(context: RemoteContext) {
    this.config = context.config;
    this.#context = context;
    this.#store = new RemoteManifestStore(context);
    this.#manifests = new RemoteManifests(context, this.#store);
    this.#blobs = new RemoteBlobs(context);
    this.#lists = new RemoteLists(context);
  }

  async statManifest(caller: Caller, image: string, reference: Reference): Promise<ManifestInfo | undefined> {
    const resolved = await this.#manifests.resolve(caller, image, reference);
    return resolved && describe(resolved);
  }

  async getManifest(caller: Caller, image: string, reference: Reference): Promise<ManifestContent | undefined> {
    const resolved = await this.#manifests.resolve(caller, image, reference);
    const bytes = resolved && (await this.#manifests.read(caller, image, resolved.record));
    return bytes && { ...describe(resolved), bytes };
  }

  statBlob(caller: Caller, image: string, digest: Digest): Promise<Omit<RepositoryBlob, 'content'> | undefined> {
    return this.#blobs.stat(caller, image, digest);
  }

  getBlob(caller: Caller, image: string, digest: Digest): Promise<RepositoryBlob | undefined> {
    return this.#blobs.get(caller, image, digest);
  }

  async findHeldBlob(
    _caller: Caller,
    image: string,
    digest: Digest,
  ): Promise<{ at: ImageKey; size: number } | undefined> {
    const at = this.#context.at(image);
    const link = await this.#context.parts.metadata.link(at, digest);
    if (link === undefined || (await this.#context.parts.blobs.stat(digest))?.size !== link.size) return undefined;
    // Somebody is about to push a manifest that names it: not what is evicted next.
    this.#context.parts.touches.touch(at, digest);
    return { at, size: link.size };
  }

  async holdsManifest(_caller: Caller, image: string, digest: Digest): Promise<boolean> {
    return (await this.#store.manifest(image, digest)) !== undefined;
  }

  listTags(caller: Caller, image: string, page: PageRequest): Promise<Listed<TagEntry> | undefined> {
    return this.#lists.tags(caller, image, page);
  }

  listReferrers(caller: Caller, image: string, subject: Digest, page: ReferrerPageRequest): Promise<Listed<Referrer>> {
    return this.#lists.referrers(caller, image, subject, page);
  }

  /** What is cached. */
  listImages(_caller: Caller, page: ImagePageRequest): Promise<ImagePage> {
    return this.#context.parts.metadata.images(this.config.name, page);
  }

  async explain(_caller: Caller, image: string, reference: Reference): Promise<Explanation> {
    const { runtime } = this.#context.parts;
    const upstream = this.#context.upstream.host;
    const common = { repository: this.config.name, type: this.config.type, image, upstream };
    const tag = 'tag' in reference ? await this.#store.tag(image, reference.tag) : undefined;
    const digest = 'digest' in reference ? reference.digest : tag?.digest;
    const record = digest && (await this.#store.manifest(image, digest));
    if (record === undefined) {
      const reason = `it is not cached: ${upstream} is asked, unless it lately said that it is absent`;
      return { ...common, answer: 'upstream', reason };
    }
    if (tag === undefined) {
      return { ...common, answer: 'cached', reason: 'what a digest names never changes', digest: record.digest };
    }
    const freshUntil = this.#manifests.freshUntil(tag);
    const isFresh = runtime.now() < freshUntil;
    const reason = isFresh
      ? 'the tag was checked within its freshness window'
      : `the freshness window has passed: ${upstream} is asked, and what is cached is given if it cannot tell`;
    return {
      ...common,
      answer: isFresh ? 'cached' : 'revalidate',
      reason,
      digest: record.digest,
      freshUntil,
      ...(tag.checkedAt === undefined ? {} : { checkedAt: tag.checkedAt }),
    };
  }

  async purge(image?: string, tag?: Tag): Promise<PurgeReport> {
    this.#context.negatives.forget(image);
    this.#lists.forget(image);
    this.#store.forget(image);
    return this.#context.eviction.purge(image, tag);
  }

  async status(): Promise<RemoteStatus> {
    const { upstream, counters, upstreamBytes, parts } = this.#context;
    return {
      upstream: upstream.host,
      breaker: upstream.breaker,
      budget: upstream.budget,
      counters: { ...counters },
      upstreamBytes,
      usedBytes: await parts.metadata.usage(this.config.name),
    };
  }

  async makeRoom(bytes: number): Promise<number> {
    return (await this.#context.eviction.evictBytes(bytes)).bytes;
  }

  async close(): Promise<void> {
    const { upstream, eviction } = this.#context;
    this.#lists.forget();
    const closers = new Closers();
    closers.add('connections', () => upstream.close());
    closers.add('eviction', () => eviction.close());
    await closers.close();
  }
}

function describe({ record, provenance }: Resolved): ManifestInfo {
  const { digest, mediaType, size, contentBytes } = record;
  return { digest, mediaType, size, contentBytes, provenance };
}
