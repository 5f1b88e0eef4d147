import { z } from 'zod';

/** What a client may ask of the registry. */
export interface LimitOptions {
  /**
   * Requests of one address; of IPv6, of one /64. A minute's worth may come at once. More get 429 and `Retry-After`.
   * @default no limit
   */
  readonly maxRequestsPerMinutePerClient?: number;
  /**
   * Requests of one user.
   * @default no limit
   */
  readonly maxRequestsPerMinutePerPrincipal?: number;
  /**
   * The size of a blob that is pushed. A larger one gets 413.
   * @default no limit
   */
  readonly maxBlobBytes?: number;
  /**
   * How slowly a body may come, over a minute; a slower one gets 408. 0: as slowly as it likes.
   * @default 1024
   */
  readonly minBytesPerSecond?: number;
  /**
   * How slowly a client may read an answer, over a minute; the connection of a slower one is closed. 0: as slowly as it likes.
   * @default 1024
   */
  readonly minDownloadBytesPerSecond?: number;
  /**
   * Connections of one address to the standalone server, trusted proxies excepted; of IPv6, of one /64. More are closed. Also
   * requests of one client at a time, behind a trusted proxy too. More get 429 and `Retry-After`.
   * @default 1000
   */
  readonly maxConnectionsPerClient?: number;
}

/** The limits with every default filled in. */
export interface ResolvedLimits {
  readonly maxRequestsPerMinutePerClient?: number | undefined;
  readonly maxRequestsPerMinutePerPrincipal?: number | undefined;
  readonly maxBlobBytes?: number | undefined;
  readonly minBytesPerSecond: number;
  readonly minDownloadBytesPerSecond: number;
  readonly maxConnectionsPerClient: number;
}

const countSchema = z.number().int().min(1);

export const limitsSchema = z
  .strictObject({
    maxRequestsPerMinutePerClient: countSchema.optional(),
    maxRequestsPerMinutePerPrincipal: countSchema.optional(),
    maxBlobBytes: countSchema.optional(),
    minBytesPerSecond: z.number().min(0).max(1e9).default(1024),
    minDownloadBytesPerSecond: z.number().min(0).max(1e9).default(1024),
    maxConnectionsPerClient: countSchema.default(1000),
  })
  .prefault({});
