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
  readonly [setting: string]: unknown;
}
