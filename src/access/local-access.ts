import { anonymous } from '../util/anonymous.js';
import type { Access, AccessControl } from '../ports/access/access.js';
import { RegistryError } from '../protocol/errors.js';
import { everyImage } from './rules/reach.js';

const readOnly: ReadonlySet<Access> = new Set<Access>(['none', 'anyone', 'ping', 'token', 'browse', 'pull', 'catalog']);

/**
 * Creates access control without rules. `open`: everyone may do everything. `read-only`: everyone may pull and list, no one
 * may write or administer.
 */
export function createLocalAccess(mode: 'open' | 'read-only'): AccessControl {
  return {
    isOpen: mode === 'open',
    isPublic: true,
    challengesFirst: false,
    authenticate: () => Promise.resolve(anonymous),
    permits: (_principal, access) => Promise.resolve(mode === 'open' || readOnly.has(access)),
    permitted: (_principal, actions) =>
      Promise.resolve(actions.filter((action) => mode === 'open' || readOnly.has(action))),
    reach: () => Promise.resolve(everyImage),
    mayKnow: () => Promise.resolve(true),
    // No one can log in here: after a 401, clients would ask for a password that nothing accepts.
    refusal: () =>
      new RegistryError('DENIED', {
        message: 'this registry is read-only: to allow more, set rules in the option "access"',
      }),
    close: () => Promise.resolve(),
  };
}
