import { createHash } from 'node:crypto';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { RegistryError } from '../../protocol/errors.js';

/** How long a login waits when there were too many failures. */
const waitMs = 2000;
/** Different wrong passwords of a user from an address. A team's tests and old scripts stay below. */
const ofUser = { burst: 20, forgetOneMs: 30_000, maxWaiting: 4 };
/** Of all users of an address: an office, or a CI system behind one NAT. */
const ofAddress = { burst: 200, forgetOneMs: 1000, maxWaiting: 32 };
/** Of users and of addresses each: a few megabytes in all. */
const maxEntries = 10_000;

export interface LoginThrottleOptions {
  readonly now: () => number;
  readonly sleep?: ((ms: number) => Promise<unknown>) | undefined;
}

/**
 * Slows down the guessing of passwords. Counts failures of a user from an address, and of an address for all users; never
 * of a user from everywhere, so that nobody can lock out a user who is elsewhere. After a burst of failures a login waits 2
 * seconds, and few may wait at once: that bounds the rate of guesses (docs/security.md).
 */
export class LoginThrottle {
  readonly #sleep: (ms: number) => Promise<unknown>;
  readonly #users: Meter;
  readonly #addresses: Meter;

  constructor({ now, sleep = sleepFor }: LoginThrottleOptions) {
    this.#sleep = sleep;
    this.#users = new Meter(ofUser, now);
    this.#addresses = new Meter(ofAddress, now);
  }

  /**
   * Counts a login before its password is looked at, so that many at once gain nothing, and waits if there were too many.
   * Returns a function that takes the login off the count: for a right password, or one that could not be judged.
   * @throws RegistryError TOOMANYREQUESTS with `Retry-After` when too many wait already; the login is not counted.
   */
  async admit(place: string, username: string): Promise<() => void> {
    // Hashed: a name may be as long as a header.
    const user = createHash('sha256').update(`${place}\0${username}`).digest('base64url');
    const counted = [this.#users.count(user), this.#addresses.count(place)];
    const takeBack = (): void => counted.forEach((undo) => undo?.());
    if (!counted.includes(undefined)) return takeBack;
    if (this.#users.isFull(user) || this.#addresses.isFull(place)) {
      takeBack();
      throw new RegistryError('TOOMANYREQUESTS', {
        message: 'too many failed logins: wait before the next',
        headers: { 'Retry-After': String(waitMs / 1000) },
      });
    }
    const leave = [this.#users.enter(user), this.#addresses.enter(place)];
    try {
      await this.#sleep(waitMs);
    } finally {
      for (const end of leave) end();
    }
    return takeBack;
  }
}

/** Counts that go down with time, and how many logins wait. */
class Meter {
  readonly #limits: typeof ofUser;
  readonly #now: () => number;
  readonly #counts = new LRUCache<string, { readonly count: number; readonly at: number }>({ max: maxEntries });
  readonly #waiting = new Map<string, number>();

  constructor(limits: typeof ofUser, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Returns what takes it back; `undefined`, without counting it, when the burst is used up. */
  count(key: string): (() => void) | undefined {
    const now = this.#now();
    const { count, at } = this.#counts.get(key) ?? { count: 0, at: now };
    // A clock that was set back makes nothing older.
    const left = Math.max(0, count - Math.max(0, now - at) / this.#limits.forgetOneMs);
    const isOver = left + 1 > this.#limits.burst;
    this.#counts.set(key, { count: isOver ? left : left + 1, at: now });
    return isOver ? undefined : () => this.#takeBack(key);
  }

  isFull(key: string): boolean {
    return (this.#waiting.get(key) ?? 0) >= this.#limits.maxWaiting;
  }

  /** Returns what ends the wait. */
  enter(key: string): () => void {
    this.#waiting.set(key, (this.#waiting.get(key) ?? 0) + 1);
    return () => {
      const left = (this.#waiting.get(key) ?? 1) - 1;
      if (left === 0) this.#waiting.delete(key);
      else this.#waiting.set(key, left);
    };
  }

  #takeBack(key: string): void {
    const found = this.#counts.get(key);
    if (found !== undefined) this.#counts.set(key, { count: Math.max(0, found.count - 1), at: found.at });
  }
}
