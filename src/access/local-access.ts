import { anonymous } from '../util/anonymous.js';
import type { Access, AccessControl } from '../ports/access.js';
import { RegistryError } from '../protocol/errors.js';
import { everyImage } from './reach.js';

const readOnly: ReadonlySet<Access> = new Set<Access>(['none', 'ping', 'token', 'pull', 'catalog']);

/** `open`: anybody may do everything. `read-only`: anybody may pull and list, nobody may write or administer. */
export function createLocalAccess(mode: 'open' | 'read-only'): AccessControl {
  return {
    openToAll: mode === 'open',
    isPublic: true,
    asksFirst: false,
    authenticate: () => Promise.resolve(anonymous),
    permits: (_principal, access) => Promise.resolve(mode === 'open' || readOnly.has(access)),
    permitted: (_principal, actions) =>
      Promise.resolve(actions.filter((action) => mode === 'open' || readOnly.has(action))),
    reach: () => Promise.resolve(everyImage),
    knows: () => Promise.resolve(true),
    // Nobody can log in here, so a 401 would only make clients ask for a password that nothing takes.
    refusal: () =>
      new RegistryError('DENIED', {
        message: 'this registry is read-only: to let somebody do more, set rules in its option access',
      }),
    close: () => Promise.resolve(),
  };
}
