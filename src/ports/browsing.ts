/** Browsing images: lists with figures, and details. Shows stored content only; does not ask upstreams. */
import type {
  ImageRow,
  ImageSummary,
  ManifestDetails,
  ShownMove,
  TagRow,
} from '../protocol/manifests/browsed-images.js';
import type { Digest } from '../protocol/digest.js';
import type { Reference, Tag } from '../protocol/names.js';
import type { BlobContent } from './bytes.js';
import type { Caller } from './access/caller.js';
import type { Repository } from './repository.js';

/** A position in a list: the last row of a page and, unless the list is sorted by name, its sort key. */
export interface RowPosition {
  readonly name: string;
  readonly value?: number;
}

/** Which rows of a list to return, and in which order. */
export interface RowRequest<Sort extends string> {
  readonly limit: number;
  /** A part of the name, or a pattern with `*`. Case-insensitive. */
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

/** A blob of an image, to be downloaded through the API. */
export interface BrowsedBlob {
  readonly size: number;
  readonly content: Omit<BlobContent, 'size'>;
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
