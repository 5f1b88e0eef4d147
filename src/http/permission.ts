import type { AccessControl, AccessQuestion, ImageAction, Principal, Reach } from '../ports/access/access.js';
import type { Caller, ResolvedName } from '../ports/repository.js';
import type { TokenGrant } from '../protocol/tokens/token-scope.js';
import type { Endpoint, Match } from '../protocol/tables/route-table.js';
import { tryParseName, type WireName } from '../protocol/names.js';

/**
 * Returns the grants that a request needs, by names on the wire, for the challenge. A mount also needs the permission
 * to pull from its source.
 */
export function requiredGrants({ row, params }: Match<Endpoint>, query: URLSearchParams): readonly TokenGrant[] {
  if (row.access === 'catalog') return [{ type: 'registry', name: 'catalog', actions: ['*'] }];
  // The route table parsed the parameter.
  const name = params['name'] as WireName | undefined;
  if (name === undefined) return [];
  if (row.access === 'pull') return [grant(name, 'pull')];
  if (row.access === 'delete') return [grant(name, 'delete')];
  const from = query.has('mount') ? tryParseName(query.get('from') ?? '') : undefined;
  return [grant(name, 'pull', 'push'), ...(from === undefined ? [] : [grant(from, 'pull')])];
}

/** Returns whether the principal may perform the action on an image under the name that the client used. */
export function mayUse(
  access: AccessControl,
  principal: Principal,
  action: ImageAction,
  resolved: ResolvedName,
  name?: string,
): Promise<boolean> {
  // A pull never concerns the push target, and is by far the most frequent action.
  if (action === 'pull') return access.permits(principal, action, { at: resolved.at, name });
  return permittedActions(access, principal, [action], resolved, name).then(({ length }) => length > 0);
}

/**
 * Returns the actions that the principal may perform on an image under the name that the client used. Writes to a virtual
 * repository go to its push target and need the permission on both.
 */
export async function permittedActions(
  access: AccessControl,
  principal: Principal,
  actions: readonly ImageAction[],
  { at, repository }: ResolvedName,
  name?: string,
): Promise<readonly ImageAction[]> {
  const permitted = await access.permitted(principal, actions, { at, name });
  const target = repository?.pushTo === undefined ? undefined : { repository: repository.pushTo, image: at.image };
  const writes = target === undefined ? [] : permitted.filter((action) => action !== 'pull');
  if (target === undefined || writes.length === 0) return permitted;
  const atTarget = await access.permitted(principal, writes, { at: target });
  return permitted.filter((action) => action === 'pull' || atTarget.includes(action));
}

/**
 * Creates the caller of a request. A virtual repository skips members that the caller may not pull from. Clients that send
 * credentials only after a challenge (containerd, oras) could then get another image of the same name, so anonymous pulls are
 * challenged first.
 */
export function createCaller(
  access: AccessControl,
  asking: Pick<Caller, 'principal' | 'actor' | 'trail' | 'hasLeft'>,
  question: AccessQuestion,
): Caller {
  const { principal, actor, trail, hasLeft } = asking;
  // Most requests do not list anything.
  let reaches: Map<string, Promise<Reach>> | undefined;
  const isAnonymousPull = principal.via === 'anonymous' && question.access === 'pull';
  // Lists each property, because spreading the parameter costs more than everything else here.
  return {
    principal,
    actor,
    trail,
    hasLeft,
    reach: (repository) => {
      reaches ??= new Map();
      const known = reaches.get(repository) ?? access.reach(principal, repository);
      reaches.set(repository, known);
      return known;
    },
    mayPull: async (at) => {
      const isPermitted = await access.permits(principal, 'pull', { at });
      if (!isPermitted && isAnonymousPull && access.challengesFirst) throw access.refusal(principal, question);
      return isPermitted;
    },
    mayMountFrom: (at, name) => access.permits(principal, 'pull', { at, name: name ?? `${at.repository}/${at.image}` }),
  };
}

function grant(name: WireName, ...actions: string[]): TokenGrant {
  return { type: 'repository', name, actions };
}
