import type {
  AccessAdministration,
  AccessFinding,
  AccessNeed,
  Accounts,
  AccessTarget,
  Principal,
  RuleBook,
  RuleRecord,
} from '../../ports/access/access.js';
import { permissions, type AccessRule, type Permission } from '../../protocol/settings/access-config.js';
import { RegistryError } from '../../protocol/errors.js';
import { anonymous } from '../../util/anonymous.js';
import { gives, isAnonymous, isFor, type Subject } from './rules.js';

/** The dependencies of `createAccessReport`. */
export interface AccessReportParts {
  readonly accounts: Pick<Accounts, 'get'>;
  /** Returns the record of someone whom an OIDC provider or the host application knows. */
  readonly findPerson: (
    name: string,
  ) => Promise<{ readonly groups: readonly string[]; readonly disabled: boolean } | undefined>;
  readonly rules: Pick<RuleBook, 'list'>;
  readonly groupsOf: (id: string) => readonly string[];
  /** Whether tokens of an external server decide, and not rules. */
  readonly needsGrants: boolean;
}

/** Creates the function that reports what the rules allow a person. */
export function createAccessReport(parts: AccessReportParts): AccessAdministration['check'] {
  return async ({ user, groups }, at) => {
    if (parts.needsGrants) {
      const message = 'the tokens of the external token server decide: this registry has no rules to check';
      throw new RegistryError('UNSUPPORTED', { message });
    }
    const known = user === undefined ? undefined : ((await parts.accounts.get(user)) ?? (await parts.findPerson(user)));
    const all = user === undefined ? [] : [...groups, ...(known?.groups ?? []), ...parts.groupsOf(user)];
    const principal: Principal =
      user === undefined ? anonymous : { id: user, groups: [...new Set(all)].sort(), via: 'basic' };
    const records = await parts.rules.list();
    const find = (permission: Permission): AccessFinding =>
      known?.disabled === true
        ? { allowed: false, by: [], wouldNeed: { enabledAccount: true } }
        : judge(records, principal, permission, at);
    const findings = Object.fromEntries(permissions.map((permission) => [permission, find(permission)]));
    // It has every permission.
    return { groups: principal.groups, findings: findings as Record<Permission, AccessFinding> };
  };
}

function judge(
  records: readonly RuleRecord[],
  principal: Principal,
  permission: Permission,
  at: AccessTarget['at'],
): AccessFinding {
  const subject = permission === 'monitor' ? undefined : at;
  const giving = records.filter(({ rule }) => gives(rule, permission, subject));
  // No rule gives `admin` or `monitor` to everyone, and `admin` on an image means `admin` on its whole repository.
  const own = giving.filter(({ rule }) => isFor(rule, principal));
  if (own.length > 0) return { allowed: true, by: own.map(({ id }) => id) };
  return { allowed: false, by: [], wouldNeed: needOf(giving, principal, permission, subject) };
}

function needOf(
  giving: readonly RuleRecord[],
  principal: Principal,
  permission: Permission,
  at: Subject | undefined,
): AccessNeed {
  const isOpenToUsers = giving.some(({ rule }) => rule.authenticated === true);
  const groups = [...new Set(giving.flatMap(({ rule }) => rule.groups ?? []))].sort();
  const rule = ruleFor(principal, permission, at);
  return {
    ...(isOpenToUsers ? { login: true } : {}),
    ...(groups.length > 0 ? { groups } : {}),
    ...(rule === undefined ? {} : { rule }),
  };
}

/** Returns the narrowest rule that gives the permission; `undefined` for what no rule may give. */
function ruleFor(principal: Principal, permission: Permission, at: Subject | undefined): AccessRule | undefined {
  const isWhole = permission === 'admin' || at?.image === undefined;
  const names = at && [isWhole ? at.repository : `${at.repository}/${at.image}`];
  const about = names === undefined ? {} : { names };
  if (!isAnonymous(principal)) return { ...about, users: [principal.id], allow: [permission] };
  return permission === 'admin' || permission === 'monitor'
    ? undefined
    : { ...about, anonymous: true, allow: [permission] };
}
