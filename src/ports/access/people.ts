import type { Actor } from '../metadata/journal.js';

/**
 * The source of a user: the registry itself, the htpasswd file, the OIDC provider at which the user logged in, or the host
 * application in which the user created a token.
 */
export type PersonSource = 'account' | 'htpasswd' | 'oidc' | 'host';

/** Anyone who can log in, by name. */
export interface Person {
  readonly name: string;
  readonly source: PersonSource;
  /** The groups that the source reported at the last login, and those of the options. */
  readonly groups: readonly string[];
  /** The number of valid tokens of the user. */
  readonly tokens: number;
  readonly disabled: boolean;
  /** When the user last logged in with a password, a token or a provider, to the hour. Absent: not yet. */
  readonly lastLoginAt?: number | undefined;
}

/**
 * Everyone who can log in. Users of an OIDC provider or of the host application can be disabled and removed here.
 */
export interface People {
  /** Sorted by name. */
  list(): Promise<readonly Person[]>;
  /**
   * Disables or enables a user. A disabled user loses all sessions at once; the tokens work again after enabling.
   * Returns `undefined` when no one has the name.
   * @throws RegistryError CONFLICT for an account or a user of the htpasswd file, which are changed elsewhere.
   */
  setDisabled(name: string, disabled: boolean, by: Actor): Promise<Person | undefined>;
  /**
   * Removes a user with all tokens and sessions. The next login makes a new record without them. Returns false when no one
   * has the name. @throws RegistryError CONFLICT as above.
   */
  delete(name: string, by: Actor): Promise<boolean>;
}
