/** Another registry: `Upstream` asks it, and `Forward` describes an exchange that is passed on to it as it is. */
import type { LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import type { Digest } from '../protocol/digest.js';
import type { Reference, Tag } from '../protocol/names.js';
import type { UpstreamReason } from '../protocol/upstream/verdict.js';
import type { ManifestContent, ManifestInfo, Referrer } from './images.js';

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
  /** Returns the headers to add to an exchange that is passed on: credentials for this image, and `via`. */
  authorize(
    image: string,
    trail: readonly string[],
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

/** How connections on behalf of one configured URL are made. */
export interface Outgoing {
  readonly targets: TargetPolicy;
  /** PEM certificates that are trusted in addition to the well-known ones. */
  readonly ca?: string | readonly string[] | undefined;
  /** Returns the outgoing proxy for a URL; `undefined` for a direct connection. */
  readonly findProxy: (url: URL) => string | undefined;
  readonly connectTimeoutMs: number;
  /** For the head of an answer, and between any two parts of its body. */
  readonly responseTimeoutMs: number;
}

/** An exchange of a pass-through: how it reaches the upstream, and how the client reaches the URLs in the answer. */
export interface Forward extends Outgoing {
  /** Where the request goes, with its query. */
  readonly url: URL;
  /** Headers to add: the upstream's credentials, and `via` with the trail. Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Returns new headers after the upstream has refused these; `undefined` when there are none. */
  renew(): Promise<Readonly<Record<string, string>> | undefined>;
  /** Returns the path and query by which the client reaches a URL of the upstream; `undefined` for other images. */
  mapBack(url: URL): string | undefined;
  readonly redirects: 'follow' | 'pass';
}
