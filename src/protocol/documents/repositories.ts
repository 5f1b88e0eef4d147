/**
 * The limits and the protection of a local repository, or of the one that receives the pushes to a virtual one.
 */
export interface ProtectionDocument {
  /** The repository whose settings these are. */
  readonly repository: string;
  /** The patterns of tags that cannot move or be deleted. Without tags, none. */
  readonly immutable: { readonly tags: readonly string[]; readonly except: readonly string[] };
  /** The quotas that its images may count towards. */
  readonly quotas: readonly {
    readonly name: string;
    /** Patterns of `repository/image`. */
    readonly names: readonly string[];
    readonly max_bytes: number;
    readonly used_bytes: number;
    /** `repository`: its own `max_bytes`. */
    readonly origin: 'repository' | 'declared' | 'managed';
  }[];
  /** The retention policies that may apply to its images; the first that matches an image applies. */
  readonly retention: readonly {
    readonly names: readonly string[];
    /** Absent: all tags stay. */
    readonly keep?: readonly {
      readonly tags: readonly string[];
      readonly newest?: number;
      readonly used_within_seconds?: number;
    }[];
    /** Absent: untagged manifests stay. */
    readonly untagged?: { readonly keep_seconds: number };
    readonly max_share: number;
  }[];
}

/** A repository as the API shows it. Callers who do not administer it get only the first four fields. */
export interface RepositoryDocument {
  readonly name: string;
  readonly package_type: 'docker';
  readonly repo_type: 'local' | 'remote' | 'virtual';
  readonly description?: string;
  /** `declared`: in the options. `managed`: created through the API. */
  readonly origin?: 'declared' | 'managed';
  readonly created_at?: string;
  readonly updated_at?: string;
  /** The URL of the upstream. */
  readonly url?: string;
  readonly upstream?: string;
  readonly cache?: boolean;
  readonly members?: readonly {
    readonly name: string;
    readonly include: readonly string[];
    readonly exclude: readonly string[];
  }[];
  readonly push_to?: string;
  readonly has_credentials?: boolean;
  readonly protection?: ProtectionDocument;
  readonly [setting: string]: unknown;
}

/** A deleted manifest that can be restored. */
export interface TrashItemDocument {
  readonly image: string;
  readonly digest: string;
  readonly media_type: string;
  /** The tags that it had. */
  readonly tags: readonly string[];
  readonly deleted_at: string;
  readonly by?: { readonly principal: string; readonly via: string };
  readonly until: string;
  /** The bytes that its deletion would free. */
  readonly bytes: number;
}
