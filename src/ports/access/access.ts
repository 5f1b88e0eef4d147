/** Callers and their permissions: rules, accounts, people and sessions. Implemented by access/. */
import type { AccessLimit } from '../../protocol/settings/access-config.js';
import type { HostIdentity } from '../../protocol/settings/access-settings.js';
import type { LoginProblem } from '../../protocol/tokens/login-problem.js';
import type { TokenGrant } from '../../protocol/tokens/token-scope.js';
import type { Endpoint } from '../../protocol/tables/route-table.js';
import type { AccessAdministration } from './access-administration.js';
import type { ProviderLogins, Session, SessionClient } from './sessions.js';

export type { ProviderLogins, Session, SessionClient } from './sessions.js';
export type {
  AccessAdministration,
  AccessFinding,
  AccessNeed,
  AccessReport,
  RuleBook,
  RuleRecord,
  SigningKeyInfo,
} from './access-administration.js';
export type { People, Person, PersonSource } from './people.js';
export type { Account, Accounts, AccountSettings, AccountToken, TokenOwner } from './accounts.js';

/**
 * What an endpoint requires: the `access` column of the endpoint tables. `none` admits everyone without authentication.
 * `anyone` admits everyone too, but authenticates those who send credentials. `token` admits anyone who requests a
 * token, because its handler authenticates them. `login` admits every user who logged in. `browse` admits everyone who
 * may pull something: in the registry, in the repository or of the image that the request names; in the registry also
 * those who may `monitor`. What the handler shows is limited to that. `monitor` admits those who may monitor the whole
 * registry.
 */
export type Access = Endpoint['access'];

/** The actions that a rule can allow on an image. */
export type ImageAction = Extract<Access, 'pull' | 'push' | 'delete'>;

/** The client's address and its name for the registry, from the connection or a trusted proxy. */
export interface ClientInfo {
  /** An IP address. */
  readonly address: string;
  /** The `Host` header that the client sent. */
  readonly host?: string | undefined;
  /** The registry's origin as this client reaches it: `https://registry.example`. Absent without a usable `Host`. */
  readonly origin?: string | undefined;
}

/** The credentials that a request carries. */
export interface Credentials {
  /** The `Authorization` header. */
  readonly authorization: string | undefined;
  /** The result of the host application's `authenticate` option. Takes precedence over the header. */
  readonly host?: HostIdentity | null | undefined;
  /** The session cookie. Used only without the header, and ignored when the session has ended. */
  readonly session?: string | undefined;
}

/** The identity behind a request. */
export interface Principal {
  /** `anonymous` for a user who did not log in. */
  readonly id: string;
  readonly groups: readonly string[];
  /** How it authenticated. `host`: the host application authenticated it. `session`: it logged in to the web UI. */
  readonly via: 'anonymous' | 'basic' | 'bearer' | 'host' | 'session';
  /**
   * The source that knows it, and the credential of the login. Tokens issued for it expire when the credential changes.
   */
  readonly source?: IdentitySource['kind'] | undefined;
  readonly stamp?: string | undefined;
  /** What an access token was requested for, by names on the wire. It allows nothing else. Absent: no limit. */
  readonly grants?: readonly TokenGrant[] | undefined;
  /** The limits of an account's token, in the form of rules. Absent: no limit. */
  readonly limits?: readonly AccessLimit[] | undefined;
  /** When the login expires. No token issued for it lives longer. */
  readonly expiresAt?: number | undefined;
}

/** A set of images of one repository. */
export interface Reach {
  /** Every image starts with one of these. In byte order, and none is a prefix of another. Empty: no images. */
  readonly prefixes: readonly string[];
  readonly has: (image: string) => boolean;
  /** Set when it is known to contain every image, including future ones. */
  readonly isWhole?: true;
}

/** The image, repository or registry that an action applies to. */
export interface AccessTarget {
  /** An image; without `image`, the whole repository. Absent: the whole registry. */
  readonly at?: { readonly repository: string; readonly image?: string } | undefined;
  /** The name that the client used, to which a token's grants apply. Absent: grants do not apply. */
  readonly name?: string | undefined;
}

/** The access that a request needs, for the challenge in a refusal. */
export interface AccessQuestion {
  readonly access: Access;
  readonly client: ClientInfo;
  /** The grants that a token needs, by names on the wire. */
  readonly requiredGrants: readonly TokenGrant[];
}

/** Decides all access. */
export interface AccessControl {
  /**
   * Returns the principal of a request; `anonymous` if it carries no credentials.
   * @throws RegistryError UNAUTHORIZED for wrong credentials, TOOMANYREQUESTS after too many of them.
   */
  authenticate(credentials: Credentials, question: AccessQuestion): Promise<Principal>;
  permits(principal: Principal, access: Access, target?: AccessTarget): Promise<boolean>;
  /** Returns those of the actions that `permits` allows on an image, in one pass over the rules. */
  permitted(
    principal: Principal,
    actions: readonly ImageAction[],
    target: AccessTarget,
  ): Promise<readonly ImageAction[]>;
  /**
   * Returns the images of a repository that `permits` allows the principal to pull, whatever their names on the wire.
   */
  reach(principal: Principal, repository: string): Promise<Reach>;
  /**
   * Returns whether the principal may do something, or this action, to some image, and may therefore learn that the
   * repository exists.
   */
  mayKnow(principal: Principal, repository: string, action?: ImageAction): Promise<boolean>;
  /** Returns the error to answer a refused request with, including its challenge. */
  refusal(principal: Principal, question: AccessQuestion): Error;
  /** True when anyone may administer. The management API then refuses requests from foreign web pages. */
  readonly isOpen: boolean;
  /** True when anyone may read everything. Otherwise shared caches must not store answers. */
  readonly isPublic: boolean;
  /**
   * True when a client without credentials is challenged before it gets a reduced answer. Some clients send credentials
   * only after a challenge; one that has none gets an anonymous token.
   */
  readonly challengesFirst: boolean;
  /** Absent when the registry issues no tokens. */
  readonly tokens?: TokenIssuer | undefined;
  /** Absent when no one can log in. */
  readonly sessions?: (SessionKeeper & PasswordLogin) | undefined;
  /** Where the host application logs people in: a URL, or a path on its origin. */
  readonly loginUrl?: string | undefined;
  readonly logins?: ProviderLogins | undefined;
  /** Absent when access is open or read-only, because there are no users. */
  readonly administration?: AccessAdministration | undefined;
  close(): Promise<void>;
}

/** An issued token. */
export interface IssuedToken {
  readonly token: string;
  readonly expiresInSeconds: number;
  readonly issuedAt: number;
  /** Present when requested, if the login can be checked again later. */
  readonly refreshToken?: string;
}

/** The token endpoint (protocol: docker token auth). */
export interface TokenIssuer {
  /** Returns the user with this name and password. @throws RegistryError UNAUTHORIZED, TOOMANYREQUESTS. */
  login(username: string, password: string, client: ClientInfo): Promise<Principal>;
  /** Returns the user with this refresh token. @throws RegistryError UNAUTHORIZED. */
  refresh(refreshToken: string, client: ClientInfo): Promise<Principal>;
  /** @param options.offline also issues a refresh token, if the login can be checked again later. */
  issue(
    principal: Principal,
    grants: readonly TokenGrant[],
    options: { readonly offline: boolean },
  ): Promise<IssuedToken>;
}

/** Keeps the logins of web UI users. */
export interface SessionKeeper {
  /**
   * Returns the secret value of a new session.
   * @throws RegistryError UNSUPPORTED for a login that cannot be checked again later.
   */
  start(principal: Principal, client: SessionClient): Promise<string>;
  /** Returns the user of the session. `undefined`: it has ended, for example because the password or token of its login did. */
  identify(value: string): Promise<Principal | undefined>;
  end(value: string): Promise<void>;
  /**
   * Lists the sessions of a user, or of everyone, newest first.
   * @param filter.value the value of the session that asks.
   */
  list(filter: {
    readonly user?: string | undefined;
    readonly value?: string | undefined;
  }): Promise<readonly Session[]>;
  /** Ends the session with an id, or all sessions, of a user or of everyone. Returns how many it ended. */
  endAll(filter: { readonly user?: string | undefined; readonly id?: string | undefined }): Promise<number>;
}

/** Checks a name and a password or token. */
export interface PasswordLogin {
  /** Returns the user with this name and password. @throws RegistryError UNAUTHORIZED, TOOMANYREQUESTS. */
  login(username: string, password: string, client: ClientInfo): Promise<Principal>;
}

/** A source of users: an htpasswd file, the registry's accounts, an OIDC issuer, or the host application. */
export interface IdentitySource {
  readonly kind: 'htpasswd' | 'account' | 'oidc' | 'host';
  /**
   * Returns whether this source judges such a password. The first source that claims it is the only one to judge it.
   * Depends on the form of the password, never on whether the user exists.
   */
  claims(username: string, password: string): boolean;
  /**
   * Returns the user, or the problem for the log. An unknown user and a wrong password take the same time. A source
   * whose passwords can be guessed slows guesses down. @throws RegistryError TOOMANYREQUESTS.
   */
  login(username: string, password: string, client: Pick<ClientInfo, 'address'>): Promise<Identity | LoginProblem>;
  /** Returns the user if the credential with this stamp is still valid. Used for tokens issued for it. */
  revive(id: string, stamp: string): Promise<Identity | undefined>;
  close?(): Promise<void>;
}

/** A user that a source knows. */
export interface Identity {
  readonly id: string;
  readonly groups: readonly string[];
  /**
   * Changes with the password, or is the token's id; never a secret. Absent: the login cannot be checked again later.
   */
  readonly stamp?: string | undefined;
  readonly limits?: readonly AccessLimit[] | undefined;
  readonly expiresAt?: number | undefined;
}
