/** Another registry: `Upstream` asks it, and `Forward` describes an exchange that is passed on to it as it is. */
import type { LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import type { Digest } from '../protocol/digest.js';
import type { Reference, Tag } from '../protocol/names.js';
import type { ManifestContent, ManifestInfo, Referrer } from './images.js';

/** Why another registry gave no answer, for people and logs: never its own challenge, never a secret. */
export interface UpstreamReason {
  /** The host of the configured URL. */
  readonly upstream: string;
  readonly reason: string;
  /** The upstream's status, where it gave one. */
  readonly status?: number;
  /** What the upstream asked us to wait, where it did. */
  readonly retryAfterSeconds?: number;
  /** Its answer came and cannot be used, so asking again soon would cost as much and give the same. */
  readonly isLasting?: true;
}

/**
 * One of four. `absent`: 404. `denied`: 401 or 403 after its realm gave a token for this very scope, or refused an anonymous
 * one. `failed`: all else (our credentials refused, a bare 401 or 403, 429, 5xx, a loop, timeouts, refused connections,
 * content that does not match): it could not tell.
 */
export type UpstreamResult<T> =
  | { readonly type: 'found'; readonly value: T }
  | { readonly type: 'absent' }
  | { readonly type: 'denied'; readonly reason: UpstreamReason }
  | { readonly type: 'failed'; readonly reason: UpstreamReason };

export interface UpstreamBlob {
  /** The size of the whole blob; absent when the upstream does not say. */
  readonly size?: number;
  /** Where `body` begins: the offset that was asked for, or 0 when the upstream ignores ranges. */
  readonly offset: number;
  /** The caller's to consume or destroy; it errors when it is cut short of the announced length. */
  readonly body: Readable;
}

/**
 * One other registry, under one configured URL; authentication, timeouts, the breaker, redirects and one retry of what broke
 * before an answer are inside. `image` is named as the upstream has it. `trail` is the Via trail of the request that asks
 * (loop detection): it is sent on, with our own name added. No method rejects for what an upstream did.
 */
export interface Upstream {
  /** The host of the configured URL, with its port if it has one. */
  readonly host: string;
  /** HEAD. What the upstream does not say is absent: a GET finds it out. */
  statManifest(
    image: string,
    reference: Reference,
    trail: readonly string[],
  ): Promise<UpstreamResult<Partial<ManifestInfo>>>;
  /** GET, of 4 MiB at most; verified against the digest that was asked for, else the one that the upstream claims. */
  getManifest(image: string, reference: Reference, trail: readonly string[]): Promise<UpstreamResult<ManifestContent>>;
  /** HEAD; where that leads to a URL signed for GET, a GET whose body is dropped. */
  statBlob(
    image: string,
    digest: Digest,
    trail: readonly string[],
  ): Promise<UpstreamResult<{ readonly size?: number }>>;
  /** From an offset on, by `Range`, when it is not 0. */
  getBlob(
    image: string,
    digest: Digest,
    offset: number,
    trail: readonly string[],
  ): Promise<UpstreamResult<UpstreamBlob>>;
  /** All pages, following `Link`; in byte order, each tag once. */
  listTags(image: string, trail: readonly string[]): Promise<UpstreamResult<readonly Tag[]>>;
  /** All pages, in byte order of the digest; where the upstream has no referrers API (404), what the fallback tag `sha256-<hex>` holds. */
  listReferrers(image: string, subject: Digest, trail: readonly string[]): Promise<UpstreamResult<readonly Referrer[]>>;
  /** How an exchange that is passed on as it is reaches the upstream: headers to add (credentials for this image, Via). */
  authorize(
    image: string,
    options?: { readonly renew?: boolean },
  ): Promise<UpstreamResult<Readonly<Record<string, string>>>>;
  /** How much of the upstream's rate limit is left, from 1 (all, or it does not say) to 0. */
  readonly budget: number;
  readonly breaker: {
    readonly state: 'closed' | 'open' | 'probing';
    readonly failures: number;
    readonly lastFailure?: string;
  };
  close(): Promise<void>;
}

/** Which hosts connections may lead to, on behalf of one configured URL. */
export interface TargetPolicy {
  /** The same for the same policy: connections may be shared. */
  readonly key: string;
  /** To be called before each request. @throws Error when the host is a private address or a name of this machine. */
  check(url: URL): void;
  /** For sockets. Fails when the name resolves to a private address. */
  readonly lookup: LookupFunction;
}

/** An exchange of a pass-through: how it reaches the upstream, and how the client reaches what the answer names. */
export interface Forward {
  /** Where it goes, with the query. */
  readonly url: URL;
  /** To add: the upstream's credentials, Via. */
  readonly headers: Readonly<Record<string, string>>;
  /** New credentials, after the upstream has refused these; `undefined` when there are none. */
  renew(): Promise<Readonly<Record<string, string>> | undefined>;
  /** The path and query by which the client reaches what the upstream calls so; `undefined` for what is not of this image. */
  mapBack(url: URL): string | undefined;
  readonly redirects: 'follow' | 'pass';
  readonly targets: TargetPolicy;
  /** PEM. */
  readonly ca?: string;
  /** The outgoing proxy for this URL, by configuration or environment. */
  readonly proxy?: string;
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
}
