import type { BlobContent, ByteRange } from '../../ports/bytes.js';
import type {
  ImageKey,
  ImagePage,
  ImagePageRequest,
  ManifestContent,
  ManifestInfo,
  Provenance,
  Referrer,
  ReferrerPageRequest,
  StoredContent,
} from '../../ports/metadata/images.js';
import type { TagRecord } from '../../ports/metadata/metadata.js';
import type { PageRequest } from '../../ports/pages.js';
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
import type { ProbeResult } from '../../ports/upstream.js';
import type { Digest } from '../../protocol/digest.js';
import { countImage, countRepository } from '../content/stored-content.js';
import { hasOfficialImages, toCanonicalImage } from '../../protocol/docker-hub.js';
import { RegistryError } from '../../protocol/errors.js';
import type { Reference, Tag } from '../../protocol/names.js';
import type { RemoteRepositoryConfig } from '../../protocol/settings/repository-config.js';
import { toRefusal } from '../../protocol/upstream/refusal.js';
import { explainUpstream } from '../remote/explain-upstream.js';
import type { CacheContext } from './cache-context.js';
import { CachedLists } from './cached-lists.js';
import { CachedManifests, type CachedManifest } from './cached-manifests.js';
import type { Fill } from './fills/fill.js';
import { ManifestStore } from './manifest-store.js';

type BlobStatus = Omit<SizedBlob, 'content'>;
type SizedBlob = RepositoryBlob & { readonly size: number };

/** A pull-through cache of another registry. It has no writer. */
export class CacheRepository implements Repository {
  readonly config: RemoteRepositoryConfig;
  readonly #context: CacheContext;
  readonly #store: ManifestStore;
  readonly #manifests: CachedManifests;
  readonly #lists: CachedLists;
  readonly #hasOfficialImages: boolean;

  constructor(context: CacheContext) {
    this.config = context.config;
    this.#hasOfficialImages = hasOfficialImages(context.config);
    this.#context = context;
    this.#store = new ManifestStore(context);
    this.#manifests = new CachedManifests(context, this.#store);
    this.#lists = new CachedLists(context);
  }

  get context(): CacheContext {
    return this.#context;
  }

  canonicalImage(image: string): string {
    return this.#hasOfficialImages ? toCanonicalImage(image) : image;
  }

  async statManifest(caller: Caller, image: string, reference: Reference): Promise<ManifestInfo | undefined> {
    const resolved = await this.#manifests.resolve(caller, image, reference);
    return resolved && describe(resolved);
  }

  async getManifest(caller: Caller, image: string, reference: Reference): Promise<ManifestContent | undefined> {
    const resolved = await this.#manifests.resolve(caller, image, reference);
    if (resolved === undefined) return undefined;
    const bytes = await this.#manifests.read(caller, image, resolved.record);
    if (bytes === undefined) return undefined;
    // A hook that reads the image does not use it.
    if (caller.actor.via !== 'job')
      this.#context.parts.pullCounts.count(this.#context.at(image), resolved.record.digest);
    return { ...describe(resolved), bytes };
  }

  /** Asks the upstream about a missing blob, so that a cache behind this one works, but does not fetch it. */
  async statBlob(caller: Caller, image: string, digest: Digest): Promise<BlobStatus | undefined> {
    const held = await this.#heldSize(image, digest);
    if (held !== undefined) return this.#blobAnswer(image, held, 'hit');
    if (this.#context.negatives.has(image, digest)) return undefined;
    const answer = await this.#context.upstream.statBlob(image, digest, caller.trail);
    if (answer.type === 'absent') return this.#noteAbsent(image, digest);
    if (answer.type !== 'found') throw toRefusal(answer);
    const { size } = answer.value;
    if (size !== undefined) return this.#blobAnswer(image, size, 'miss');
    // The upstream does not report sizes: only a transfer determines this one.
    const blob = await this.getBlob(caller, image, digest);
    return blob === undefined ? undefined : this.#blobAnswer(image, blob.size, 'miss');
  }

  /** Serves a linked blob; fetches a missing one by a single transfer, which readers follow as the bytes arrive. */
  async getBlob(caller: Caller, image: string, digest: Digest): Promise<SizedBlob | undefined> {
    const held = await this.#heldSize(image, digest);
    if (held !== undefined) {
      const { parts } = this.#context;
      const content = (range?: ByteRange): Promise<BlobContent | undefined> => parts.recent.open(parts, digest, range);
      return { ...this.#blobAnswer(image, held, 'hit'), content };
    }
    if (this.#context.negatives.has(image, digest)) return undefined;
    const { fills } = this.#context.parts;
    if (caller.trail.length > 0 && fills.find(digest) === undefined) {
      // Caches that ask each other would wait for each other's fill. A HEAD with the trail detects the loop first.
      const status = await this.#context.upstream.statBlob(image, digest, caller.trail);
      if (status.type === 'absent') return this.#noteAbsent(image, digest);
      if (status.type !== 'found') throw toRefusal(status);
    }
    const answer = await fills.fetch({
      at: this.#context.at(image),
      digest,
      upstream: this.#context.upstream,
      upstreamImage: image,
      trail: caller.trail,
      onLinked: ({ size }) => this.#context.noteStored(image, digest, size),
      onUncached: (bytes) => this.#context.noteUncached(bytes),
    });
    if (answer.type === 'absent') return this.#noteAbsent(image, digest);
    if (answer.type !== 'found') throw toRefusal(answer);
    const fill = answer.value;
    this.#context.noteFill(image, fill);
    const size = fill.size ?? (await sizeAtEnd(fill));
    return { ...this.#blobAnswer(image, size, 'miss'), content: (range) => Promise.resolve(fill.content(range)) };
  }

  async findHeldBlob(
    _caller: Caller,
    image: string,
    digest: Digest,
  ): Promise<{ at: ImageKey; size: number } | undefined> {
    // Counts as an access: a client is about to push a manifest that names the blob, so it must not be evicted next.
    const size = await this.#heldSize(image, digest);
    return size === undefined ? undefined : { at: this.#context.at(image), size };
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

  /** Lists the cached images. */
  listImages(_caller: Caller, page: ImagePageRequest): Promise<ImagePage> {
    return this.#context.parts.metadata.images(this.config.name, page);
  }

  async explain(_caller: Caller, image: string, reference: Reference): Promise<Explanation> {
    const state = explainUpstream(this.#context.upstream, image);
    const { upstream } = state;
    const common = { repository: this.config.name, type: this.config.type, image, ...state };
    const tag = 'tag' in reference ? await this.#store.tag(image, reference.tag) : undefined;
    const digest = 'digest' in reference ? reference.digest : tag?.digest;
    const record = digest && (await this.#store.manifest(image, digest));
    if (record === undefined) {
      const reason = `not cached: ${upstream} is asked, unless it recently reported the reference as absent`;
      return { ...common, answer: 'upstream', reason };
    }
    if (tag === undefined) {
      return { ...common, answer: 'cached', reason: 'content named by a digest never changes', digest: record.digest };
    }
    const freshUntil = this.#manifests.freshUntil(tag);
    const isFresh = this.#context.parts.runtime.now() < freshUntil;
    const reason = isFresh
      ? 'the tag is within its freshness window'
      : `the freshness window has passed: ${upstream} is asked, and the cached manifest is served if it fails`;
    return {
      ...common,
      answer: isFresh ? 'cached' : 'revalidate',
      reason,
      digest: record.digest,
      freshUntil,
      ...(tag.checkedAt === undefined ? {} : { checkedAt: tag.checkedAt }),
    };
  }

  freshUntil(tag: TagRecord): number {
    return this.#manifests.freshUntil(tag);
  }

  async purge(image?: string, tag?: Tag): Promise<PurgeReport> {
    this.forget(image);
    await this.#context.parts.notices.announce(this.config.name);
    return this.#context.eviction.purge(image, tag);
  }

  /** Forgets what only memory has of an image, or of all: absences, lists, and manifests that could not be stored. */
  forget(image?: string): void {
    this.#context.negatives.forget(image);
    this.#lists.forget(image);
    this.#store.forget(image);
  }

  async previewPurge(image?: string, tag?: Tag): Promise<StoredContent> {
    const { metadata } = this.#context.parts;
    const { name } = this.config;
    if (image === undefined) return countRepository(metadata, name);
    const at = { repository: name, image };
    if (tag === undefined) return countImage(await metadata.image(at));
    const record = await metadata.tag(at, tag);
    const manifest = record && (await metadata.manifest(at, record.digest));
    const [tags, manifests] = [record ? 1 : 0, manifest ? 1 : 0];
    return { images: 0, tags, manifests, bytes: manifest ? manifest.size + (manifest.contentBytes ?? 0) : 0 };
  }

  async status(): Promise<RemoteStatus> {
    const { upstream, parts } = this.#context;
    const { counters, upstreamBytes, countedSince } = parts.statistics;
    return {
      upstream: upstream.host,
      breaker: upstream.breaker,
      budget: upstream.budget,
      countedSince,
      counters: { ...counters },
      upstreamBytes,
      usedBytes: await parts.metadata.usage(this.config.name),
    };
  }

  refresh(caller: Caller, image: string, tag: Tag): Promise<string | undefined> {
    return this.#manifests.refresh(caller, image, tag);
  }

  probe(): Promise<ProbeResult> {
    return this.#context.upstream.probe();
  }

  async makeRoom(bytes: number): Promise<number> {
    return (await this.#context.eviction.evictBytes(bytes)).bytes;
  }

  async close(): Promise<void> {
    this.#lists.forget();
    await this.#context.eviction.close();
  }

  /** Returns the size of a linked, undamaged blob and records the access. A damaged blob counts as missing. */
  async #heldSize(image: string, digest: Digest): Promise<number | undefined> {
    const { metadata, blobs, accessTimes } = this.#context.parts;
    const at = this.#context.at(image);
    const link = await metadata.link(at, digest);
    if (link === undefined || (await blobs.stat(digest))?.size !== link.size) return undefined;
    accessTimes.touch(at, digest);
    return link.size;
  }

  #noteAbsent(image: string, digest: Digest): undefined {
    this.#context.negatives.note(image, digest);
    return undefined;
  }

  #blobAnswer(image: string, size: number, cache: Provenance['cache']): BlobStatus {
    this.#context.count(image, 'blob', cache);
    return { size, provenance: { repository: this.config.name, cache } };
  }
}

function describe({ record, provenance }: CachedManifest): ManifestInfo {
  const { digest, mediaType, size, contentBytes } = record;
  return { digest, mediaType, size, contentBytes, provenance };
}

async function sizeAtEnd(fill: Fill): Promise<number> {
  const { size } = await fill.done;
  if (fill.size === undefined) throw new RegistryError('UNAVAILABLE');
  return size;
}
