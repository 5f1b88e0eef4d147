import { createHash } from 'node:crypto';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { FailureMeter, LoginFailures } from '../../ports/metadata/shared-index.js';
import { RegistryError } from '../../protocol/errors.js';
import { customerOf, normalizeAddress } from '../../util/addresses.js';

/** How long a login waits after too many failures. */
const waitMs = 2000;
/** Different wrong passwords for one user from one address. A team's tests and old scripts stay below this. */
const userLimits = { burst: 20, decayMs: 30_000, maxWaiting: 4 };
/** Failures of all users at one address, such as an office or a CI system behind one NAT. */
const addressLimits = { burst: 200, decayMs: 1000, maxWaiting: 32 };
/** For users and for addresses: a few megabytes in total. */
const maxEntries = 10_000;

/** The clock and the timer of a `LoginThrottle`. */
export interface LoginThrottleOptions {
  readonly now: () => number;
  readonly sleep?: ((ms: number) => Promise<unknown>) | undefined;
  /** The failures that all processes of the registry count together. Absent: there is only this process. */
  readonly shared?: LoginFailures | undefined;
}

/** Returns the addresses that are counted as one: an IPv4 address, or a /64 of IPv6. */
export function placeOf(address: string): string {
  return customerOf(normalizeAddress(address));
}

/**
 * Slows down guessing of passwords and floods of refused logins with OIDC providers. Counts failures per user and address,
 * and per address over all users. It never counts per user over all addresses, so no one can lock out a user who logs in
 * from elsewhere. After a burst of failures a login waits 2 seconds, and only a few may wait at the same time, which bounds
 * the rate of guesses (docs/security.md).
 */
export class LoginThrottle {
  readonly #sleep: (ms: number) => Promise<unknown>;
  readonly #users: Meter;
  readonly #addresses: Meter;
  readonly #shared: LoginFailures | undefined;

  constructor({ now, sleep = sleepFor, shared }: LoginThrottleOptions) {
    this.#sleep = sleep;
    this.#shared = shared;
    this.#users = new Meter(userLimits, now);
    this.#addresses = new Meter(addressLimits, now);
  }

  /**
   * Counts a login before it is verified, so that parallel guesses gain nothing, and waits if there were too many. Returns a
   * function that removes the login from the count: call it if the login is right or could not be verified. Call `fail` if it
   * is wrong.
   * @param username the user, or all users of an OIDC provider.
   * @throws RegistryError TOOMANYREQUESTS with `Retry-After` if too many logins wait already. This login is not counted.
   */
  async admit(place: string, username: string): Promise<() => void> {
    const user = userKey(place, username);
    const counted = [this.#users.count(user), this.#addresses.count(place)];
    const uncount = (): void => counted.forEach((undo) => undo?.());
    if (!counted.includes(undefined) && !(await this.#isOverTogether(user, place, uncount))) return uncount;
    if (this.#users.isFull(user) || this.#addresses.isFull(place)) {
      uncount();
      throw new RegistryError('TOOMANYREQUESTS', {
        message: 'too many failed logins: wait before you try again',
        headers: { 'Retry-After': String(waitMs / 1000) },
      });
    }
    const leave = [this.#users.enter(user), this.#addresses.enter(place)];
    try {
      await this.#sleep(waitMs);
    } finally {
      for (const end of leave) end();
    }
    return uncount;
  }

  /** Counts a wrong login for the other processes of the registry. Call it before the answer. */
  async fail(place: string, username: string): Promise<void> {
    await this.#shared?.add(metersOf(userKey(place, username), place));
  }

  /** Returns whether all processes together counted too many failures. Removes the login from the count if it rejects. */
  async #isOverTogether(user: string, place: string, uncount: () => void): Promise<boolean> {
    if (this.#shared === undefined) return false;
    const meters = metersOf(user, place);
    try {
      const counts = await this.#shared.read(meters);
      return meters.some(({ max }, i) => (counts[i] ?? 0) + 1 > max);
    } catch (error) {
      uncount();
      throw error;
    }
  }
}

/** Hashes a user, because a name may be as long as a header. */
function userKey(place: string, username: string): string {
  return createHash('sha256').update(`${place}\0${username}`).digest('base64url');
}

function metersOf(user: string, place: string): readonly FailureMeter[] {
  return [
    { key: `user ${user}`, decayMs: userLimits.decayMs, max: userLimits.burst },
    { key: `address ${place}`, decayMs: addressLimits.decayMs, max: addressLimits.burst },
  ];
}

/** Counts failures, which decay with time, and the logins that wait. */
class Meter {
  readonly #limits: typeof userLimits;
  readonly #now: () => number;
  readonly #counts = new LRUCache<string, { readonly count: number; readonly at: number }>({
    maxSize: maxEntries,
    sizeCalculation: () => 1,
  });
  readonly #waiting = new Map<string, number>();

  constructor(limits: typeof userLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Counts a login and returns a function that undoes this. Returns `undefined`, without counting, if the burst is used up. */
  count(key: string): (() => void) | undefined {
    const now = this.#now();
    const { count, at } = this.#counts.get(key) ?? { count: 0, at: now };
    // A clock that was set back must not raise the count.
    const left = Math.max(0, count - Math.max(0, now - at) / this.#limits.decayMs);
    const isOver = left + 1 > this.#limits.burst;
    this.#counts.set(key, { count: isOver ? left : left + 1, at: now });
    return isOver ? undefined : () => this.#uncount(key);
  }

  isFull(key: string): boolean {
    return (this.#waiting.get(key) ?? 0) >= this.#limits.maxWaiting;
  }

  /** Counts a waiting login. Returns a function that ends the wait. */
  enter(key: string): () => void {
    this.#waiting.set(key, (this.#waiting.get(key) ?? 0) + 1);
    return () => {
      const left = (this.#waiting.get(key) ?? 1) - 1;
      if (left === 0) this.#waiting.delete(key);
      else this.#waiting.set(key, left);
    };
  }

  #uncount(key: string): void {
    const found = this.#counts.get(key);
    if (found !== undefined) this.#counts.set(key, { count: Math.max(0, found.count - 1), at: found.at });
  }
}
