import { LRUCache } from 'lru-cache';
import { anonymous } from '../../util/anonymous.js';
import type { Principal } from '../../ports/access.js';
import { RegistryError } from '../../protocol/errors.js';
import { customerOf } from '../../util/addresses.js';

export interface RateLimits {
  /** Of one address; of IPv6, of one /64. Absent: no limit. */
  readonly maxRequestsPerMinutePerClient?: number | undefined;
  /** Of whoever is logged in. Absent: no limit. */
  readonly maxRequestsPerMinutePerPrincipal?: number | undefined;
}

/** How many are remembered. What is forgotten had made no request for longest, and begins anew. */
const maxRemembered = 100_000;
const minuteMs = 60_000;

/** Refuses those that ask too often. A minute's worth may come at once, and then as fast as the minutes go by. */
export class RateLimiter {
  readonly #clients: Allowance | undefined;
  readonly #principals: Allowance | undefined;

  /** @param now in ms, by any clock. */
  constructor({ maxRequestsPerMinutePerClient, maxRequestsPerMinutePerPrincipal }: RateLimits, now: () => number) {
    this.#clients = allow(maxRequestsPerMinutePerClient, now);
    this.#principals = allow(maxRequestsPerMinutePerPrincipal, now);
  }

  /** @throws RegistryError TOOMANYREQUESTS with `Retry-After`. */
  admitClient(address: string): void {
    this.#clients?.take(customerOf(address));
  }

  /** Whoever did not log in is limited by the address alone. @throws as `admitClient`. */
  admitPrincipal({ id }: Pick<Principal, 'id'>): void {
    // With a token for nobody, or an empty password, it is nobody still.
    if (id !== anonymous.id) this.#principals?.take(id);
  }
}

function allow(requestsPerMinute: number | undefined, now: () => number): Allowance | undefined {
  return requestsPerMinute === undefined ? undefined : new Allowance(requestsPerMinute, now);
}

/** What a bucket held after it was last taken from. */
interface Bucket {
  readonly tokens: number;
  readonly at: number;
}

/** Token buckets, which hold a minute's worth. */
class Allowance {
  readonly #buckets = new LRUCache<string, Bucket>({ max: maxRemembered });
  readonly #perMinute: number;
  readonly #now: () => number;

  constructor(perMinute: number, now: () => number) {
    this.#perMinute = perMinute;
    this.#now = now;
  }

  take(key: string): void {
    const now = this.#now();
    const tokens = this.#fill(this.#buckets.get(key), now);
    if (tokens < 1) throw tooMany(((1 - tokens) * minuteMs) / this.#perMinute);
    this.#buckets.set(key, { tokens: tokens - 1, at: now });
  }

  #fill(bucket: Bucket | undefined, now: number): number {
    if (bucket === undefined) return this.#perMinute;
    // A clock that is set back locks nobody out: it brings one.
    const come = now < bucket.at ? 1 : ((now - bucket.at) * this.#perMinute) / minuteMs;
    return Math.min(this.#perMinute, bucket.tokens + come);
  }
}

function tooMany(waitMs: number): RegistryError {
  return new RegistryError('TOOMANYREQUESTS', {
    headers: { 'Retry-After': String(Math.ceil(waitMs / 1000)) },
    refusal: 'request_rate',
  });
}
