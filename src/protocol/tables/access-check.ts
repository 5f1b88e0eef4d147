import type { FindingDocument } from '../documents/access.js';
import { problemsFound } from './management.js';
import { identityNameSchema, permissions, type AccessRule, type Permission } from '../settings/access-config.js';
import type { Problem } from '../settings/option-schema.js';

/** The person and the permissions that a request checks. */
export interface AccessCheck {
  readonly user: string | undefined;
  readonly groups: readonly string[];
  readonly permissions: readonly Permission[];
}

const maxGroups = 100;

/** Decodes the query of `access.check`, except `image`. @throws RegistryError OPTIONS_INVALID with all problems. */
export function decodeAccessCheck(query: URLSearchParams): AccessCheck {
  const problems: Problem[] = [];
  const check = (path: string, value: string): void => {
    const checked = identityNameSchema.safeParse(value);
    if (!checked.success) problems.push({ path, problem: checked.error.issues[0]?.message ?? 'is invalid' });
  };
  const user = query.get('user') ?? undefined;
  const groups = query.getAll('groups');
  const isAnonymous = query.get('anonymous') ?? 'false';
  const permission = query.get('permission') ?? undefined;
  if (user !== undefined) check('user', user);
  groups.slice(0, maxGroups).forEach((group, i) => check(`groups[${i}]`, group));
  if (groups.length > maxGroups) problems.push({ path: 'groups', problem: `must have at most ${maxGroups} entries` });
  if (isAnonymous !== 'true' && isAnonymous !== 'false')
    problems.push({ path: 'anonymous', problem: 'must be "true" or "false"' });
  else if ((isAnonymous === 'true') === (user !== undefined))
    problems.push({ path: 'user', problem: 'set either user, or anonymous to true' });
  if (user === undefined && groups.length > 0) problems.push({ path: 'groups', problem: 'requires user' });
  const wanted = permissions.filter((one) => permission === undefined || one === permission);
  if (wanted.length === 0) problems.push({ path: 'permission', problem: `must be one of ${permissions.join(', ')}` });
  if (problems.length > 0) throw problemsFound(problems);
  return { user, groups, permissions: wanted };
}

/** Whether a person has a permission, as the access control reports it. */
interface Finding {
  readonly allowed: boolean;
  readonly by: readonly string[];
  readonly wouldNeed?: {
    readonly login?: true;
    readonly enabledAccount?: true;
    readonly groups?: readonly string[];
    readonly rule?: AccessRule;
  };
}

/** Returns whether a person has a permission as the API shows it. */
export function encodeFinding({ allowed, by, wouldNeed }: Finding): FindingDocument {
  if (wouldNeed === undefined) return { allowed, by };
  const { enabledAccount, ...need } = wouldNeed;
  return {
    allowed,
    by,
    would_need: { ...need, ...(enabledAccount === true ? { enabled_account: true } : {}) },
  };
}
