import type { AccessLimit } from '../../protocol/settings/access-config.js';
import type { Actor } from '../metadata/journal.js';

/** A person or service that logs in with tokens. */
export interface Account {
  /** The login name. */
  readonly name: string;
  readonly description: string;
  readonly groups: readonly string[];
  readonly disabled: boolean;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export type AccountSettings = Pick<Account, 'name' | 'description' | 'groups' | 'disabled'>;

/** A token of an account. Only a hash of its secret is stored. */
export interface AccountToken {
  readonly id: string;
  readonly account: string;
  readonly description: string;
  /** Absent: everything that the account may do. */
  readonly limits?: readonly AccessLimit[] | undefined;
  readonly createdAt: number;
  readonly expiresAt?: number | undefined;
}

/** A user who manages their own tokens: the part of a principal that matters for that. */
export interface TokenOwner {
  readonly id: string;
  readonly groups?: readonly string[] | undefined;
  readonly source?: string | undefined;
  readonly stamp?: string | undefined;
  readonly limits?: readonly AccessLimit[] | undefined;
  readonly expiresAt?: number | undefined;
}

export interface Accounts {
  /** Sorted by name. */
  list(): Promise<readonly Account[]>;
  get(name: string): Promise<Account | undefined>;
  /** @throws RegistryError CONFLICT when the name is taken. */
  create(settings: AccountSettings, by: Actor): Promise<Account>;
  /** Returns `undefined` when the account does not exist. */
  replace(settings: AccountSettings, by: Actor): Promise<Account | undefined>;
  /** Deletes the account and its tokens. Returns false when it does not exist. */
  delete(name: string, by: Actor): Promise<boolean>;
  tokens(account: string): Promise<readonly AccountToken[]>;
  /** Returns the secret, which is never shown again. @throws RegistryError CONFLICT when the account does not exist. */
  createToken(
    account: string,
    settings: Pick<AccountToken, 'description' | 'limits' | 'expiresAt'>,
    by: Actor,
  ): Promise<{ readonly token: AccountToken; readonly secret: string }>;
  /** Returns false when the token does not exist. */
  deleteToken(account: string, id: string, by: Actor): Promise<boolean>;
  /**
   * Returns a user's own tokens: those of the account, or those that a user with a password created. The latter end with the
   * password. @throws RegistryError UNSUPPORTED for a login that cannot be checked again later.
   */
  ownTokens(owner: TokenOwner): Promise<readonly AccountToken[]>;
  /**
   * Creates a token that may do what its owner may, and ends with the login at the latest.
   * @throws RegistryError DENIED for a token with limits, CONFLICT when there are too many, UNSUPPORTED as above.
   */
  createOwnToken(
    owner: TokenOwner,
    settings: Pick<AccountToken, 'description' | 'limits' | 'expiresAt'>,
    by: Actor,
  ): Promise<{ readonly token: AccountToken; readonly secret: string }>;
  /** Returns false when the user does not have the token. @throws RegistryError DENIED for a token with limits. */
  deleteOwnToken(owner: TokenOwner, id: string, by: Actor): Promise<boolean>;
}
