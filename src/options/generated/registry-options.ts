// Written by `npm run docs` from the schemas of the options. Change the schemas, not this file.
import type { HookOptions } from '../../ports/hooks.js';
import type { Logger } from '../../ports/runtime.js';
import type { AccessOptions } from './access-options.js';
import type { GarbageCollectionOptions, LimitOptions, QuotaOptions } from './limit-options.js';
import type { RepositoryOptions } from './repository-options.js';
import type { StorageOptions } from './storage-options.js';
import type { SyncOptions } from './sync-options.js';
import type { WebhookOptions } from './webhook-options.js';

/** The options of `createRegistry`. Durations are in seconds and sizes in bytes, as their names say. */
export interface RegistryOptions {
  /**
   * The data folder. It is created when it does not exist, and one process owns it.
   * `{ metadata: { level }, blobs: { s3 } }`: the index in a folder and the blobs in a bucket.
   * `{ metadata: { postgres }, blobs: { s3 } }`: the index in a database, for several processes. In code also
   * `{ blobs, metadata }`: stores of your own.
   */
  readonly storage: StorageOptions;
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
   * Copies images from other registries to local repositories, on a schedule.
   * @default []
   */
  readonly sync?: readonly SyncOptions[];
  /**
   * Reports pushes, deletes and other events to URLs, in order and at least once.
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
   * connect to a Unix socket. The registry trusts `X-Forwarded-For`, `-Proto` and `-Host` from these only.
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
  /** Imports of folders of other registries by the running registry. */
  readonly imports?: ImportOptions;
  /**
   * Disk space of the data folder that uploads never use, so that deletes, garbage collection and a start work on a
   * full disk. At most a tenth of the file system. `0`: none.
   * @default 67108864
   */
  readonly reserveBytes?: number;
  /**
   * Starts with an empty index when the index is lost or damaged, and moves the remains of the old index aside.
   * Without this option, the registry refuses to start. Set it for one start only.
   * @default false
   */
  readonly acceptEmptyIndex?: boolean;
  /**
   * Collects metrics for [Prometheus](monitoring.md): `GET /api/v1/metrics` and `registry.metrics()`.
   * `artifactapi serve` collects them unless the configuration file turns them off.
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
   * Memory for the most requested manifests and blobs of at most 64 KiB, such as the configurations of images. `0`:
   * none.
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

/** What to keep in the images that match. */
export interface RetentionPolicyOptions {
  /** Patterns of `repository/image`. The first policy that matches an image applies. */
  readonly names: readonly string[];
  /**
   * A tag is kept if any of these settings keeps it. All other tags are deleted.
   * @default all tags stay
   */
  readonly keep?: readonly RetentionKeepOptions[];
  /**
   * Deletes manifests that no tag or index names and that are not referrers of a manifest that is kept.
   * @default they stay
   */
  readonly untagged?: RetentionUntaggedOptions;
  /**
   * A run that would delete a larger share of the tags of an image waits for a confirmation.
   * @default 0.5
   */
  readonly maxShare?: number;
}

/** Deletes manifests that no tag or index names and that are not referrers of a manifest that is kept. */
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
   * directory. The folder is created if it does not exist. Do not share it with another registry.
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
   * The events to record. `change`: each change of images, tags, repositories, access control and jobs. `login`:
   * logins, and refused logins. `denied`: requests that the rules refused.
   * @default ["change","login","denied"]
   */
  readonly events?: readonly ('change' | 'login' | 'denied')[];
}

/** Imports of folders of other registries by the running registry. */
export interface ImportOptions {
  /**
   * The folders that administrators may import through the management API, and everything in them: data folders of
   * other registries, outside of the data folder of this registry. Symbolic links that point outside of them are not
   * followed. A relative path is relative to the folder of the config file, in code to the working directory.
   * @default []
   */
  readonly folders?: readonly string[];
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
