// Written by `npm run docs` from the schemas of the options. Change the schemas, not this file.

/** Timing of the garbage collector. */
export interface GarbageCollectionOptions {
  /**
   * How long unreferenced content is kept. Set it longer than your longest push takes.
   * @default 86400
   */
  readonly graceSeconds?: number;
  /**
   * How often the collector runs. `0`: only on request.
   * @default 3600
   */
  readonly intervalSeconds?: number;
  /**
   * How long an unfinished upload may be idle before it is deleted.
   * @default 604800
   */
  readonly uploadExpirySeconds?: number;
  /**
   * How long blobs that are not in the index stay in quarantine before they are deleted.
   * @default 2592000
   */
  readonly orphanRetentionSeconds?: number;
}

/** Limits on what a client may do. */
export interface LimitOptions {
  /**
   * Requests of one address, or of one IPv6 /64 network. A minute's worth may arrive at once. Further requests get
   * 429 with `Retry-After`.
   * @default no limit
   */
  readonly maxRequestsPerMinutePerClient?: number;
  /**
   * Requests of one user.
   * @default no limit
   */
  readonly maxRequestsPerMinutePerPrincipal?: number;
  /**
   * Size of a pushed blob. A larger one gets 413.
   * @default no limit
   */
  readonly maxBlobBytes?: number;
  /**
   * Minimum transfer rate of a request body, averaged over a minute. A slower one gets 408. `0`: no minimum.
   * @default 1024
   */
  readonly minBytesPerSecond?: number;
  /**
   * Minimum rate at which a client reads a response, averaged over a minute. The connection of a slower one is
   * closed. `0`: no minimum.
   * @default 1024
   */
  readonly minDownloadBytesPerSecond?: number;
  /**
   * Connections of one address, or of one IPv6 /64 network, to the standalone server, except trusted proxies; further
   * ones are closed. Also concurrent requests of one client, identified by the forwarded address behind a trusted
   * proxy; further ones get 429 with `Retry-After`.
   * @default 1000
   */
  readonly maxConnectionsPerClient?: number;
}

/** Limits the total size of images. */
export interface QuotaOptions {
  /**
   * One or several patterns of `repository/image`: `*` matches any characters except `/`, `**` any characters. A
   * repository's name alone matches all its images.
   */
  readonly names: string | readonly string[];
  /** The maximum size of all images in local repositories that match. */
  readonly maxBytes: number;
}
