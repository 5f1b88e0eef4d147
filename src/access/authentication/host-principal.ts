import type { Principal } from '../../ports/access/access.js';
import type { HostIdentity } from '../../protocol/settings/access-settings.js';

/**
 * Takes only the documented properties of the host's answer.
 * @throws Error if the id is not a string, so that a mistake in the host application lets no one in.
 */
export function toHostPrincipal({ id, groups }: HostIdentity): Principal {
  if (typeof id !== 'string' || id === '') {
    throw new Error('access.authenticate must return a user with an id, or undefined for an unknown user');
  }
  // On a string, `includes` would find a part of a name.
  const list: unknown = groups ?? [];
  if (!Array.isArray(list) || !list.every((group) => typeof group === 'string')) {
    throw new Error('access.authenticate must return groups as an array of strings');
  }
  return { id, groups: list, via: 'host', source: 'host' };
}
