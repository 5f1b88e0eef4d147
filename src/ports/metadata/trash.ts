/** Deleted manifests that can be restored. */
import type { Digest } from '../../protocol/digest.js';
import type { Tag } from '../../protocol/names.js';
import type { ImageKey, ManifestRecord } from './images.js';
import type { Actor } from './journal.js';

/** A deleted manifest whose content is kept until it expires. Clients do not see it. */
export interface TrashItem {
  readonly at: ImageKey;
  readonly digest: Digest;
  readonly manifest: ManifestRecord;
  /** The tags that pointed to it when it was deleted, in byte order. */
  readonly tags: readonly Tag[];
  readonly deletedAt: number;
  /** When it expires. */
  readonly until: number;
  /** The actor that deleted it. Absent for a write without an attribution. */
  readonly by?: Actor;
  /** The reduction of the image's size by the deletion. */
  readonly bytes: number;
}

/** The position of an item in lists. */
export type TrashPosition = Pick<TrashItem, 'at' | 'digest' | 'until'>;

/** The trash of all repositories. Part of the index. */
export interface Trash {
  get(at: ImageKey, digest: Digest): Promise<TrashItem | undefined>;
  /** Lists the items of a repository by the time when they expire, the earliest first. */
  list(
    repository: string,
    page: { readonly limit: number; readonly after?: TrashPosition | undefined },
  ): Promise<readonly TrashItem[]>;
  /** Returns items of all repositories that expire before a time. */
  expired(before: number, limit: number): Promise<readonly TrashItem[]>;
}

/** Content that was deleted from the trash before it expired, to make room for a push on a full disk. */
export interface EmptiedTrash {
  readonly emptiedAt: number;
  readonly manifests: number;
  readonly bytes: number;
}

/** The content to restore from the trash. */
export interface RestoreRequest {
  readonly image: string;
  readonly digest: Digest;
  /** Instead of the tags that the manifest had. */
  readonly tags?: readonly Tag[];
}

/** The content that was restored from the trash. */
export interface RestoredManifest {
  readonly digest: Digest;
  readonly tags: readonly Tag[];
  /** The number of manifests, with those that it names. */
  readonly manifests: number;
}

/** The deleted manifests of a local repository that can be restored. */
export interface RepositoryTrash {
  /** Lists items by the time when they expire, the earliest first. */
  list(page: { readonly limit: number; readonly after?: TrashPosition | undefined }): Promise<readonly TrashItem[]>;
  /**
   * Restores a manifest, the manifests in the trash that it names, and its tags or the given ones.
   * @throws RegistryError NOT_FOUND; CONFLICT when a tag exists again.
   */
  restore(wanted: RestoreRequest, by: Actor): Promise<RestoredManifest>;
  /** Deletes everything, or everything of one image. Its content becomes garbage as of the time when it was deleted. */
  empty(image: string | undefined, by: Actor): Promise<{ readonly manifests: number; readonly bytes: number }>;
}
