import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { RegistryError } from '../protocol/errors.js';
import { customerOf, normalizeAddress } from '../util/addresses.js';

/** A typo or two, and clients that try the same password for each of a few requests. */
const freeOfUser = 5;
/** Several people may share an address. */
const freeOfAddress = 30;
const firstWaitMs = 1000;
const longestWaitMs = 60_000;
const forgottenAfterMs = 15 * 60_000;
/** Of each kind: a few megabytes in all. */
const maxEntries = 10_000;

interface Failures {
  readonly count: number;
  /** No login before this; 0 while failures are free. */
  readonly until: number;
}

/**
 * Slows down the guessing of passwords: after a few failures one has to wait, longer each time, before the next login. It
 * counts failures of a user from an address, and of an address for all users; never of a user from everywhere, so that
 * nobody can lock out somebody who is elsewhere.
 */
export class LoginThrottle {
  readonly #now: () => number;
  readonly #ofUser: LRUCache<string, Failures>;
  readonly #ofAddress: LRUCache<string, Failures>;

  constructor(now: () => number) {
    this.#now = now;
    const options = { max: maxEntries, ttl: forgottenAfterMs, ttlResolution: 0, perf: { now } };
    this.#ofUser = new LRUCache(options);
    this.#ofAddress = new LRUCache(options);
  }

  /**
   * To be called before any password is looked at: who has to wait is refused for right ones too, so a refusal tells nothing
   * about the password, and it is not counted.
   * @throws RegistryError TOOMANYREQUESTS with `Retry-After`.
   */
  admit(address: string, username: string): void {
    const place = placeOf(address);
    const ofUser = this.#ofUser.get(keyOf(place, username))?.until ?? 0;
    const waitMs = Math.max(ofUser, this.#ofAddress.get(place)?.until ?? 0) - this.#now();
    // Longer than any wait: the clock was set back, which must lock nobody out.
    if (waitMs <= 0 || waitMs > longestWaitMs) return;
    throw new RegistryError('TOOMANYREQUESTS', {
      message: 'too many failed logins: wait before the next',
      headers: { 'Retry-After': String(Math.ceil(waitMs / 1000)) },
    });
  }

  /** The login was refused for its name or password. One that could not be judged is no failure. */
  failed(address: string, username: string): void {
    const place = placeOf(address);
    const count = this.#count(this.#ofUser, keyOf(place, username), freeOfUser);
    // A job with an old password, which tries for ever, must not in the end make its whole office wait: what the wait of the
    // user slows down does not count for the address too, unless that is suspicious already.
    if (count <= freeOfUser || (this.#ofAddress.get(place)?.count ?? 0) > freeOfAddress) {
      this.#count(this.#ofAddress, place, freeOfAddress);
    }
  }

  /** Forgets the failures of this user, and not those of the address: else one account of one's own would allow endless guesses. */
  succeeded(address: string, username: string): void {
    this.#ofUser.delete(keyOf(placeOf(address), username));
  }

  #count(failures: LRUCache<string, Failures>, key: string, free: number): number {
    const count = (failures.get(key)?.count ?? 0) + 1;
    const waitMs = Math.min(firstWaitMs * 2 ** (count - free - 1), longestWaitMs);
    failures.set(key, { count, until: count <= free ? 0 : this.#now() + waitMs });
    return count;
  }
}

/** What counts as one address. */
function placeOf(address: string): string {
  return customerOf(normalizeAddress(address));
}

/** Hashed: a name may be as long as a header. */
function keyOf(place: string, username: string): string {
  return createHash('sha256').update(`${place}\0${username}`).digest('base64url');
}
