/** The browser that logs in. */
export interface SessionClient {
  readonly address: string;
  /** Its `User-Agent`. */
  readonly agent?: string | undefined;
}

/** A login to the web UI, without its secret. */
export interface Session extends SessionClient {
  /** The SHA-256 of its value, in hexadecimal. */
  readonly id: string;
  readonly user: string;
  /** The kind of identity source that checked the login. */
  readonly source: string;
  readonly createdAt: number;
  /** When it was last used, to the minute. */
  readonly seenAt: number;
  /** Whether the request that lists the sessions uses this one. */
  readonly isCurrent: boolean;
}

/** A user whom an OIDC provider identified. */
export interface SignedIn {
  readonly id: string;
  readonly groups: readonly string[];
  /**
   * Identifies the configuration of the provider and, after the login, the record of the user: the login ends with
   * both.
   */
  readonly stamp: string;
}

/** Logs people in to the web UI with OIDC providers (authorization code flow with PKCE). */
export interface ProviderLogins {
  readonly providers: readonly { readonly name: string; readonly title: string }[];
  /**
   * Begins a login.
   * @param redirectUri where the provider sends the browser back to.
   * @returns the URL to send the browser to, and a secret that the browser keeps for the callback.
   * @throws RegistryError NOT_FOUND, UNAVAILABLE when the provider does not answer.
   */
  begin(provider: string, redirectUri: string): Promise<{ readonly url: string; readonly secret: string }>;
  /**
   * Completes a login.
   * @param answer.query the query that the provider sent with the browser
   * @param answer.address of the browser. After many refused logins, further logins from this address wait.
   * @throws RegistryError NOT_FOUND, UNAUTHORIZED with the reason in `refusedLogin`, UNAVAILABLE, TOOMANYREQUESTS.
   */
  complete(
    provider: string,
    answer: {
      readonly query: URLSearchParams;
      readonly secret: string | undefined;
      readonly redirectUri: string;
      readonly address: string;
    },
  ): Promise<SignedIn>;
}
