import { createHash, timingSafeEqual } from 'node:crypto';
import type { AccessControl, Principal } from '../ports/access/access.js';
import { RegistryError } from '../protocol/errors.js';
import { everyImage } from './rules/reach.js';

/** A process that opened the data folder to administer it, and so may do everything. */
export interface Owner {
  /** The name in logs and in the history of changes. */
  readonly name: string;
  /** Sent as a Bearer token with each request. */
  readonly secret: string;
}

/**
 * Creates access control for a process that opened a data folder to administer it. Only requests with its secret are
 * permitted.
 * @param inner the access control that the registry would use otherwise. Its accounts, rules and keys can be administered.
 */
export function createOwnerAccess(inner: AccessControl, owner: Owner): AccessControl {
  const principal: Principal = { id: owner.name, groups: [], via: 'bearer' };
  const expected = hash(`Bearer ${owner.secret}`);
  const refusal = (): RegistryError =>
    new RegistryError('UNAUTHORIZED', {
      message: 'this registry serves only the command that opened its data folder',
    });
  return {
    isOpen: false,
    isPublic: false,
    challengesFirst: false,
    administration: inner.administration,
    authenticate: ({ authorization = '' }) =>
      timingSafeEqual(hash(authorization), expected) ? Promise.resolve(principal) : Promise.reject(refusal()),
    permits: () => Promise.resolve(true),
    permitted: (_principal, actions) => Promise.resolve(actions),
    reach: () => Promise.resolve(everyImage),
    mayKnow: () => Promise.resolve(true),
    refusal,
    close: () => inner.close(),
  };
}

function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
