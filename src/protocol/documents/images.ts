/**
 * The documents of the management API as types, in the spelling of the wire. Encoders return them and the web UI imports
 * them, so the compiler holds both together. Times are in RFC 3339 format. Imports nothing.
 */

/** The figures of pulls. */
export interface PullFigures {
  readonly pulled_at: string | null;
  readonly pulls: number;
  /** In the last 30 days. */
  readonly recent_pulls: number;
}

/** An image in a list. */
export interface ImageDocument extends PullFigures {
  readonly repository: string;
  readonly name: string;
  /** The member of a virtual repository that has it. */
  readonly member?: string;
  readonly manifests: number;
  readonly tags: number;
  readonly size_bytes: number;
  readonly unique_bytes?: number;
  readonly updated_at: string;
  readonly pushed_at: string;
}

/** A tag in a list, or a manifest without a tag. */
export interface TagDocument extends PullFigures {
  readonly name?: string;
  readonly member?: string;
  readonly digest: string;
  readonly media_type: string;
  readonly type: string;
  readonly artifact_type?: string;
  readonly platforms?: readonly string[];
  readonly manifest_size_bytes: number;
  readonly size_bytes: number;
  readonly updated_at?: string;
  readonly pushed_at: string;
  readonly pushed_by?: string;
  /** The pattern that makes the tag immutable. */
  readonly immutable?: string;
  readonly checked_at?: string;
  readonly fresh_until?: string;
  readonly pinned_by?: readonly string[];
}

/** The figures of an image. */
export interface ImageSummaryDocument extends PullFigures {
  readonly members?: readonly string[];
  readonly manifests: number;
  readonly tags: number;
  readonly untagged: number;
  readonly size_bytes: number;
  readonly unique_bytes: number;
  readonly updated_at: string;
  readonly pushed_at: string;
  /** The patterns of tags that cannot move or be deleted. */
  readonly immutable?: { readonly tags: readonly string[]; readonly except: readonly string[] };
  /** The content that the retention policy of the image keeps. Without `keep`, all tags; without `untagged`, all manifests. */
  readonly retention?: {
    readonly keep?: readonly {
      readonly tags: readonly string[];
      readonly newest?: number;
      readonly used_within_seconds?: number;
    }[];
    readonly untagged?: { readonly keep_seconds: number };
  };
  /** The quotas that the image counts towards, for callers who may push to it. */
  readonly quotas?: readonly { readonly name: string; readonly max_bytes: number; readonly used_bytes: number }[];
}

/** A move of a tag. */
export interface TagMoveDocument {
  readonly move: number;
  readonly at: string;
  readonly by: { readonly principal: string; readonly via: string };
  /** `null`: the tag was deleted. */
  readonly digest: string | null;
  /** `null`: the tag did not exist. */
  readonly was: string | null;
  readonly present: boolean;
}

/** The report of a deletion, and its preview. Lists have at most 1000 items each; `counts` has the numbers of all. */
export interface DeletionDocument {
  readonly dry_run: boolean;
  readonly tags: readonly { readonly tag: string; readonly digest: string }[];
  readonly manifests: readonly { readonly digest: string; readonly media_type: string; readonly size_bytes: number }[];
  readonly stays: readonly { readonly digest: string; readonly because: string; readonly by?: string }[];
  readonly refused: readonly {
    readonly tag?: string;
    readonly digest?: string;
    readonly reason: string;
    readonly by?: string;
    readonly message: string;
  }[];
  readonly counts: {
    readonly tags: number;
    readonly manifests: number;
    readonly stays: number;
    readonly refused: number;
  };
  readonly frees_bytes: number;
  readonly frees_at: string | null;
}
