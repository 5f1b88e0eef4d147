/**
 * Local repositories: this file reads, `local-writer.ts` writes, `upload-session.ts` keeps upload sessions. Imported by
 * the composition root; imports content/ of the other folders.
 */
import type { BlobContent, ByteRange } from '../../ports/bytes.js';
import type { BlobLink, TagRecord } from '../../ports/metadata/metadata.js';
import type {
  ImageKey,
  ImagePage,
  ImagePageRequest,
  ReferrerPageRequest,
  ManifestContent,
  ManifestInfo,
  Referrer,
  ManifestRecord,
} from '../../ports/metadata/images.js';
import type {
  Caller,
  Repository,
  Listed,
  Explanation,
  RepositoryBlob,
  RepositoryWriter,
} from '../../ports/repository.js';
import type { PageRequest } from '../../ports/pages.js';
import type { RepositoryTrash } from '../../ports/metadata/trash.js';
import type { LocalRepositoryConfig } from '../../protocol/settings/repository-config.js';
import type { Digest } from '../../protocol/digest.js';
import type { Reference } from '../../protocol/names.js';
import { renewLease } from './lease.js';
import type { LocalParts } from './local-parts.js';
import { LocalTrash } from './local-trash.js';
import { LocalWriter } from './local-writer.js';
import { confirmDamage } from '../content/damaged-blobs.js';
import { collectReferrers } from '../content/list-pages.js';

/** A repository whose content this registry owns. */
export class LocalRepository implements Repository {
  readonly config: LocalRepositoryConfig;
  readonly writer: RepositoryWriter;
  readonly trash: RepositoryTrash;
  readonly #parts: LocalParts;

  constructor(config: LocalRepositoryConfig, parts: LocalParts) {
    this.config = config;
    this.#parts = parts;
    this.writer = new LocalWriter(config, parts);
    this.trash = new LocalTrash(config, parts);
  }

  canonicalImage(image: string): string {
    return image;
  }

  async statManifest({ actor }: Caller, image: string, reference: Reference): Promise<ManifestInfo | undefined> {
    const at = this.#at(image);
    const record = await this.#findManifest(at, reference);
    if (record === undefined) return undefined;
    // containerd asks like this whether the tag still names its copy.
    if ('tag' in reference && actor.via !== 'job') this.#parts.pullCounts.count(at, record.digest, 0);
    if (this.#parts.recent.has(record.digest)) return record;
    // Agrees with GET: a client that gets 200 does not push a damaged manifest again, and only that would repair it.
    const info = await this.#parts.blobs.stat(record.digest);
    if (info?.size === record.size) return record;
    return this.#reportDamage(at, record.digest, record.size, info?.size);
  }

  async getManifest({ actor }: Caller, image: string, reference: Reference): Promise<ManifestContent | undefined> {
    const record = await this.#findManifest(this.#at(image), reference);
    if (record === undefined) return undefined;
    const { digest, mediaType, size } = record;
    const bytes = this.#parts.recent.get(digest) ?? (await this.#readManifest(this.#at(image), record));
    if (bytes === undefined) return undefined;
    // A job that compares or copies images does not use them.
    if (actor.via !== 'job') this.#parts.pullCounts.count(this.#at(image), digest);
    return { digest, mediaType, size, bytes };
  }

  async statBlob(caller: Caller, image: string, digest: Digest): Promise<{ readonly size: number } | undefined> {
    const at = this.#at(image);
    const link = await this.#findBlob(at, digest);
    return link !== undefined && (await renewLease(this.#parts, caller, at, digest)) ? link : undefined;
  }

  async getBlob(_caller: Caller, image: string, digest: Digest): Promise<RepositoryBlob | undefined> {
    const at = this.#at(image);
    const link = await this.#findBlob(at, digest);
    if (link === undefined) return undefined;
    const { size } = link;
    const content = async (range?: ByteRange): Promise<BlobContent | undefined> => {
      const found = await this.#parts.recent.open(this.#parts, digest, range);
      return found?.size === size ? found : this.#reportDamage(at, digest, size, found?.size);
    };
    return { size, content };
  }

  async findHeldBlob(
    caller: Caller,
    image: string,
    digest: Digest,
  ): Promise<{ at: ImageKey; size: number } | undefined> {
    const found = await this.statBlob(caller, image, digest);
    return found === undefined ? undefined : { at: this.#at(image), size: found.size };
  }

  async holdsManifest(_caller: Caller, image: string, digest: Digest): Promise<boolean> {
    return (await this.#parts.metadata.manifest(this.#at(image), digest)) !== undefined;
  }

  async listTags(_caller: Caller, image: string, page: PageRequest): Promise<Listed<TagRecord> | undefined> {
    const at = this.#at(image);
    const tags = await this.#parts.metadata.tags(at, page);
    if (tags.items.length > 0) return tags;
    const record = await this.#parts.metadata.image(at);
    // An image that only has content in the trash has no size.
    return record === undefined || record.manifests + record.bytes === 0 ? undefined : tags;
  }

  listReferrers(_caller: Caller, image: string, subject: Digest, page: ReferrerPageRequest): Promise<Listed<Referrer>> {
    return collectReferrers(this.#parts.metadata, this.#at(image), subject, page);
  }

  listImages(_caller: Caller, page: ImagePageRequest): Promise<ImagePage> {
    return this.#parts.metadata.images(this.config.name, page);
  }

  async explain(_caller: Caller, image: string, reference: Reference): Promise<Explanation> {
    const record = await this.#findManifest(this.#at(image), reference);
    const common = { repository: this.config.name, type: this.config.type, image };
    if (record === undefined) return { ...common, answer: 'absent', reason: 'not stored here' };
    return { ...common, answer: 'stored', reason: 'pushed here', digest: record.digest };
  }

  #at(image: string): ImageKey {
    return { repository: this.config.name, image };
  }

  /** Returns the link of a blob whose bytes are present and have the right size. */
  async #findBlob(at: ImageKey, digest: Digest): Promise<BlobLink | undefined> {
    const link = await this.#parts.metadata.link(at, digest);
    if (link === undefined) return undefined;
    const info = await this.#parts.blobs.stat(digest);
    return info?.size === link.size ? link : this.#reportDamage(at, digest, link.size, info?.size);
  }

  #findManifest(at: ImageKey, reference: Reference): Promise<ManifestRecord | undefined> {
    const { metadata } = this.#parts;
    return 'digest' in reference ? metadata.manifest(at, reference.digest) : metadata.taggedManifest(at, reference.tag);
  }

  async #readManifest(at: ImageKey, { digest, size }: ManifestRecord): Promise<Buffer | undefined> {
    const content = await this.#parts.blobs.read(digest);
    if (content?.size !== size) return this.#reportDamage(at, digest, size, content?.size);
    const bytes = await this.#parts.recent.read(digest, content);
    if (bytes === undefined) await confirmDamage(this.#parts, digest);
    return bytes;
  }

  /** Logs damage and returns `undefined`: the client sees absent content and pushes it again, which repairs it. */
  #reportDamage(at: ImageKey, digest: Digest, expected: number, found: number | undefined): undefined {
    this.#parts.runtime.log.error(
      { ...at, digest, expected, found },
      'content is missing or damaged: push it again to repair it',
    );
    return undefined;
  }
}
