import type { Digest } from '../../../../protocol/digest.js';
import type { Tag } from '../../../../protocol/names.js';
import type { ImageKey, ManifestRecord } from '../../../../ports/metadata/images.js';
import type { BlobLink, TagRecord } from '../../../../ports/metadata/metadata.js';
import type { PullRecord } from '../../../../ports/metadata/pulls.js';
import type { TrashItem } from '../../../../ports/metadata/trash.js';
import type { CountChange } from '../../../image-content.js';
import { Rows } from './rows.js';

/** The counts of an image, as its row has them. */
export interface ImageCounts {
  readonly manifests: number;
  readonly tags: number;
  readonly links: number;
  readonly trashed: number;
  readonly bytes: number;
  readonly updatedAt: number;
  readonly pushedAt: number;
}

/** The counts of an image without content. */
const noCounts: ImageCounts = {
  manifests: 0,
  tags: 0,
  links: 0,
  trashed: 0,
  bytes: 0,
  updatedAt: 0,
  pushedAt: 0,
};

/** An image whose row this transaction has locked, in its state after the changes so far. */
export class ImageDraft {
  readonly at: ImageKey;
  /** Absent for an image that does not exist and that no change creates. */
  readonly id: number | undefined;
  readonly repositoryId: number;
  readonly links = new Rows<Digest, BlobLink>('link');
  readonly unlinked = new Rows<Digest, BlobLink>('unlinked');
  /** Manifests that the changes put, delete or move. */
  readonly manifests = new Rows<Digest, ManifestRecord>('manifest');
  readonly trashed = new Rows<Digest, TrashItem>('trashed');
  readonly tags = new Rows<Tag, TagRecord>('tag');
  readonly touched = new Rows<Digest, number>('touched');
  readonly candidates = new Rows<Digest, number>('link_candidate');
  readonly pulls = new Rows<Digest, PullRecord>('pulled');
  /** The number of the last move of each tag. */
  readonly moves = new Map<Tag, number>();
  /** The sizes of manifests that the changes do not affect. */
  readonly otherManifests = new Map<Digest, number>();
  /** Digests that such a manifest names, or such a manifest in the trash. */
  readonly namedByOthers = new Set<Digest>();
  readonly keptByOthers = new Set<Digest>();
  readonly #named = new Map<Digest, number>();
  readonly #kept = new Map<Digest, number>();
  readonly #stored: ImageCounts;
  #counts: ImageCounts;
  #growth = 0;

  constructor(at: ImageKey, repositoryId: number, row?: { readonly id: number; readonly counts: ImageCounts }) {
    this.at = at;
    this.repositoryId = repositoryId;
    this.id = row?.id;
    this.#stored = row?.counts ?? noCounts;
    this.#counts = this.#stored;
  }

  get counts(): ImageCounts {
    return this.#counts;
  }

  /** Whether a change counted anything. */
  get isCounted(): boolean {
    return this.#counts !== this.#stored;
  }

  /** The bytes by which the changes so far increased the size. */
  get growth(): number {
    return this.#growth;
  }

  /** Adds to the counts. Forgets the times of an image without content. */
  count(by: CountChange): void {
    const before = this.#counts;
    this.#growth += by.bytes ?? 0;
    const counts = {
      manifests: before.manifests + (by.manifests ?? 0),
      tags: before.tags + (by.tags ?? 0),
      links: before.links + (by.links ?? 0),
      trashed: before.trashed + (by.trashed ?? 0),
      bytes: before.bytes + (by.bytes ?? 0),
      updatedAt: Math.max(before.updatedAt, by.when ?? 0),
      pushedAt: Math.max(before.pushedAt, by.pushedAt ?? 0),
    };
    this.#counts = counts.manifests === 0 && counts.links === 0 && counts.trashed === 0 ? noCounts : counts;
  }

  /**
   * Returns how many bytes a digest adds to the size: once if it is both a manifest and a link, and none if only the trash
   * needs it.
   */
  weigh(digest: Digest): number {
    const link = this.links.get(digest);
    return this.manifestSize(digest) ?? (link?.inTrash === true ? 0 : (link?.size ?? 0));
  }

  manifestSize(digest: Digest): number | undefined {
    if (!this.manifests.isLoaded(digest)) return this.otherManifests.get(digest);
    return this.manifests.get(digest)?.size;
  }

  hasManifest(digest: Digest): boolean {
    return this.manifestSize(digest) !== undefined;
  }

  /** Returns whether a manifest of the image names the digest. */
  isNamed(digest: Digest): boolean {
    return this.namedByOthers.has(digest) || (this.#named.get(digest) ?? 0) > 0;
  }

  /** Returns whether a manifest in the trash names the digest. */
  isKept(digest: Digest): boolean {
    return this.keptByOthers.has(digest) || (this.#kept.get(digest) ?? 0) > 0;
  }

  loadManifest(digest: Digest, record: ManifestRecord | undefined): void {
    this.manifests.load(digest, record);
    tally(this.#named, record, 1);
  }

  loadTrashed(digest: Digest, item: TrashItem | undefined): void {
    this.trashed.load(digest, item);
    tally(this.#kept, item?.manifest, 1);
  }

  setManifest(record: ManifestRecord): void {
    tally(this.#named, this.manifests.get(record.digest), -1);
    this.manifests.set(record.digest, record);
    tally(this.#named, record, 1);
  }

  deleteManifest(digest: Digest): void {
    tally(this.#named, this.manifests.get(digest), -1);
    this.manifests.delete(digest);
  }

  setTrashed(item: TrashItem): void {
    tally(this.#kept, this.trashed.get(item.digest)?.manifest, -1);
    this.trashed.set(item.digest, item);
    tally(this.#kept, item.manifest, 1);
  }

  deleteTrashed(digest: Digest): void {
    tally(this.#kept, this.trashed.get(digest)?.manifest, -1);
    this.trashed.delete(digest);
  }
}

function tally(names: Map<Digest, number>, record: ManifestRecord | undefined, by: number): void {
  for (const digest of record?.references ?? []) names.set(digest, (names.get(digest) ?? 0) + by);
}
