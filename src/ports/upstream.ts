/** The client of another registry: `Upstream` sends requests, `Forward` describes a request that is forwarded to it. */
import type { LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import type { Digest } from '../protocol/digest.js';
import type { Reference, Tag } from '../protocol/names.js';
import type { AnswerHeaders } from '../protocol/upstream/answer-headers.js';
import type { Hop, RequestUrl } from '../protocol/upstream/redirects.js';
import type { UpstreamReason } from '../protocol/upstream/verdict.js';
import type { ManifestContent, Referrer } from './metadata/images.js';

/**
 * The result of a request to an upstream. `absent`: 404, 410 or 451. `denied`: 401 or 403 after the realm issued a token
 * for this scope, or refused an anonymous one. `failed`: everything else, such as refused credentials, a bare 401 or 403,
 * 429, 5xx, a loop, a timeout, a refused connection or wrong content: the answer could not be determined.
 */
export type UpstreamResult<T> =
  | { readonly type: 'found'; readonly value: T }
  | {
      readonly type: 'absent';
      /** Set when the upstream gave another reason than 404. */
      readonly reason?: UpstreamReason;
    }
  | { readonly type: 'denied'; readonly reason: UpstreamReason }
  | { readonly type: 'failed'; readonly reason: UpstreamReason };

/** Credentials that an upstream refused. */
export interface RefusedCredentials {
  readonly reason: string;
  readonly sinceAt: number;
}

/** A blob, or the rest of it from an offset on. */
export interface UpstreamBlob {
  /** The size of the whole blob, if the upstream reports it. */
  readonly size?: number;
  /** The offset of `body`: the requested one, or 0 when the upstream ignores ranges. */
  readonly offset: number;
  /** The caller must read or destroy it. Emits an error when it ends before the announced length. */
  readonly body: Readable;
}

/** An answer whose body was not read yet. */
export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: AnswerHeaders;
  /** Must be consumed, destroyed or given to `discard`. An 'error' without a listener is ignored. */
  readonly body: Readable;
  /** The request that it answers. */
  readonly hop: Hop;
}

/**
 * Sends a request with these credentials: from its beginning, or again from the request that a redirect led to. Follows
 * redirects.
 */
export type SendAttempt<A extends UpstreamAnswer> = (credentials: Hop['credentials'], from?: Hop) => Promise<A>;

/** Like `SendAttempt`, with the method: a client's HEAD is sent as GET to an upstream that does not support HEAD. */
export type ForwardAttempt<A extends UpstreamAnswer> = (
  method: Hop['method'],
  ...attempt: Parameters<SendAttempt<A>>
) => Promise<A>;

/** The content that a forwarded request asks for. */
export interface ForwardedRequest {
  readonly image: string;
  readonly kind: 'manifest' | 'blob' | 'list';
  readonly method: Hop['method'];
}

/** The outcome of a request that only finds out whether a registry answers. */
export interface ProbeResult {
  /** The state of the circuit breaker afterwards. */
  readonly state: Upstream['breaker']['state'];
  /** Absent: there was no answer. */
  readonly status?: number;
  readonly durationMs: number;
  /** Why it does not count as an answer of a registry. */
  readonly reason?: string;
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
  /**
   * Sends HEAD; GET when the upstream does not answer HEAD with 200, and then returns the whole manifest. Omits fields that
   * the upstream does not report.
   */
  statManifest(
    image: string,
    reference: Reference,
    trail: readonly string[],
  ): Promise<UpstreamResult<Partial<ManifestContent>>>;
  /** Sends GET and reads at most 4 MiB. Verifies the requested digest, else the one that the upstream reports. */
  getManifest(image: string, reference: Reference, trail: readonly string[]): Promise<UpstreamResult<ManifestContent>>;
  /** Sends HEAD; GET, whose body is discarded, when the upstream does not answer HEAD with 200. */
  statBlob(
    image: string,
    digest: Digest,
    trail: readonly string[],
  ): Promise<UpstreamResult<{ readonly size?: number }>>;
  /** Gets the blob from a byte offset on, with `Range` unless the offset is 0. */
  getBlob(
    image: string,
    digest: Digest,
    offset: number,
    trail: readonly string[],
  ): Promise<UpstreamResult<UpstreamBlob>>;
  /** Lists the tags of all pages, following `Link`, in byte order and without duplicates. */
  listTags(image: string, trail: readonly string[]): Promise<UpstreamResult<readonly Tag[]>>;
  /**
   * Lists the images of all pages (`_catalog`), in byte order and without duplicates. Many registries refuse it.
   */
  listImages(trail: readonly string[]): Promise<UpstreamResult<readonly string[]>>;
  /**
   * Lists the referrers of all pages, in byte order of the digest. Reads the fallback tag `sha256-<hex>` when the upstream
   * does not have a referrers API (404).
   */
  listReferrers(image: string, subject: Digest, trail: readonly string[]): Promise<UpstreamResult<readonly Referrer[]>>;
  /**
   * Carries out a forwarded request: calls `send` with credentials for this image, again with others after a refusal, and
   * reports the outcome to the circuit breaker. `found` is any answer but a refusal. Rejects when `send` rejects for another
   * reason than the upstream's behavior.
   */
  exchange<A extends UpstreamAnswer>(
    request: ForwardedRequest,
    trail: readonly string[],
    send: ForwardAttempt<A>,
  ): Promise<UpstreamResult<A>>;
  /** Returns whether a registry answers at the URL: otherwise a 404 without the error of a registry means nothing. */
  checkRegistry(): Promise<UpstreamResult<true>>;
  /**
   * Asks `/v2/` without credentials, even while the circuit breaker is open. An answer of a registry closes it, unless it is
   * open because of a rate limit.
   */
  probe(): Promise<ProbeResult>;
  /** Returns the `Via` header for a request with this trail. */
  via(trail: readonly string[]): string;
  /** The unused part of the upstream's rate limit, from 1 (all, or unknown) to 0. */
  readonly budget: number;
  /** The state of the circuit breaker, and the number of failures in a row. */
  readonly breaker: {
    readonly state: 'closed' | 'open' | 'probing';
    readonly failures: number;
    readonly lastFailure?: string;
    /** When it opened. */
    readonly openedAt?: number;
    /** Set while it is open because the upstream answered 429. */
    readonly isLimited?: true;
  };
  /** Set from when the upstream refused the credentials as a whole until it accepts them. Forgotten when they change. */
  readonly refusedCredentials: RefusedCredentials | undefined;
  /** Returns why the credentials are not sent for an image: the upstream refused them within the last minute. */
  refusalFor(image: string): string | undefined;
  /** Closes the connections. */
  close(): Promise<void>;
}

/** Decides which hosts may be contacted on behalf of one configured URL. */
export interface TargetPolicy {
  /** Identifies the policy. Policies with the same key may share connections. */
  readonly key: string;
  /** Checks the URL of a request. @throws Error when the host is a private address or a name of this machine. */
  check(url: RequestUrl): void;
  /** The lookup for sockets. Fails when the name resolves to a private address. */
  readonly lookup: LookupFunction;
}

/** The settings of connections on behalf of one configured URL. */
export interface Outgoing {
  readonly targets: TargetPolicy;
  /** PEM certificates of authorities to trust in addition to the default ones. */
  readonly ca?: string | readonly string[] | undefined;
  /** Returns the outgoing proxy for a URL; `undefined` for a direct connection. */
  readonly findProxy: (url: RequestUrl) => string | undefined;
  readonly connectTimeoutMs: number;
  /** The time limit for the headers of an answer, and between two chunks of its body. */
  readonly responseTimeoutMs: number;
}

/** A forwarded request: how it reaches the upstream, and how the client reaches the URLs in the answer. */
export interface Forward {
  /** The same object for each request of a repository. */
  readonly outgoing: Outgoing;
  /** The URL of the request, with its query. */
  readonly url: RequestUrl;
  /** Headers to add: `via` with the trail. Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * Returns the answer to the request, which `send` sends as often as authentication needs.
   * @throws RegistryError when the upstream refuses access or fails.
   */
  exchange<A extends UpstreamAnswer>(method: Hop['method'], send: ForwardAttempt<A>): Promise<A>;
  /** Checks a 404 without the error of a registry. @throws RegistryError when no registry answers there now. */
  confirmAbsence(): Promise<void>;
  /** Returns the path and query by which the client reaches a URL of the upstream; `undefined` for other images. */
  mapBack(url: URL): string | undefined;
  /** Whether to follow redirects or to pass them to the client. */
  readonly redirects: 'follow' | 'pass';
}
