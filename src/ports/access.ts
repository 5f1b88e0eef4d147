/** Access control: principals, rules, identities, tokens and their administration. */
import type { IncomingMessage } from 'node:http';
import type { AccessLimit, AccessRule } from '../protocol/settings/access-config.js';
import type { LoginProblem } from '../protocol/tokens/login-problem.js';
import type { TokenGrant } from '../protocol/tokens/token-scope.js';

/**
 * What an endpoint needs: the `access` column of the endpoint tables. `none` is for everybody and asks nobody who they are,
 * `token` is for whoever wants a token: they may be about to say who they are. `login` is for whoever logged in.
 */
export type Access = 'none' | 'ping' | 'token' | 'login' | 'pull' | 'push' | 'delete' | 'catalog' | 'admin';

/** What a rule can allow on an image. */
export type ImageAction = Extract<Access, 'pull' | 'push' | 'delete'>;

/** Where a request comes from and what it calls us: what the connection says, or a trusted proxy. */
export interface ClientInfo {
  /** An IP address. */
  readonly address: string;
  /** The `Host` that the client sent. */
  readonly host?: string | undefined;
  /** `https://registry.example`: the registry as this client reaches it. Absent when it sent no usable `Host`. */
  readonly origin?: string | undefined;
}

/** Who a request is from. */
export interface Principal {
  /** `anonymous` for whoever did not log in. */
  readonly id: string;
  readonly groups: readonly string[];
  /** How it showed who it is. `host`: the host app says so. */
  readonly via: 'anonymous' | 'basic' | 'bearer' | 'host';
  /** The source that knows it, and what it was let in by: tokens made for it end when that changes. */
  readonly source?: IdentitySource['kind'] | undefined;
  readonly stamp?: string | undefined;
  /** What an access token was asked for, by names on the wire: nothing else may be done with it. Absent: no such limit. */
  readonly grants?: readonly TokenGrant[] | undefined;
  /** What an account's token is limited to, like rules. Absent: no such limit. */
  readonly limits?: readonly AccessLimit[] | undefined;
  /** When the login ends: no token that is made for it lives longer. */
  readonly expiresAt?: number | undefined;
}

/** Some images of one repository. */
export interface Reach {
  /** Each of the images begins with one of these. In byte order; none begins with another. Empty: no images. */
  readonly prefixes: readonly string[];
  readonly has: (image: string) => boolean;
}

/** What is to be done to. */
export interface AccessTarget {
  /** What is meant; without an image it is the repository as a whole. Absent: the whole registry. */
  readonly at?: { readonly repository: string; readonly image?: string } | undefined;
  /** As the client named it, to which a token's grants apply. Absent: they do not. */
  readonly name?: string | undefined;
}

/** What a request wants, for the challenge that a refusal carries. */
export interface AccessQuestion {
  readonly access: Access;
  readonly client: ClientInfo;
  /** What a token would need, by names on the wire. */
  readonly wanted: readonly TokenGrant[];
}

/** Who may do what, decided in one place. */
export interface AccessControl {
  /**
   * Who the request is from; `anonymous` when it does not say.
   * @throws RegistryError UNAUTHORIZED for wrong credentials, TOOMANYREQUESTS after too many of them.
   */
  authenticate(request: IncomingMessage, question: AccessQuestion): Promise<Principal>;
  permits(principal: Principal, access: Access, target?: AccessTarget): Promise<boolean>;
  /** Returns those of the actions that `permits` allows on an image, in one pass over the rules. */
  permitted(
    principal: Principal,
    actions: readonly ImageAction[],
    target: AccessTarget,
  ): Promise<readonly ImageAction[]>;
  /** Which images of a repository `permits` lets it pull, whatever they are called on the wire. */
  reach(principal: Principal, repository: string): Promise<Reach>;
  /** Whether it may do something, or this, to an image of the repository, and so know that it is there. */
  knows(principal: Principal, repository: string, permission?: 'pull' | 'push' | 'delete'): Promise<boolean>;
  /** Why not, as the error to answer, with the challenge that belongs to it. */
  refusal(principal: Principal, question: AccessQuestion): Error;
  /** Whether anybody may administer: then the management API guards itself against web pages (design: secure by default). */
  readonly openToAll: boolean;
  /** Whether anyone may read everything: otherwise shared caches must not keep answers. */
  readonly isPublic: boolean;
  /**
   * Whether somebody who shows nothing is asked who they are before they get less than others would: some clients show their
   * credentials only when asked, and whoever has none gets a token for nobody.
   */
  readonly asksFirst: boolean;
  /** Absent where nobody asks us for tokens. */
  readonly tokens?: TokenIssuer | undefined;
  /** Absent where access is open or read-only: there is nobody to administer. */
  readonly administration?: AccessAdministration | undefined;
  close(): Promise<void>;
}

/** A token, once issued. */
export interface IssuedToken {
  readonly token: string;
  readonly expiresInSeconds: number;
  readonly issuedAt: number;
  /** Only when it was asked for, and the login can be looked up again. */
  readonly refreshToken?: string;
}

/** The token endpoint (protocol: docker token auth). */
export interface TokenIssuer {
  /** Who has this name and password. @throws RegistryError UNAUTHORIZED, TOOMANYREQUESTS. */
  login(username: string, password: string, client: ClientInfo): Promise<Principal>;
  /** Who has this refresh token. @throws RegistryError UNAUTHORIZED. */
  refresh(refreshToken: string, client: ClientInfo): Promise<Principal>;
  /** @param options.offline a refresh token too, where the login can be looked up again. */
  issue(
    principal: Principal,
    grants: readonly TokenGrant[],
    options: { readonly offline: boolean },
  ): Promise<IssuedToken>;
}

/** Something that knows who people are: an htpasswd file, our own accounts, an OIDC issuer, the host app. */
export interface IdentitySource {
  readonly kind: 'htpasswd' | 'account' | 'oidc' | 'host';
  /**
   * Whether it is for this source to judge such a password, so that one alone judges it: the first that says so.
   * Decided by the form of the password, never by whether there is such a user.
   */
  claims(username: string, password: string): boolean;
  /**
   * Why not is for the log; an unknown user and a wrong password take the same time. A source whose passwords can be guessed
   * slows guesses down. @throws RegistryError TOOMANYREQUESTS.
   */
  login(username: string, password: string, client: Pick<ClientInfo, 'address'>): Promise<Identity | LoginProblem>;
  /** Whether who was let in by this stamp still is: for tokens that were made for it. `undefined`: no more. */
  revive(id: string, stamp: string): Promise<Identity | undefined>;
  close?(): Promise<void>;
}

/** Somebody that a source knows. */
export interface Identity {
  readonly id: string;
  readonly groups: readonly string[];
  /** Changes with the password, or is the token's id; never a secret. Absent: it cannot be looked up again. */
  readonly stamp?: string | undefined;
  readonly limits?: readonly AccessLimit[] | undefined;
  readonly expiresAt?: number | undefined;
}

/** What the management API does about access: accounts, their tokens, rules, signing keys. */
export interface AccessAdministration {
  readonly accounts: Accounts;
  readonly rules: RuleBook;
  /** Makes a new key that signs from now on; the old one is still believed for as long as tokens of it live. */
  rotateKeys(): Promise<SigningKeyInfo>;
  listKeys(): Promise<readonly SigningKeyInfo[]>;
}

export interface SigningKeyInfo {
  readonly id: string;
  readonly createdAt: number;
  readonly origin: 'declared' | 'managed';
  readonly signs: boolean;
}

/** A person or a robot that logs in with tokens. */
export interface Account {
  /** Also the name to log in with. */
  readonly name: string;
  readonly description: string;
  readonly groups: readonly string[];
  readonly disabled: boolean;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export type AccountSettings = Pick<Account, 'name' | 'description' | 'groups' | 'disabled'>;

/** A token of an account, without its secret, of which only a hash is kept. */
export interface AccountToken {
  readonly id: string;
  readonly account: string;
  readonly description: string;
  /** Absent: all that the account may. */
  readonly limits?: readonly AccessLimit[] | undefined;
  readonly createdAt: number;
  readonly expiresAt?: number | undefined;
}

export interface Accounts {
  /** Sorted by name. */
  list(): Promise<readonly Account[]>;
  get(name: string): Promise<Account | undefined>;
  /** @throws CONFLICT when the name is taken. */
  create(settings: AccountSettings): Promise<Account>;
  /** False (or `undefined`) when there is none, as below. */
  replace(settings: AccountSettings): Promise<Account | undefined>;
  /** With its tokens. */
  delete(name: string): Promise<boolean>;
  tokens(account: string): Promise<readonly AccountToken[]>;
  /** The secret is told here and never again. @throws CONFLICT when there is no such account. */
  createToken(
    account: string,
    settings: Pick<AccountToken, 'description' | 'limits' | 'expiresAt'>,
  ): Promise<{ readonly token: AccountToken; readonly secret: string }>;
  deleteToken(account: string, id: string): Promise<boolean>;
}

/** A rule as the management API has it. */
export interface RuleRecord {
  readonly id: string;
  /** `declared` in code or the config file, and fixed; or `managed` through the API. */
  readonly origin: 'declared' | 'managed';
  readonly rule: AccessRule;
}

export interface RuleBook {
  /** Declared ones first. */
  list(): Promise<readonly RuleRecord[]>;
  create(rule: AccessRule): Promise<RuleRecord>;
  /** @throws CONFLICT for a declared one. `undefined` when there is none. */
  replace(id: string, rule: AccessRule): Promise<RuleRecord | undefined>;
  /** @throws CONFLICT for a declared one. False when there is none. */
  delete(id: string): Promise<boolean>;
}
