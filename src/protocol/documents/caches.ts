/** The circuit breaker of an upstream. */
export interface BreakerDocument {
  readonly state: 'closed' | 'open' | 'probing';
  readonly failures: number;
  readonly last_failure?: string;
  readonly opened_at?: string;
  /** It is open because the upstream answered 429. */
  readonly is_limited?: true;
}

/** The status of a cache, in the document of its repository. */
export interface CacheStatusDocument {
  readonly upstream: string;
  readonly breaker: BreakerDocument;
  /** The unused part of the upstream's rate limit, from 1 to 0. */
  readonly budget: number;
  readonly counted_since: string;
  readonly counters: { readonly hit: number; readonly miss: number; readonly stale: number; readonly refresh: number };
  readonly upstream_bytes: number;
  readonly used_bytes: number;
}

/** The outcome of a probe of an upstream. */
export interface ProbeDocument {
  /** The state of the circuit breaker afterwards. */
  readonly state: BreakerDocument['state'];
  /** `null`: there was no answer. */
  readonly status: number | null;
  readonly duration_ms: number;
  /** Why it does not count as an answer of a registry; `null` if it does. */
  readonly reason: string | null;
}

/** Who would answer for a reference, and why. */
export interface ExplanationDocument {
  readonly repository: string;
  readonly type: 'local' | 'remote' | 'virtual';
  readonly image: string;
  readonly answer: 'stored' | 'cached' | 'revalidate' | 'upstream' | 'absent' | 'left out';
  readonly reason: string;
  readonly digest?: string;
  readonly upstream?: string;
  readonly problem?: string;
  /** Absent: it is closed. */
  readonly breaker?: BreakerDocument;
  readonly checked_at?: string;
  readonly fresh_until?: string;
  /** The members of a virtual repository, in the order in which they are asked. */
  readonly members?: readonly ExplanationDocument[];
}
