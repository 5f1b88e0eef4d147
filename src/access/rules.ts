import type { AccessLimit, AccessRule, Permission } from '../protocol/settings/access-config.js';
import { matchesPattern } from '../protocol/patterns.js';
import { anonymous } from '../util/anonymous.js';
import type { Principal, Reach } from '../ports/access.js';
import { intersect, reachOf } from './reach.js';

/** An image, or a repository as a whole. */
export interface Subject {
  readonly repository: string;
  readonly image?: string;
}

export function isAnonymous({ id }: Principal): boolean {
  return id === anonymous.id;
}

/** The rules, asked. Deny by default: a right is there when one rule gives it, and the limits of the caller's token do too. */
export class RuleSet {
  readonly #rules: readonly AccessRule[];

  constructor(rules: readonly AccessRule[]) {
    this.#rules = rules;
  }

  /** `admin` is asked of a repository as a whole, or with no subject of the registry; the others of an image. */
  permits(principal: Principal, permission: Permission, subject?: Subject): boolean {
    return this.permitted(principal, [permission], subject).length > 0;
  }

  /** Returns those of the permissions that the principal has. Matches each rule's names once, however many are asked for. */
  permitted<P extends Permission>(principal: Principal, wanted: readonly P[], subject?: Subject): readonly P[] {
    const { limits } = principal;
    const within = limits === undefined ? wanted : given(limits, wanted, subject);
    if (within.length === 0) return [];
    const rules = this.#rules.filter((rule) => isFor(rule, principal));
    return given(rules, within, subject);
  }

  /** Returns which images of a repository it may pull: as `permits` says, in one pass over the rules for all of them. */
  reach(principal: Principal, repository: string): Reach {
    const { limits } = principal;
    const rules = reachOf(pullPatterns(this.#rules.filter((rule) => isFor(rule, principal))), repository);
    return limits === undefined ? rules : intersect(rules, reachOf(pullPatterns(limits), repository));
  }

  /** Whether it may pull anything at all. */
  mayPullSome(principal: Principal): boolean {
    return this.#some(principal, (allowance) => givesSome(allowance, 'pull'));
  }

  /** Whether it may do something of this to an image of the repository. */
  mayKnow(
    principal: Principal,
    repository: string,
    permissions: readonly Permission[] = ['pull', 'push', 'delete'],
  ): boolean {
    return permissions.some((permission) =>
      this.#some(principal, (allowance) => givesSome(allowance, permission, repository)),
    );
  }

  #some(principal: Principal, isSuch: (allowance: Allowance) => boolean): boolean {
    if (principal.limits?.some(isSuch) === false) return false;
    return this.#rules.some((rule) => isFor(rule, principal) && isSuch(rule));
  }
}

function isFor({ users, groups, anonymous: everybody, authenticated }: AccessRule, principal: Principal): boolean {
  if (everybody === true) return true;
  if (isAnonymous(principal)) return false;
  if (authenticated === true || users?.includes(principal.id) === true) return true;
  return groups?.some((group) => principal.groups.includes(group)) === true;
}

type Allowance = AccessLimit | AccessRule;

/** What of it the allowances give together. */
function given<P extends Permission>(
  allowances: readonly Allowance[],
  wanted: readonly P[],
  subject: Subject | undefined,
): readonly P[] {
  const found = new Set<P>();
  for (const { names, allow } of allowances) {
    if (found.size === wanted.length) break;
    const more = wanted.filter((one) => !found.has(one) && (allow.includes(one) || allow.includes('admin')));
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

/** A repository's name alone stands for all of its images. */
function toImagePattern(name: string): string {
  return name.includes('/') || name === '**' ? name : `${name}/**`;
}

function coversWhole(name: string, repository: string): boolean {
  const pattern = toImagePattern(name);
  return pattern === '**' || (pattern.endsWith('/**') && matchesPattern(pattern.slice(0, -3), repository));
}

/** Whether the pattern may match an image of the repository; where `**` stands in its first part, anything that begins alike. */
function mayTouch(name: string, repository: string): boolean {
  const [first = ''] = toImagePattern(name).split('/');
  const stars = first.indexOf('**');
  return stars < 0 ? matchesPattern(first, repository) : matchesPattern(`${first.slice(0, stars)}**`, repository);
}
