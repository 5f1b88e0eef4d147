/**
 * Limits per client: rates, pace of bodies, pipelining, malformed requests. Imported by http/, the composition root and
 * the command's server.
 */
import { LRUCache } from 'lru-cache';
import { anonymous } from '../../util/anonymous.js';
import type { Principal } from '../../ports/access/access.js';
import { RegistryError } from '../../protocol/errors.js';
import { customerOf } from '../../util/addresses.js';

/** Request rates per client and per logged-in user. */
export interface RateLimits {
  /** Per IPv4 address or IPv6 /64 network. Absent: no limit. */
  readonly maxRequestsPerMinutePerClient?: number | undefined;
  /** Per logged-in user. Absent: no limit. */
  readonly maxRequestsPerMinutePerPrincipal?: number | undefined;
}

/** Maximum number of token buckets. Beyond it, the least recently used one is dropped. */
const maxBuckets = 100_000;
const minuteMs = 60_000;

/**
 * Limits the request rate. A client may use a minute's worth of requests at once. `Retry-After` is the time until the bucket
 * has one request again. Other 429s come from other limits, each with its own `Retry-After`: search for `TOOMANYREQUESTS`.
 */
export class RateLimiter {
  readonly #clients: Allowance | undefined;
  readonly #principals: Allowance | undefined;

  /** @param now in ms, by any clock. */
  constructor({ maxRequestsPerMinutePerClient, maxRequestsPerMinutePerPrincipal }: RateLimits, now: () => number) {
    this.#clients = allow(maxRequestsPerMinutePerClient, now);
    this.#principals = allow(maxRequestsPerMinutePerPrincipal, now);
  }

  /** Counts a request of a client. @throws RegistryError TOOMANYREQUESTS with `Retry-After`. */
  admitClient(address: string): void {
    this.#clients?.take(customerOf(address));
  }

  /** Counts a request of a logged-in user. @throws RegistryError TOOMANYREQUESTS with `Retry-After`. */
  admitPrincipal({ id }: Pick<Principal, 'id'>): void {
    // Anonymous users are limited by address only, even with an anonymous token or empty credentials.
    if (id !== anonymous.id) this.#principals?.take(id);
  }
}

function allow(requestsPerMinute: number | undefined, now: () => number): Allowance | undefined {
  return requestsPerMinute === undefined ? undefined : new Allowance(requestsPerMinute, now);
}

/** The state of a bucket after its last request. */
interface Bucket {
  readonly tokens: number;
  readonly at: number;
}

/** Token buckets that hold a minute's worth of requests. */
class Allowance {
  readonly #buckets = new LRUCache<string, Bucket>({ maxSize: maxBuckets, sizeCalculation: () => 1 });
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
    // If the clock was set back, one token is added, so that clients are not locked out.
    const added = now < bucket.at ? 1 : ((now - bucket.at) * this.#perMinute) / minuteMs;
    return Math.min(this.#perMinute, bucket.tokens + added);
  }
}

function tooMany(waitMs: number): RegistryError {
  return new RegistryError('TOOMANYREQUESTS', {
    headers: { 'Retry-After': String(Math.ceil(waitMs / 1000)) },
    refusal: 'request_rate',
  });
}
