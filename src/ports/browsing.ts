/** What people see of images: lists with figures, and details. Shows what is stored, and asks no upstream. */
import type { Digest } from '../protocol/digest.js';
import type { ConfigView } from '../protocol/manifest-view.js';
import type { Reference, Tag } from '../protocol/names.js';
import type { BlobContent } from './bytes.js';
import type { Caller } from './caller.js';
import type { Actor } from './journal.js';
import type { Repository } from './repository.js';

/** A position in a list: the last row of a page and, unless the list is sorted by name, what it is sorted by. */
export interface RowPosition {
  readonly name: string;
  readonly value?: number;
}

/** Which rows of a list to return, and in which order. */
export interface RowRequest<Sort extends string> {
  readonly limit: number;
  /** A part of the name, or a pattern with `*`. Upper and lower case are the same. */
  readonly q?: string;
  readonly sort: Sort;
  readonly isDescending: boolean;
  readonly after?: RowPosition;
}

/** A page of rows. */
export interface RowPage<T> {
  readonly items: readonly T[];
  /**
   * Where the next page begins. Absent in the last page. `isHidden`: the name is that of an image that the caller may have
   * no right to see.
   */
  readonly next?: RowPosition & { readonly isHidden?: true };
}

/** The keys that images can be sorted by. */
export type ImageSort = 'name' | 'tags' | 'size' | 'pushed_at' | 'pulled_at' | 'pulls';
/** The keys that tags and untagged manifests can be sorted by. */
export type TagSort = 'name' | 'size' | 'pushed_at' | 'pulled_at' | 'pulls';

/** The pulls of something. */
export interface PullFigures {
  /** Absent when it was never pulled. */
  readonly pulledAt?: number;
  readonly pulls: number;
  /** Pulls of the last 30 days. */
  readonly recentPulls: number;
}

export interface ImageRow extends PullFigures {
  readonly repository: string;
  readonly image: string;
  /** In a virtual repository: the member that has it. */
  readonly member?: string;
  readonly manifests: number;
  readonly tags: number;
  readonly bytes: number;
  /** The part of the bytes that no other image has. Only on request. */
  readonly uniqueBytes?: number;
  readonly updatedAt: number;
  readonly pushedAt: number;
}

/** What a manifest is for people. */
export type ManifestKind = 'image' | 'index' | 'artifact';

/** A tag, or a manifest without a tag. */
export interface TagRow extends PullFigures {
  readonly name?: Tag;
  readonly member?: string;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly kind: ManifestKind;
  readonly artifactType?: string;
  /** Of an index. */
  readonly platforms?: readonly string[];
  readonly manifestBytes: number;
  /** The manifest and its content; of an index, with the stored manifests that it lists. */
  readonly bytes: number;
  /** When the tag last moved or was pushed again. */
  readonly updatedAt?: number;
  /** When the manifest was last pushed or fetched. */
  readonly pushedAt: number;
  /** Who moved the tag to this manifest. */
  readonly pushedBy?: Actor;
  /** The pattern that makes the tag immutable. */
  readonly immutable?: string;
  readonly checkedAt?: number;
  readonly freshUntil?: number;
  /** The pins of a cache that protect it from eviction. */
  readonly pinnedBy?: readonly string[];
}

/** The figures of an image. */
export interface ImageSummary extends PullFigures {
  readonly members: readonly string[];
  readonly manifests: number;
  readonly tags: number;
  readonly untagged: number;
  readonly bytes: number;
  readonly uniqueBytes: number;
  readonly updatedAt: number;
  readonly pushedAt: number;
}

/** Content that a manifest names, and how it is stored here. */
export interface NamedContent {
  readonly digest: string;
  readonly mediaType: string;
  readonly bytes: number;
}

/** A layer of an image. */
export interface LayerDetails extends NamedContent {
  /** The command that created it, from the config. */
  readonly createdBy?: string;
  /** The number of other images with this layer that the caller may pull, at most 100. */
  readonly elsewhere: number;
}

/** A manifest for one platform. */
export interface PlatformDetails {
  readonly platform: string;
  readonly digest: string;
  /** With its content, if it is stored; otherwise of the manifest alone. */
  readonly bytes: number;
  readonly isStored: boolean;
}

/** An attestation of an index. */
export interface AttestationDetails extends NamedContent {
  /** The manifest that it is about. */
  readonly about?: string;
  readonly predicateTypes: readonly string[];
}

/** Something that refers to a manifest: by its subject, or by a tag of the form that cosign uses. */
export interface ReferrerDetails extends NamedContent {
  readonly artifactType?: string;
  readonly tag?: Tag;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A manifest in all detail. */
export interface ManifestDetails {
  readonly member?: string;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly kind: ManifestKind;
  readonly artifactType?: string;
  readonly manifestBytes: number;
  readonly bytes: number;
  readonly pushedAt: number;
  readonly tags: readonly Tag[];
  /** The indexes that list it. */
  readonly namedBy: readonly Digest[];
  readonly platforms: readonly PlatformDetails[];
  readonly attestations: readonly AttestationDetails[];
  readonly config?: NamedContent & { readonly details?: ConfigView };
  readonly layers: readonly LayerDetails[];
  readonly referrers: readonly ReferrerDetails[];
  readonly subject?: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** The bytes of the manifest as text. */
  readonly raw: string;
}

/** A blob of an image, to be downloaded through the API. */
export interface BrowsedBlob {
  readonly size: number;
  readonly content: Omit<BlobContent, 'size'>;
}

/** A move of a tag. */
export interface ShownMove {
  readonly move: number;
  readonly at: number;
  readonly by: Actor;
  readonly digest?: Digest;
  readonly was?: Digest;
  /** Whether the image still has the manifest that the tag was moved to. */
  readonly present: boolean;
}

/** Browses images. All methods show only what the caller may pull. */
export interface ImageBrowser {
  /**
   * Lists the images of repositories, sorted by repository and name unless asked otherwise.
   * @throws RegistryError OPTIONS_INVALID when there are too many to be sorted.
   */
  images(
    caller: Caller,
    repositories: readonly Repository[],
    request: RowRequest<ImageSort> & { readonly withUnique: boolean },
  ): Promise<RowPage<ImageRow>>;
  /**
   * Lists the tags of an image, or the manifests that no tag, index or subject keeps. Returns `undefined` for an unknown
   * image, as the other methods do. @throws RegistryError OPTIONS_INVALID when there are too many to be sorted.
   */
  tags(
    caller: Caller,
    repository: Repository,
    image: string,
    request: RowRequest<TagSort> & { readonly untagged: boolean },
  ): Promise<RowPage<TagRow> | undefined>;
  summary(caller: Caller, repository: Repository, image: string): Promise<ImageSummary | undefined>;
  /** Describes a manifest. Returns `undefined` too when its bytes are missing or damaged. */
  manifest(
    caller: Caller,
    repository: Repository,
    image: string,
    reference: Reference,
  ): Promise<ManifestDetails | undefined>;
  /** Returns the moves of a tag, newest first. */
  history(
    caller: Caller,
    repository: Repository,
    image: string,
    tag: Tag,
    page: { readonly limit: number; readonly before?: number },
  ): Promise<readonly ShownMove[] | undefined>;
  /** Returns a manifest of the image or a blob that one of its manifests names. */
  blob(caller: Caller, repository: Repository, image: string, digest: Digest): Promise<BrowsedBlob | undefined>;
}
