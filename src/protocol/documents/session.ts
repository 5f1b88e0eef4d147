/** Who uses the web UI, and what it needs to know of the registry. */
export interface SessionDocument {
  /** `null`: no one is logged in. */
  readonly principal: {
    readonly id: string;
    readonly groups: readonly string[];
    /** `basic`, `bearer`, `host`, `session` or `anonymous`. */
    readonly via: string;
    /** Who checked the login: `htpasswd`, `account`, `oidc` or `host`. */
    readonly source?: string;
  } | null;
  readonly may: {
    /** Administer the whole registry. */
    readonly admin: boolean;
    /** See what happens in the whole registry. */
    readonly monitor: boolean;
    /** See the images that it may pull. */
    readonly browse: boolean;
  };
  readonly mode: 'open' | 'read-only' | 'rules';
  readonly registry: {
    /** The host that clients use, with its port. */
    readonly host: string;
    readonly secure: boolean;
    /** The path before `/v2`. */
    readonly prefix: string;
    readonly version: string;
  };
  readonly login: {
    /** Whether a name and a password or token can log in. */
    readonly password: boolean;
    /** Where the host application logs people in. */
    readonly url?: string;
    /** OIDC providers with which people log in. */
    readonly oidc: readonly { readonly name: string; readonly title: string }[];
  };
}

/** Logins to the web UI, newest first. */
export interface SessionListDocument {
  readonly sessions: readonly {
    readonly id: string;
    readonly user: string;
    /** Who checked the login: `htpasswd`, `account` or `oidc`. */
    readonly source: string;
    readonly created_at: string;
    /** The last request, to the minute. */
    readonly seen_at: string;
    readonly address: string;
    /** The `User-Agent` of the browser. */
    readonly agent?: string;
    /** Whether the caller uses it now. */
    readonly current: boolean;
  }[];
}

/**
 * Why a login at a provider failed, as the address of the web UI says it. `refused`: for another reason, which the log
 * has.
 */
export type LoginProblemCode =
  'again' | 'name' | 'email' | 'claims' | 'disabled' | 'throttled' | 'unavailable' | 'refused';
