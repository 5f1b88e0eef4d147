import type { IncomingMessage } from 'node:http';
import type { Permission } from '../protocol/settings/access-config.js';

/** Who may do what. Everything is denied that no rule allows. */
export interface AccessOptions {
  /**
   * Who may do what. More rules can be made through the management API.
   * @default []
   */
  readonly rules?: readonly AccessRuleOptions[];
  /**
   * Who is in a group: `{ team: ['ana', 'ben'] }`, besides what a source of identity says.
   * @default {}
   */
  readonly groups?: Readonly<Record<string, readonly string[]>>;
  /**
   * The host app's own identity: who a request is from, as `req.user` or a session tells; `undefined` when it does not know,
   * and then credentials in the request are looked at. In code alone.
   * @default none
   */
  readonly authenticate?: (request: IncomingMessage) => HostIdentity | undefined | Promise<HostIdentity | undefined>;
  /**
   * A file of `name:hash` lines, as `htpasswd -B` writes it (bcrypt). Read again when it changes.
   * @default none
   */
  readonly htpasswd?: string;
  /**
   * Issuers of identity tokens (OIDC), such as a CI system, whose jobs log in with the token that they get.
   * @default []
   */
  readonly oidc?: readonly OidcIssuerOptions[];
  /**
   * How clients are asked to log in. `bearer`: by tokens, which docker needs where anybody may pull and some may push.
   * `basic`: by name and password with each request.
   * @default 'bearer'
   */
  readonly challenge?: 'bearer' | 'basic';
  /** The tokens that the registry gives. */
  readonly tokens?: OwnTokensOptions;
  /**
   * Another token server instead of our own, as an existing registry may have one. What its tokens grant is by
   * `repository/image`; without `rules` that alone decides.
   * @default none
   */
  readonly tokenServer?: TokenServerOptions;
}

export interface AccessRuleOptions {
  /**
   * Patterns of `repository/image`: `*` stands for any characters but "/", `**` for any at all; a repository's name alone
   * stands for all of its images.
   * @default everything, and with `admin` the registry itself
   */
  readonly names?: string | readonly string[];
  /**
   * Names of users.
   * @default none
   */
  readonly users?: readonly string[];
  /**
   * Names of groups.
   * @default none
   */
  readonly groups?: readonly string[];
  /**
   * For everybody, logged in or not.
   * @default false
   */
  readonly anonymous?: boolean;
  /**
   * For whoever logged in.
   * @default false
   */
  readonly authenticated?: boolean;
  /** What: `pull`, `push`, `delete`; `admin` is all three, and the management API. */
  readonly allow: readonly Permission[];
}

/** Who a request is from. */
export interface HostIdentity {
  readonly id: string;
  readonly groups?: readonly string[];
}

export interface OwnTokensOptions {
  /**
   * Who they are from (`iss`).
   * @default 'artifactapi'
   */
  readonly issuer?: string;
  /**
   * Who they are for (`aud`), and the `service` of challenges.
   * @default 'artifactapi'
   */
  readonly service?: string;
  /**
   * How long an access token lives; at least 60.
   * @default 300
   */
  readonly lifetimeSeconds?: number;
  /**
   * How long a refresh token lives, which `docker login` keeps instead of a password.
   * @default 2592000
   */
  readonly refreshLifetimeSeconds?: number;
  /**
   * P-256 keys in PEM: the first, a private one, signs; all of them verify.
   * @default made by the registry and kept in its index
   */
  readonly keys?: readonly string[];
  /**
   * How old a key that the registry made may grow before it makes a new one. Nobody is logged out by that.
   * @default 7776000
   */
  readonly rotateSeconds?: number;
}

export interface TokenServerOptions {
  /** Where clients get tokens: the `realm` of challenges. */
  readonly realm: string;
  /** The `service` of challenges, and who tokens must be for (`aud`). */
  readonly service: string;
  /** Who tokens must be from (`iss`). */
  readonly issuer: string;
  /**
   * Where its public keys are, as a JWK Set. This or `keys`.
   * @default none
   */
  readonly jwksUrl?: string;
  /**
   * Its public keys: keys or certificates in PEM, or a JWK Set.
   * @default none
   */
  readonly keys?: readonly string[] | { readonly keys: readonly Readonly<Record<string, unknown>>[] };
}

export interface OidcIssuerOptions {
  /** Who tokens are from, as `iss` has it: `https://token.actions.githubusercontent.com`. */
  readonly issuer: string;
  /** Who tokens must be for (`aud`): one or several. */
  readonly audience: string | readonly string[];
  /**
   * Where its public keys are.
   * @default what `<issuer>/.well-known/openid-configuration` says
   */
  readonly jwksUrl?: string;
  /** Who the bearer is, by the claims of the token: the first that matches. Nobody: the token is refused. */
  readonly identities: readonly OidcIdentityOptions[];
}

export interface OidcIdentityOptions {
  /** What the token must say, all of it, as patterns: `{ repository: 'acme/app', ref: 'refs/heads/*' }`. */
  readonly claims: Readonly<Record<string, string>>;
  /** The name that rules know. */
  readonly user: string;
  /**
   * Groups that it is in.
   * @default []
   */
  readonly groups?: readonly string[];
}
