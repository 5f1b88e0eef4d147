import type { AccessControl, AccessQuestion, ImageAction, Principal, Reach } from '../ports/access.js';
import type { Caller, Repository, Resolved } from '../ports/repository.js';
import type { ImageKey } from '../ports/images.js';
import type { TokenGrant } from '../protocol/tokens/token-scope.js';
import type { Endpoint, Match } from '../protocol/tables/route-table.js';
import { tryParseName, type WireName } from '../protocol/names.js';

/**
 * What a token needs for a request, by names on the wire, as its challenge tells (protocol: challenge). A mount reads from
 * its source too.
 */
export function wantedGrants({ row, params }: Match<Endpoint>, query: URLSearchParams): readonly TokenGrant[] {
  if (row.access === 'catalog') return [{ type: 'registry', name: 'catalog', actions: ['*'] }];
  const name = params['name'] as WireName | undefined;
  if (name === undefined) return [];
  if (row.access === 'pull') return [grant(name, 'pull')];
  if (row.access === 'delete') return [grant(name, 'delete')];
  const from = query.has('mount') ? tryParseName(query.get('from') ?? '') : undefined;
  return [grant(name, 'pull', 'push'), ...(from === undefined ? [] : [grant(from, 'pull')])];
}

/** Returns whether an image may be pulled, pushed to or deleted from as it was named. */
export async function mayUse(
  access: AccessControl,
  principal: Principal,
  action: ImageAction,
  resolved: Resolved,
  name?: string,
): Promise<boolean> {
  return (await usable(access, principal, [action], resolved, name)).length > 0;
}

/**
 * Returns those of the actions that are allowed on an image as it was named. A virtual repository hands writes to its
 * target: the right is needed on both.
 */
export async function usable(
  access: AccessControl,
  principal: Principal,
  actions: readonly ImageAction[],
  { at, repository }: Resolved,
  name?: string,
): Promise<readonly ImageAction[]> {
  const permitted = await access.permitted(principal, actions, { at, name });
  const target = pushTargetOf(repository, at);
  const writes = target === undefined ? [] : permitted.filter((action) => action !== 'pull');
  if (target === undefined || writes.length === 0) return permitted;
  const atTarget = await access.permitted(principal, writes, { at: target });
  return permitted.filter((action) => action === 'pull' || atTarget.includes(action));
}

/**
 * The caller as repositories and handlers ask about it. A virtual repository leaves out members that the caller may not pull
 * from. Clients that show their credentials only when asked (containerd, oras) would get what is left, perhaps another image
 * of the same name: they are asked.
 */
export function createCaller(
  access: AccessControl,
  principal: Principal,
  trail: readonly string[],
  question: AccessQuestion,
  hasLeft: () => boolean,
): Caller {
  const reaches = new Map<string, Promise<Reach>>();
  const showsNothing = principal.via === 'anonymous' && question.access === 'pull';
  return {
    principal,
    trail,
    hasLeft,
    reach: (repository) => {
      const known = reaches.get(repository) ?? access.reach(principal, repository);
      reaches.set(repository, known);
      return known;
    },
    mayPull: async (at) => {
      const isPermitted = await access.permits(principal, 'pull', { at });
      if (!isPermitted && showsNothing && access.asksFirst) throw access.refusal(principal, question);
      return isPermitted;
    },
    mayMountFrom: (at, name) => access.permits(principal, 'pull', { at, name: name ?? `${at.repository}/${at.image}` }),
  };
}

function pushTargetOf(repository: Repository | undefined, { image }: ImageKey): ImageKey | undefined {
  if (repository?.config.type !== 'virtual' || repository.config.pushTo === undefined) return undefined;
  return { repository: repository.config.pushTo, image };
}

function grant(name: WireName, ...actions: string[]): TokenGrant {
  return { type: 'repository', name, actions };
}
