// Written by `npm run docs` from the schemas of the options. Change the schemas, not this file.
import type { IncomingMessage } from 'node:http';
import type { HostIdentity } from '../../protocol/settings/access-settings.js';

/** Rules, and the sources of users. */
export interface AccessOptions {
  /**
   * The access rules. Access is denied unless a rule allows it. The management API can add more rules.
   * @default []
   */
  readonly rules?: readonly AccessRuleOptions[];
  /**
   * Members of groups, in addition to the groups that the source of a user reports: `{ team: ['ana', 'ben'] }`.
   * @default {}
   */
  readonly groups?: Readonly<Record<string, readonly string[]>>;
  /**
   * In code only: a function that returns the user of a request, `{ id, groups }`, for example from the session of
   * the host application or `req.user`. If it returns `undefined`, the credentials in the request are used.
   * @default none
   */
  readonly authenticate?: (request: IncomingMessage) => HostIdentity | undefined | Promise<HostIdentity | undefined>;
  /**
   * The login page of the host application, for the web UI: `'/login'` or a URL. The page sends people back to the
   * web UI. Requires `authenticate`.
   * @default none
   */
  readonly loginUrl?: string;
  /**
   * A file of `name:hash` lines with bcrypt hashes, as `htpasswd -B -C 10` writes it. It is read again when it
   * changes.
   * @default none
   */
  readonly htpasswd?: string;
  /**
   * Issuers of identity tokens (OIDC), such as a CI system that gives a token to each job.
   * @default []
   */
  readonly oidc?: readonly OidcIssuerOptions[];
  /**
   * OIDC providers with which people log in to the web UI.
   * @default []
   */
  readonly login?: readonly LoginProviderOptions[];
  /**
   * How clients authenticate. `'bearer'`: with tokens, which Docker requires if anyone may pull but only some may
   * push. `'basic'`: with a name and password in each request.
   * @default 'bearer'
   */
  readonly challenge?: 'bearer' | 'basic';
  /** The tokens that the registry issues. */
  readonly tokens?: OwnTokensOptions;
  /**
   * An external token server instead of the registry's own. Its tokens grant access by `repository/image`; without
   * `rules`, only they grant access.
   * @default none
   */
  readonly tokenServer?: TokenServerOptions;
}

/**
 * An external token server instead of the registry's own. Its tokens grant access by `repository/image`; without
 * `rules`, only they grant access.
 */
export interface TokenServerOptions {
  /** The URL where clients get tokens: the `realm` of challenges. */
  readonly realm: string;
  /** `service` in challenges, and `aud` of tokens. */
  readonly service: string;
  /** The exact `iss` of tokens. */
  readonly issuer: string;
  /**
   * The URL of its public keys, a JWK Set. Set either this or `keys`.
   * @default none
   */
  readonly jwksUrl?: string;
  /**
   * Its public keys: keys or certificates in PEM, for tokens with any `kid`, or a JWK Set. Only the key of a
   * certificate is used: its dates and chain (`x5c`) are not checked.
   * @default none
   */
  readonly keys?: readonly string[] | { readonly keys: readonly Readonly<Record<string, unknown>>[] };
}

/** The tokens that the registry issues. */
export interface OwnTokensOptions {
  /**
   * The issuer of the tokens: `iss`.
   * @default 'artifactapi'
   */
  readonly issuer?: string;
  /**
   * The audience of the tokens: `aud`, and `service` in challenges.
   * @default 'artifactapi'
   */
  readonly service?: string;
  /**
   * Lifetime of an access token: 60 to 86400.
   * @default 300
   */
  readonly lifetimeSeconds?: number;
  /**
   * Lifetime of a refresh token, which `docker login` keeps instead of a password.
   * @default 2592000
   */
  readonly refreshLifetimeSeconds?: number;
  /**
   * P-256 keys in PEM. The first one, a private key, signs; all of them verify.
   * @default generated and stored in the index
   */
  readonly keys?: readonly string[];
  /**
   * Maximum age of a signing key that the registry generated. Rotation does not log anyone out.
   * @default 7776000
   */
  readonly rotateSeconds?: number;
}

/** An OIDC provider with which people log in to the web UI. */
export interface LoginProviderOptions {
  /** Its name in URLs: `<management>/api/v1/session/oidc/<name>/callback` is the redirect URI. */
  readonly name: string;
  /** Its name on the button of the login dialog. */
  readonly title: string;
  /** The exact `iss` of its tokens: `https://accounts.google.com`. */
  readonly issuer: string;
  /** The id that the provider gave this registry. */
  readonly clientId: string;
  /**
   * The secret that belongs to `clientId`.
   * @default a public client, which proves itself by PKCE alone
   */
  readonly clientSecret?: string;
  /**
   * The scopes that the registry requests from the provider.
   * @default ["openid","profile","email"]
   */
  readonly scopes?: readonly string[];
  /** The claim of the identity token that becomes the user name: `email`, which must be verified, or `sub`. */
  readonly user: string;
  /**
   * The claim with the groups of the user, a list of strings.
   * @default no groups
   */
  readonly groups?: string;
  /**
   * A pattern for each claim, which all must match: `{ hd: 'example.com' }`.
   * @default {}
   */
  readonly allow?: Readonly<Record<string, string>>;
}

/** An issuer of identity tokens (OIDC). */
export interface OidcIssuerOptions {
  /** The exact `iss` of its tokens: `https://token.actions.githubusercontent.com`. */
  readonly issuer: string;
  /** The `aud` of its tokens: one or several. */
  readonly audience: string | readonly string[];
  /**
   * The URL of its public keys.
   * @default from `<issuer>/.well-known/openid-configuration`
   */
  readonly jwksUrl?: string;
  /** Maps claims to users. The first matching entry applies; a token that matches none is refused. */
  readonly identities: readonly OidcIdentityOptions[];
}

/** The user whom a token with certain claims represents. */
export interface OidcIdentityOptions {
  /**
   * A pattern for each claim: `{ repository: 'acme/app', ref: 'refs/heads/*' }`. All must match. If a claim is a
   * list, one item must match. Numbers and booleans are compared as text.
   */
  readonly claims: Readonly<Record<string, string>>;
  /** The user name that rules refer to. */
  readonly user: string;
  /**
   * The groups of this user.
   * @default []
   */
  readonly groups?: readonly string[];
}

/** Grants permissions to users, groups or everyone. */
export interface AccessRuleOptions {
  /**
   * One or several patterns of `repository/image`: `*` matches any characters except `/`, `**` any characters. A
   * repository's name alone matches all its images.
   * @default everything; with `admin` the registry itself
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
   * Applies to everyone, logged in or not.
   * @default false
   */
  readonly anonymous?: boolean;
  /**
   * Applies to everyone who is logged in.
   * @default false
   */
  readonly authenticated?: boolean;
  /**
   * `pull`, `push`, `delete`; `monitor` reads jobs and who changed what; `admin` allows all of them, and the
   * management API.
   */
  readonly allow: readonly ('pull' | 'push' | 'delete' | 'monitor' | 'admin')[];
}
