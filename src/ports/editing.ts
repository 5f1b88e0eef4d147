/** Changes of an image besides pushes: the deletion of several things at once, with a preview, and moved tags. */
import type { Digest } from '../protocol/digest.js';
import type { Reference, Tag } from '../protocol/names.js';
import type { Caller } from './access/caller.js';

/** The content to delete: tags, manifests with their tags, or the whole image. */
export interface DeletionRequest {
  readonly tags: readonly Tag[];
  readonly digests: readonly Digest[];
  readonly all: boolean;
  /** Deletes immutable tags too, and records that in the journal. Only for administrators. */
  readonly override?: boolean | undefined;
}

export interface DeletedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
}

/** A manifest that is not deleted although a deleted tag, index or subject led to it. */
export interface StayingManifest {
  readonly digest: Digest;
  /**
   * The reason: a tag or an index that stays needs it, or, for a referrer, its subject. `changed`: it has changed since the
   * plan was made. `hook`: a hook keeps it.
   */
  readonly because: 'tag' | 'index' | 'subject' | 'changed' | 'hook';
  /** The tag, index or subject, or the reason of the hook. */
  readonly by?: string;
}

/** A part of the request that is not carried out. */
export interface RefusedDeletion {
  readonly tag?: Tag;
  readonly digest?: Digest;
  /** `moved`: the tag names another manifest than a moment ago. `busy`: other writes keep changing the manifest. */
  readonly reason: 'unknown' | 'immutable' | 'moved' | 'busy' | 'member' | 'hook';
  /**
   * The pattern that makes the tag immutable, the reason of the hook, or the member of a virtual repository that has
   * the content.
   */
  readonly by?: string;
}

/** The effects of a deletion, or of a dry run. */
export interface DeletionReport {
  readonly tags: readonly { readonly tag: Tag; readonly digest: Digest }[];
  readonly manifests: readonly DeletedManifest[];
  readonly stays: readonly StayingManifest[];
  readonly refused: readonly RefusedDeletion[];
  /** The size of the content that nothing needs afterwards. */
  readonly freesBytes: number;
  /**
   * When a garbage collection can free it: after the grace period and the time in the trash. Absent when it frees
   * nothing.
   */
  readonly freesAt?: number;
}

/** The request to point a tag to a manifest of the same image. */
export interface TagMoveRequest {
  readonly tag: Tag;
  readonly reference: Reference;
  /** The digest that the tag must name now; `null` means that it must not exist. Absent: any. */
  readonly expected?: Digest | null | undefined;
  /** Moves an immutable tag too, and records that in the journal. Only for administrators. */
  readonly override?: boolean | undefined;
}

export interface MovedTag {
  readonly digest: Digest;
  /** The digest that the tag named before. */
  readonly was?: Digest;
}

export interface ImageEditor {
  /**
   * Deletes several tags and manifests, or the whole image. A dry run only reports what that would do. Content that
   * changed since the plan was made stays, and is reported.
   */
  delete(
    caller: Caller,
    image: string,
    request: DeletionRequest,
    options: { readonly dryRun: boolean },
  ): Promise<DeletionReport>;
  /**
   * Points a tag to a manifest of the image.
   * @throws MANIFEST_UNKNOWN; CONFLICT when the tag does not name what the request expects; DENIED for an immutable
   * tag, unless the request overrides that.
   */
  moveTag(caller: Caller, image: string, request: TagMoveRequest): Promise<MovedTag>;
}
