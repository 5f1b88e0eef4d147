/** What a token allows: `{ type: 'repository', name: 'docker-internal/app', actions: ['pull'] }`, a name as on the wire. */
export interface TokenGrant {
  readonly type: string;
  readonly name: string;
  /** `*` stands for all of them. */
  readonly actions: readonly string[];
}

/** Scopes of one token request. Clients ask for an image and the sources of its mounts. */
const maxScopes = 10;
/** Words looked at, malformed ones among them. */
const maxWords = 64;
/** A type, a host with its port, a name of 255 characters and four actions fit in it. */
const maxScopeChars = 640;
/** Of a token that another server issued. */
const maxGrants = 64;
/** The resource class, as in `repository(plugin)`, is deprecated and means nothing (docker token scope documentation). */
const typePattern = /^([a-z0-9]+)(?:\([a-z0-9]+\))?$/;
/** Components, and before them a host that may have a port. What is in it goes into quoted header values. */
const namePattern = /^[A-Za-z0-9[][A-Za-z0-9._:/[\]-]*$/;
const knownTypes: ReadonlySet<string> = new Set(['repository', 'registry']);
const knownActions: ReadonlySet<string> = new Set(['pull', 'push', 'delete', '*']);

/**
 * Reads what a client asks for, in `scope` parameters that may hold several, separated by spaces:
 * `repository:host:5000/team/app:pull,push registry:catalog:*`. Leaves out what is malformed or of an unknown type or
 * action, and everything after the first 10 scopes; nothing fails.
 */
export function parseScopes(texts: readonly string[]): TokenGrant[] {
  const grants: TokenGrant[] = [];
  let words = 0;
  for (const text of texts) {
    // Bounded before it is split: the work must not grow with what a client sends.
    for (const scope of text.slice(0, maxWords * maxScopeChars).split(' ', maxWords)) {
      if (++words > maxWords) return mergeGrants(grants).slice(0, maxScopes);
      const grant = scope.length > maxScopeChars ? undefined : parseScope(scope);
      if (grant !== undefined) grants.push(grant);
    }
  }
  return mergeGrants(grants).slice(0, maxScopes);
}

/** The `access` claim of a token (docker token specification), with what is known of it, as `parseScopes`. */
export function readGrants(access: unknown): TokenGrant[] {
  if (!Array.isArray(access)) return [];
  const grants = access.slice(0, maxGrants).flatMap((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return [];
    const { type, name, actions } = entry as Record<string, unknown>;
    if (typeof type !== 'string' || typeof name !== 'string' || !Array.isArray(actions)) return [];
    return makeGrant(type, name, actions) ?? [];
  });
  return mergeGrants(grants);
}

/** The inverse of `parseScopes`: one text, several parted by spaces. */
export function formatScope(grants: readonly TokenGrant[]): string {
  return grants.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`).join(' ');
}

/** One grant for each type and name, with the actions of all of them; `*` takes in the others. */
export function mergeGrants(grants: readonly TokenGrant[]): TokenGrant[] {
  const merged = new Map<string, TokenGrant>();
  for (const { type, name, actions } of grants) {
    const key = `${type}:${name}`;
    const all = [...new Set([...(merged.get(key)?.actions ?? []), ...actions])];
    merged.set(key, { type, name, actions: all.includes('*') ? ['*'] : all });
  }
  return [...merged.values()];
}

/** Whether one action on one thing is among what is granted. */
export function covers(
  grants: readonly TokenGrant[],
  needed: { readonly type: string; readonly name: string; readonly action: string },
): boolean {
  return grants.some(
    ({ type, name, actions }) =>
      type === needed.type && name === needed.name && (actions.includes('*') || actions.includes(needed.action)),
  );
}

function parseScope(scope: string): TokenGrant | undefined {
  // A name may hold ":" itself, between a host and its port.
  const first = scope.indexOf(':');
  const last = scope.lastIndexOf(':');
  if (first < 0 || first === last) return undefined;
  return makeGrant(scope.slice(0, first), scope.slice(first + 1, last), scope.slice(last + 1).split(','));
}

function makeGrant(typeAndClass: string, name: string, asked: readonly unknown[]): TokenGrant | undefined {
  const type = typePattern.exec(typeAndClass)?.[1];
  if (type === undefined || !knownTypes.has(type) || !namePattern.test(name)) return undefined;
  const actions = asked.filter((action): action is string => typeof action === 'string' && knownActions.has(action));
  return actions.length === 0 ? undefined : { type, name, actions };
}
