/**
 * The content of tokens: scopes, claims, and the reasons of refused logins. Every layer may import it; it imports
 * protocol/ only.
 */

/** A permission in a token: `{ type: 'repository', name: 'docker-internal/app', actions: ['pull'] }`. */
export interface TokenGrant {
  readonly type: string;
  /** The name as in URLs. */
  readonly name: string;
  /** `*` means all actions. */
  readonly actions: readonly string[];
}

/** Scopes of one token request. Clients request an image and the sources of its mounts. */
const maxScopes = 10;
/** Words that are read, including malformed ones. */
const maxWords = 64;
/** Enough for a type, a host with a port, a name of 255 characters and four actions. */
const maxScopeChars = 640;
/** Grants in a token that another server issued. */
const maxGrants = 64;
/** The resource class, as in `repository(plugin)`, is deprecated and ignored (Docker token scope documentation). */
const typePattern = /^([a-z0-9]+)(?:\([a-z0-9]+\))?$/;
/** Path components, optionally after a host with a port. Matching names are safe in quoted header values. */
const namePattern = /^[A-Za-z0-9[][A-Za-z0-9._:/[\]-]*$/;
const knownTypes: ReadonlySet<string> = new Set(['repository', 'registry']);
const knownActions: ReadonlySet<string> = new Set(['pull', 'push', 'delete', '*']);

/**
 * Parses `scope` parameters, each with one or more scopes separated by spaces:
 * `repository:host:5000/team/app:pull,push registry:catalog:*`. Ignores malformed scopes, unknown types and actions, and
 * scopes after the first 10. Never throws.
 */
export function parseScopes(texts: readonly string[]): TokenGrant[] {
  const grants: TokenGrant[] = [];
  let words = 0;
  for (const text of texts) {
    // Truncate before splitting, so that the work is bounded.
    for (const scope of text.slice(0, maxWords * maxScopeChars).split(' ', maxWords)) {
      if (++words > maxWords) return mergeGrants(grants).slice(0, maxScopes);
      const grant = scope.length > maxScopeChars ? undefined : parseScope(scope);
      if (grant !== undefined) grants.push(grant);
    }
  }
  return mergeGrants(grants).slice(0, maxScopes);
}

/** Reads the `access` claim of a token (Docker token specification). Ignores the same as `parseScopes`. */
export function readGrants(access: unknown): TokenGrant[] {
  if (!Array.isArray(access)) return [];
  const grants = access.slice(0, maxGrants).flatMap((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return [];
    // Each field is checked below.
    const { type, name, actions } = entry as Record<string, unknown>;
    if (typeof type !== 'string' || typeof name !== 'string' || !Array.isArray(actions)) return [];
    return makeGrant(type, name, actions) ?? [];
  });
  return mergeGrants(grants);
}

/** Formats grants as one text, separated by spaces: the inverse of `parseScopes`. */
export function formatScope(grants: readonly TokenGrant[]): string {
  return grants.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`).join(' ');
}

/** Merges grants with the same type and name. `*` replaces all other actions. */
export function mergeGrants(grants: readonly TokenGrant[]): TokenGrant[] {
  const merged = new Map<string, TokenGrant>();
  for (const { type, name, actions } of grants) {
    const key = `${type}:${name}`;
    const all = [...new Set([...(merged.get(key)?.actions ?? []), ...actions])];
    merged.set(key, { type, name, actions: all.includes('*') ? ['*'] : all });
  }
  return [...merged.values()];
}

/** Returns whether the grants include an action. */
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
  // A name may contain ":" between a host and its port.
  const first = scope.indexOf(':');
  const last = scope.lastIndexOf(':');
  if (first < 0 || first === last) return undefined;
  return makeGrant(scope.slice(0, first), scope.slice(first + 1, last), scope.slice(last + 1).split(','));
}

function makeGrant(typeAndClass: string, name: string, requested: readonly unknown[]): TokenGrant | undefined {
  const type = typePattern.exec(typeAndClass)?.[1];
  if (type === undefined || !knownTypes.has(type) || !namePattern.test(name)) return undefined;
  const actions = requested.filter(
    (action): action is string => typeof action === 'string' && knownActions.has(action),
  );
  return actions.length === 0 ? undefined : { type, name, actions };
}
