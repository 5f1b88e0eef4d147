/**
 * Documents of the management API about requests and figures over time, in the spelling of the wire. Times are in RFC 3339
 * format.
 */

/** The figures of one period. */
export interface StatisticsPoint {
  /** When the period began. */
  readonly at: string;
  /** At the end of the period; `null` where it is unknown. */
  readonly bytes?: number | null;
  readonly images?: number | null;
  readonly pulls?: number;
  readonly pushes?: number;
  readonly hit?: number;
  readonly miss?: number;
  readonly stale?: number;
  readonly upstream_bytes?: number;
}

/** The figures of the registry over time. */
export interface StatisticsDocument {
  readonly step_seconds: number;
  /** The sums over the repositories, oldest first. Periods in which the registry did not run are left out. */
  readonly points: readonly StatisticsPoint[];
  /** With `split=true`. */
  readonly repositories?: readonly { readonly name: string; readonly points: readonly StatisticsPoint[] }[];
}

/** A request that was answered. */
export interface RequestDocument {
  readonly seq: number;
  readonly at: string;
  readonly id: string;
  readonly op: string;
  readonly method: string;
  readonly url: string;
  readonly status: number;
  readonly duration_ms: number;
  readonly bytes_received: number;
  readonly bytes_sent: number;
  readonly user_agent?: string;
  readonly principal: string;
  readonly remote_address: string;
  readonly client_address: string;
  readonly error_code?: string;
  readonly cache?: 'hit' | 'miss' | 'stale';
  readonly served_by?: string;
}

/** The latest requests, oldest first. `cursor` is the `after` of the next request. */
export interface RequestsDocument {
  readonly requests: readonly RequestDocument[];
  readonly cursor: string;
}
