/**
 * Access rules: `rules.ts` evaluates them for each request, `rule-book.ts` stores them, `access-report.ts` explains them.
 * Imported by access/ only.
 */
import type { AccessLimit, AccessRule, Permission } from '../../protocol/settings/access-config.js';
import { matchesPattern } from '../../protocol/patterns.js';
import { anonymous } from '../../util/anonymous.js';
import type { Principal, Reach } from '../../ports/access/access.js';
import { intersect, reachOf } from './reach.js';

/** An image, or a repository as a whole. */
export interface Subject {
  readonly repository: string;
  readonly image?: string;
}

/** Returns whether a request came without credentials or with an anonymous token. */
export function isAnonymous({ id }: Principal): boolean {
  return id === anonymous.id;
}

/** Evaluates rules. Denies by default: an access needs a rule that allows it, and the limits of the caller's token too. */
export class RuleSet {
  readonly #rules: readonly AccessRule[];

  constructor(rules: readonly AccessRule[]) {
    this.#rules = rules;
  }

  /**
   * Checks `admin` for a whole repository or, without a subject, for the registry; `monitor` for the registry; all others
   * for an image.
   */
  permits(principal: Principal, permission: Permission, subject?: Subject): boolean {
    return this.permitted(principal, [permission], subject).length > 0;
  }

  /** Returns those of the wanted permissions that the principal has. Matches the names of each rule only once. */
  permitted<P extends Permission>(principal: Principal, wanted: readonly P[], subject?: Subject): readonly P[] {
    const { limits } = principal;
    const within = limits === undefined ? wanted : given(limits, wanted, subject);
    if (within.length === 0) return [];
    const rules = this.#rules.filter((rule) => isFor(rule, principal));
    return given(rules, within, subject);
  }

  /** Returns the images of a repository that the principal may pull. Agrees with `permits`, in one pass over the rules. */
  reach(principal: Principal, repository: string): Reach {
    const { limits } = principal;
    const rules = reachOf(pullPatterns(this.#rules.filter((rule) => isFor(rule, principal))), repository);
    return limits === undefined ? rules : intersect(rules, reachOf(pullPatterns(limits), repository));
  }

  /** Returns whether the principal may pull anything at all. */
  mayPullSome(principal: Principal): boolean {
    return this.#some(principal, (allowance) => givesSome(allowance, 'pull'));
  }

  /** Returns whether the principal has one of the permissions on some image of the repository. */
  mayKnow(
    principal: Principal,
    repository: string,
    permissions: readonly Permission[] = ['pull', 'push', 'delete'],
  ): boolean {
    return permissions.some((permission) =>
      this.#some(principal, (allowance) => givesSome(allowance, permission, repository)),
    );
  }

  #some(principal: Principal, predicate: (allowance: Allowance) => boolean): boolean {
    if (principal.limits?.some(predicate) === false) return false;
    return this.#rules.some((rule) => isFor(rule, principal) && predicate(rule));
  }
}

/** Returns whether a rule applies to the principal. */
export function isFor(
  { users, groups, anonymous: forEveryone, authenticated }: AccessRule,
  principal: Principal,
): boolean {
  if (forEveryone === true) return true;
  if (isAnonymous(principal)) return false;
  if (authenticated === true || users?.includes(principal.id) === true) return true;
  return groups?.some((group) => principal.groups.includes(group)) === true;
}

/** Returns whether a rule gives a permission, to those to whom it applies. */
export function gives(rule: AccessRule, permission: Permission, subject?: Subject): boolean {
  return given([rule], [permission], subject).length > 0;
}

type Allowance = AccessLimit | AccessRule;

/** Returns those of the wanted permissions that the allowances give together. */
function given<P extends Permission>(
  allowances: readonly Allowance[],
  wanted: readonly P[],
  subject: Subject | undefined,
): readonly P[] {
  const found = new Set<P>();
  for (const { names, allow } of allowances) {
    if (found.size === wanted.length) break;
    const more = wanted.filter((one) => !found.has(one) && (allow.includes(one) || allow.includes('admin')));
    // P may exclude 'admin', which `includes` then cannot find.
    if (more.length === 0 || !isAbout(names, subject, wanted.includes('admin' as P))) continue;
    for (const one of more) found.add(one);
  }
  return wanted.filter((one) => found.has(one));
}

function isAbout(names: Allowance['names'], subject: Subject | undefined, asWhole: boolean): boolean {
  if (names === undefined) return true;
  if (subject === undefined) return names.includes('**');
  const { repository, image } = subject;
  if (asWhole || image === undefined) return names.some((name) => coversWhole(name, repository));
  return names.some((name) => matchesPattern(toImagePattern(name), `${repository}/${image}`));
}

function pullPatterns(allowances: readonly Allowance[]): string[] {
  return allowances
    .filter(({ allow }) => allow.includes('pull') || allow.includes('admin'))
    .flatMap(({ names }) => names?.map(toImagePattern) ?? ['**']);
}

function givesSome({ names, allow }: Allowance, permission: Permission, repository?: string): boolean {
  if (!allow.includes(permission) && !allow.includes('admin')) return false;
  return names === undefined || repository === undefined || names.some((name) => mayTouch(name, repository));
}

/** The name of a repository means all of its images. */
function toImagePattern(name: string): string {
  return name.includes('/') || name === '**' ? name : `${name}/**`;
}

function coversWhole(name: string, repository: string): boolean {
  const pattern = toImagePattern(name);
  return pattern === '**' || (pattern.endsWith('/**') && matchesPattern(pattern.slice(0, -3), repository));
}

/** Returns whether the pattern may match an image of the repository. After a `**` in its first part, anything matches. */
function mayTouch(name: string, repository: string): boolean {
  const [first = ''] = toImagePattern(name).split('/');
  const stars = first.indexOf('**');
  return stars < 0 ? matchesPattern(first, repository) : matchesPattern(`${first.slice(0, stars)}**`, repository);
}
