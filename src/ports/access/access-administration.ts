/** The administration of access control: permissions and their reasons, rules, and signing keys. */
import type { AccessRule, Permission } from '../../protocol/settings/access-config.js';
import type { Accounts } from './accounts.js';
import type { Actor } from '../metadata/journal.js';
import type { People } from './people.js';

/** The person whose access is checked. */
export interface AccessPerson {
  /** Absent: an anonymous user. */
  readonly user?: string | undefined;
  /** Groups that the registry does not know of, such as those in an identity token. */
  readonly groups: readonly string[];
}

/** The ways to give a person a permission. Each entry alone is enough. */
export interface AccessNeed {
  /** To log in, with any name. */
  readonly login?: true;
  /** To enable the account first; what else it needs is unknown until then. */
  readonly enabledAccount?: true;
  /** To be in one of these groups. */
  readonly groups?: readonly string[];
  /** To create this rule. Absent for an admin who did not log in, because no rule can allow that. */
  readonly rule?: AccessRule;
}

/** Whether a person has a permission, and why. */
export interface AccessFinding {
  readonly allowed: boolean;
  /** The ids of the rules that give it. */
  readonly by: readonly string[];
  /** Present if it is not allowed. */
  readonly wouldNeed?: AccessNeed;
}

/** The permissions that the rules give a person. */
export interface AccessReport {
  /** All groups of the person that the rules apply to. */
  readonly groups: readonly string[];
  readonly findings: Readonly<Record<Permission, AccessFinding>>;
}

/** The administration of access: accounts, people, tokens, rules and signing keys. */
export interface AccessAdministration {
  /**
   * Reports what the rules allow a person, without its credentials. The limits of a token may allow less.
   * @param at an image, or all images of a repository if it has no `image`. Absent: the whole registry.
   * @throws RegistryError UNSUPPORTED when an external token server decides.
   */
  check(person: AccessPerson, at?: { readonly repository: string; readonly image?: string }): Promise<AccessReport>;
  readonly accounts: Accounts;
  readonly people: People;
  readonly rules: RuleBook;
  /** Creates a key that signs from now on. The old key still verifies tokens until they expire. */
  rotateKeys(by: Actor): Promise<SigningKeyInfo>;
  listKeys(): Promise<readonly SigningKeyInfo[]>;
}

export interface SigningKeyInfo {
  readonly id: string;
  readonly createdAt: number;
  readonly origin: 'declared' | 'managed';
  readonly signs: boolean;
}

/** A rule with its id. */
export interface RuleRecord {
  readonly id: string;
  /** `declared`: fixed by code or the config file. `managed`: changed through the API. */
  readonly origin: 'declared' | 'managed';
  readonly rule: AccessRule;
}

export interface RuleBook {
  /** Lists declared rules first. */
  list(): Promise<readonly RuleRecord[]>;
  create(rule: AccessRule, by: Actor): Promise<RuleRecord>;
  /** Returns `undefined` when the rule does not exist. @throws RegistryError CONFLICT for a declared rule. */
  replace(id: string, rule: AccessRule, by: Actor): Promise<RuleRecord | undefined>;
  /** Returns false when the rule does not exist. @throws RegistryError CONFLICT for a declared rule. */
  delete(id: string, by: Actor): Promise<boolean>;
}
