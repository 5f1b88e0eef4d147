/** An account. */
export interface AccountDocument {
  readonly name: string;
  readonly description: string;
  readonly groups: readonly string[];
  readonly disabled: boolean;
  readonly created_at: string;
  readonly updated_at: string;
}

/** Anyone who can log in by name. `source` is `account`, `htpasswd`, `oidc` or `host`. */
export interface PersonDocument {
  readonly name: string;
  readonly source: string;
  readonly groups: readonly string[];
  readonly tokens: number;
  readonly disabled: boolean;
  readonly last_login_at?: string;
}

/** A token of an account, without its secret. */
export interface AccountTokenDocument {
  readonly id: string;
  readonly account: string;
  readonly description: string;
  readonly limits?: readonly { readonly names: readonly string[]; readonly allow: readonly string[] }[];
  readonly created_at: string;
  readonly expires_at?: string;
}

/** A rule. It applies to the users, to the groups, or to everyone. */
export interface RuleDocument {
  readonly id: string;
  readonly origin: string;
  readonly names?: readonly string[] | undefined;
  readonly users?: readonly string[] | undefined;
  readonly groups?: readonly string[] | undefined;
  readonly anonymous?: boolean | undefined;
  readonly authenticated?: boolean | undefined;
  readonly allow: readonly string[];
}

/** Whether a person has a permission, by which rules, or what would give it. */
export interface FindingDocument {
  readonly allowed: boolean;
  readonly by: readonly string[];
  readonly would_need?: {
    readonly login?: true | undefined;
    readonly enabled_account?: true | undefined;
    readonly groups?: readonly string[] | undefined;
    readonly rule?: Partial<RuleDocument> | undefined;
  };
}
