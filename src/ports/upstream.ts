/** The client of another registry: `Upstream` asks it, `Forward` describes an exchange that is passed on to it. */
import type { LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import type { Digest } from '../protocol/digest.js';
import type { Reference, Tag } from '../protocol/names.js';
import type { UpstreamReason } from '../protocol/upstream/verdict.js';
import type { ManifestContent, ManifestInfo, Referrer } from './images.js';

/**
 * `absent`: 404. `denied`: 401 or 403 after the realm issued a token for this scope, or refused an anonymous one.
 * `failed`: everything else, such as refused credentials, a bare 401 or 403, 429, 5xx, a loop, a timeout, a refused
 * connection or wrong content: the answer could not be determined.
 */
export type UpstreamResult<T> =
  | { readonly type: 'found'; readonly value: T }
  | { readonly type: 'absent' }
  | { readonly type: 'denied'; readonly reason: UpstreamReason }
  | { readonly type: 'failed'; readonly reason: UpstreamReason };

export interface UpstreamBlob {
  /** The size of the whole blob, if the upstream reports it. */
  readonly size?: number;
  /** The offset of `body`: the requested one, or 0 when the upstream ignores ranges. */
  readonly offset: number;
  /** The caller must consume or destroy it. Fails when it ends before the announced length. */
  readonly body: Readable;
}

/**
 * Another registry at one configured URL. Handles authentication, timeouts, the circuit breaker, redirects and one
 * retry of a request that failed before an answer. `image` is the upstream's name of the image. `trail` is the Via
 * trail of the client's request; it is sent with our own name added, for loop detection. No method rejects because of
 * the upstream's behavior.
 */
export interface Upstream {
  /** The host of the configured URL, with its port if it has one. */
  readonly host: string;
  /** Sends HEAD. Fields that the upstream does not report are absent; a GET determines them. */
  statManifest(
    image: string,
    reference: Reference,
    trail: readonly string[],
  ): Promise<UpstreamResult<Partial<ManifestInfo>>>;
  /** Sends GET and reads at most 4 MiB. Verifies the requested digest, else the one that the upstream reports. */
  getManifest(image: string, reference: Reference, trail: readonly string[]): Promise<UpstreamResult<ManifestContent>>;
  /** Sends HEAD; if it redirects to a URL that is signed for GET only, sends GET and drops the body. */
  statBlob(
    image: string,
    digest: Digest,
    trail: readonly string[],
  ): Promise<UpstreamResult<{ readonly size?: number }>>;
  /** Gets the blob from an offset on, by `Range` unless it is 0. */
  getBlob(
    image: string,
    digest: Digest,
    offset: number,
    trail: readonly string[],
  ): Promise<UpstreamResult<UpstreamBlob>>;
  /** Lists the tags of all pages, following `Link`, in byte order and without duplicates. */
  listTags(image: string, trail: readonly string[]): Promise<UpstreamResult<readonly Tag[]>>;
  /**
   * Lists the referrers of all pages, in byte order of the digest. Uses the fallback tag `sha256-<hex>` without a
   * referrers API (404).
   */
  listReferrers(image: string, subject: Digest, trail: readonly string[]): Promise<UpstreamResult<readonly Referrer[]>>;
  /** Returns the headers to add to an exchange that is passed on: credentials for this image, and `via`. */
  authorize(
    image: string,
    trail: readonly string[],
    options?: { readonly renew?: boolean },
  ): Promise<UpstreamResult<Readonly<Record<string, string>>>>;
  /** The unused part of the upstream's rate limit, from 1 (all, or unknown) to 0. */
  readonly budget: number;
  readonly breaker: {
    readonly state: 'closed' | 'open' | 'probing';
    readonly failures: number;
    readonly lastFailure?: string;
  };
  close(): Promise<void>;
}

/** Decides which hosts may be contacted on behalf of one configured URL. */
export interface TargetPolicy {
  /** Equal for equal policies, which may share connections. */
  readonly key: string;
  /** Call it before each request. @throws Error when the host is a private address or a name of this machine. */
  check(url: URL): void;
  /** The lookup for sockets. Fails when the name resolves to a private address. */
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
