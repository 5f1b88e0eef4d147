// Written by `npm run docs` from the schemas of the options. Change the schemas, not this file.
import type { BlobStore } from '../../ports/bytes.js';
import type { HookOptions } from '../../ports/hooks.js';
import type { MetadataStore } from '../../ports/metadata.js';
import type { Logger } from '../../ports/runtime.js';
import type { AccessOptions } from './access-options.js';
import type { RepositoryOptions } from './repository-options.js';
import type { SyncOptions } from './sync-options.js';
import type { WebhookOptions } from './webhook-options.js';

/** The options of `createRegistry`. Durations are in seconds and sizes in bytes, as their names say. */
export interface RegistryOptions {
  /**
   * The data folder. It is created when it does not exist, and one process owns it. In code also
   * `{ blobs, metadata }`: stores of your own.
   */
  readonly storage: string | { readonly blobs: BlobStore; readonly metadata: MetadataStore };
  /**
   * `'read-only'`: anyone may pull, and no one may write or administer. `'open'`: anyone may do everything; choose it
   * only where no one else can reach the registry, or where the host application guards it. An object: rules and the
   * sources of users.
   * @default 'read-only'
   */
  readonly access?: 'read-only' | 'open' | AccessOptions;
  /**
   * The repositories that exist from the start. They are fixed: the management API refuses to change them.
   * @default []
   */
  readonly repositories?: readonly RepositoryOptions[];
  /**
   * Copies images of other registries to local repositories, again and again.
   * @default []
   */
  readonly sync?: readonly SyncOptions[];
  /**
   * Sends pushes, deletes and other events to URLs, in order and at least once.
   * @default []
   */
  readonly webhooks?: readonly WebhookOptions[];
  /**
   * Repositories by host name, with or without a port: `{ 'hub.example.com': 'hub' }`.
   * @default {}
   */
  readonly hosts?: Readonly<Record<string, string>>;
  /**
   * Repositories by the namespace that a mirror client sends in `?ns=`: `{ 'docker.io': 'hub' }`. All names of Docker
   * Hub count as one.
   * @default {}
   */
  readonly namespaces?: Readonly<Record<string, string>>;
  /**
   * The repository for names whose first component is not a repository, as Docker's `registry-mirrors` send them.
   * @default none: such names are unknown
   */
  readonly defaultRepository?: string;
  /**
   * A path before `/v2`, such as `/registry`. Docker and most other clients require `/v2` at the root of the host.
   * @default ''
   */
  readonly prefix?: string;
  /**
   * The URL at which clients reach the registry, used in authentication challenges: `https://registry.example`.
   * @default from each request
   */
  readonly publicUrl?: string;
  /**
   * Addresses and networks of the proxies in front: `['127.0.0.1', '10.0.0.0/8']`, and `unix:` for proxies that
   * connect to a Unix socket. The registry believes `X-Forwarded-For`, `-Proto` and `-Host` from these only.
   * @default []
   */
  readonly trustedProxies?: readonly string[];
  /**
   * Lets the proxy in front send blobs: `'x-accel'` for nginx with the configuration in `adapters/nginx/`,
   * `'x-sendfile'` for Apache and others. Requires `trustedProxies`.
   * @default the registry sends them
   */
  readonly sendfile?: 'x-accel' | 'x-sendfile';
  /**
   * Limits on the total size of images in local repositories, besides `maxBytes` of each:
   * `[{ names: '*\/team/**', maxBytes: 5e10 }]`. A push that exceeds one gets 403.
   * @default []
   */
  readonly quotas?: readonly QuotaOptions[];
  /** Limits on what a client may do. */
  readonly limits?: LimitOptions;
  /** Timing of the garbage collector. */
  readonly garbageCollection?: GarbageCollectionOptions;
  /** Backups of the running registry. */
  readonly backups?: BackupOptions;
  /**
   * Disk space of the data folder that uploads never use, so that deletes, garbage collection and a start work on a
   * full disk. At most a tenth of the file system. `0`: none.
   * @default 67108864
   */
  readonly reserveBytes?: number;
  /**
   * Starts with an empty index when the index is lost or damaged, and moves what is left of it aside. Without it such
   * a start is refused. Set it for one start only.
   * @default false
   */
  readonly acceptEmptyIndex?: boolean;
  /**
   * Counts for [Prometheus](monitoring.md): `GET /api/v1/metrics` and `registry.metrics()`. `artifactapi serve` has
   * it on unless the file turns it off.
   * @default false
   */
  readonly metrics?: boolean;
  /**
   * Records who changed what in a file of JSON lines.
   * @default no audit file
   */
  readonly audit?: AuditOptions;
  /**
   * Deletes old tags and untagged manifests by policies.
   * @default nothing is deleted
   */
  readonly retention?: RetentionOptions;
  /**
   * In code only: functions that decide about pulls, pushes, moves of tags and deletes,
   * `{ beforePull, beforeManifestPut, beforeTagMove, beforeDelete, timeoutSeconds }`; see [Hooks](hooks.md). A reload
   * without `hooks` keeps them.
   * @default none
   */
  readonly hooks?: HookOptions;
  /**
   * Memory for the most requested manifests. `0`: none.
   * @default 67108864
   */
  readonly maxManifestCacheBytes?: number;
  /**
   * In code only: an object with the methods `debug`, `info`, `warn` and `error`, each called with
   * `(fields, message)` as in pino.
   * @default errors and warnings on stderr
   */
  readonly logger?: Logger;
}

/** Deletes old tags and untagged manifests by policies. */
export interface RetentionOptions {
  /**
   * How often the policies are carried out. The first run of changed policies waits for a confirmation.
   * @default 86400
   */
  readonly everySeconds?: number;
  /** The policies, in order. */
  readonly policies: readonly RetentionPolicyOptions[];
}

/** What to keep of the images that match. */
export interface RetentionPolicyOptions {
  /** Patterns of `repository/image`. The first policy that matches an image applies. */
  readonly names: readonly string[];
  /**
   * A tag that any of these lines keeps stays; all others are deleted.
   * @default all tags stay
   */
  readonly keep?: readonly RetentionKeepOptions[];
  /**
   * Deletes manifests that no tag and no index names and that are not referrers of a manifest that stays.
   * @default they stay
   */
  readonly untagged?: RetentionUntaggedOptions;
  /**
   * A run that would delete a larger share of the tags of an image waits for a confirmation of them.
   * @default 0.5
   */
  readonly maxShare?: number;
}

/** Deletes manifests that no tag and no index names and that are not referrers of a manifest that stays. */
export interface RetentionUntaggedOptions {
  /** How long a manifest stays after it was pushed, pulled or lost its last tag. */
  readonly keepSeconds: number;
}

/** Tags that stay. */
export interface RetentionKeepOptions {
  /** Patterns of tags: `*` matches any characters. */
  readonly tags: readonly string[];
  /**
   * Only this many of the matching tags: those that were pushed last.
   * @default all
   */
  readonly newest?: number;
  /**
   * Only tags that were pushed or pulled within this time.
   * @default all
   */
  readonly usedWithinSeconds?: number;
}

/** Records who changed what in a file of JSON lines. */
export interface AuditOptions {
  /**
   * The path of the file. A relative one is relative to the folder of the config file, in code to the working
   * directory. The folder is created if it does not exist. Not shared with another registry.
   */
  readonly file: string;
  /**
   * How many days rotated files are kept.
   * @default 365
   */
  readonly keepDays?: number;
  /**
   * The size at which the file is rotated. It is also rotated each day, at midnight UTC.
   * @default 104857600
   */
  readonly maxBytes?: number;
  /**
   * What is recorded. `change`: each change of images, tags, repositories, access control and jobs. `login`: logins
   * and refused ones. `denied`: requests that the rules refused.
   * @default ["change","login","denied"]
   */
  readonly events?: readonly ('change' | 'login' | 'denied')[];
}

/** Backups of the running registry. */
export interface BackupOptions {
  /**
   * The folder below which the management API may write backups: outside of the data folder, and on another disk if
   * possible. A relative path is relative to the folder of the config file, in code to the working directory.
   * @default none: backups are taken by the command only
   */
  readonly folder?: string;
}

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
