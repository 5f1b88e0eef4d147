/** The state of a remote repository's upstream. */
export interface UpstreamStatusDocument {
  readonly host: string;
  /** `closed`: requests are sent. `open`: none are, because too many failed. `half-open`: one tries. */
  readonly state?: string;
  /** Requests that may be sent now. */
  readonly budget: number;
  readonly [fact: string]: unknown;
}

/**
 * A repository in the status. Figures are absent for callers who may not pull everything in it, and of virtual ones.
 */
export interface RepositoryStatusDocument {
  readonly name: string;
  readonly repo_type: 'local' | 'remote' | 'virtual';
  readonly images?: number;
  readonly tags?: number;
  readonly bytes?: number;
  /** `null`: not counted yet. */
  readonly unique_bytes?: number | null;
  readonly pushed_at?: string | null;
  readonly upstream?: UpstreamStatusDocument;
  readonly counters?: Readonly<Record<string, number | string>>;
}

/** Something that an operator should look at. */
export interface ProblemDocument {
  readonly kind: string;
  readonly severity: string;
  readonly what: string;
  readonly where: string | null;
  readonly since: string | null;
  readonly advice: string;
}

/** The state of the registry. Only monitors see the trash, the disk and problems. `null`: not known yet. */
export interface StatusDocument {
  readonly stored_bytes: number;
  readonly reclaimable: { readonly bytes: number; readonly computed_at: string } | null;
  readonly trash_bytes?: number | null;
  readonly disk?: {
    readonly free_bytes: number;
    readonly total_bytes: number;
    /** At the growth of the last 14 days. `null`: unknown, or it does not grow. */
    readonly full_in_days: number | null;
  } | null;
  readonly problems?: readonly ProblemDocument[];
  readonly counted_at: string | null;
  readonly unique_counted_at: string | null;
  readonly repositories: readonly RepositoryStatusDocument[];
}
