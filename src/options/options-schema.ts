import { z } from '../protocol/zod.js';
import type { AuditEvent } from '../ports/operations/audit.js';
import type { HookOptions } from '../ports/hooks.js';
import type { Logger } from '../ports/runtime.js';
import { isRepositoryName } from '../protocol/names.js';
import { accessSettingsSchema } from '../protocol/settings/access-settings.js';
import {
  describe,
  bytesSchema,
  chosenSchema,
  secondsSchema,
  strictOptions,
  type Immutable,
} from '../protocol/settings/option-schema.js';
import { quotaSchema } from '../protocol/settings/quota-config.js';
import { retentionSchema } from '../protocol/settings/retention-config.js';
import { repositoryConfigSchema } from '../protocol/settings/repository-config.js';
import { syncConfigSchema } from '../protocol/settings/sync-config.js';
import { webhookConfigSchema } from '../protocol/settings/webhook-config.js';
import { isProxyEntry } from '../util/addresses.js';
import { plainLogger } from '../util/plain-log.js';
import { backupsSchema, importsSchema } from './folder-schemas.js';
import { storageSchema, type ResolvedStorage } from './storage-schema.js';

const auditEvents = ['change', 'login', 'denied'] as const satisfies readonly AuditEvent[];

const accessModeSchema = z.enum(['read-only', 'open'], {
  error: "must be 'open', 'read-only', or an object with rules",
});
const accessSchema = chosenSchema<typeof accessModeSchema | typeof accessSettingsSchema>(
  [accessModeSchema, accessSettingsSchema],
  (value) => (typeof value === 'object' && value !== null ? accessSettingsSchema : accessModeSchema),
);

const countSchema = z.number().check(z.int(), z.minimum(1));

const limitsSchema = strictOptions({
  maxRequestsPerMinutePerClient: z.optional(countSchema).apply(describe, {
    description:
      "Requests of one address, or of one IPv6 /64 network. A minute's worth may arrive at once. Further requests get 429 with `Retry-After`.",
    unset: 'no limit',
  }),
  maxRequestsPerMinutePerPrincipal: z
    .optional(countSchema)
    .apply(describe, { description: 'Requests of one user.', unset: 'no limit' }),
  maxBlobBytes: z
    .optional(bytesSchema.check(z.minimum(1)))
    .apply(describe, { description: 'Size of a pushed blob. A larger one gets 413.', unset: 'no limit' }),
  minBytesPerSecond: bytesPerSecond(
    'Minimum transfer rate of a request body, averaged over a minute. A slower one gets 408. `0`: no minimum.',
  ),
  minDownloadBytesPerSecond: bytesPerSecond(
    'Minimum rate at which a client reads a response, averaged over a minute. The connection of a slower one is closed. `0`: no minimum.',
  ),
  maxConnectionsPerClient: z._default(countSchema, 1000).apply(describe, {
    description:
      'Connections of one address, or of one IPv6 /64 network, to the standalone server, except trusted proxies; further ones are closed. Also concurrent requests of one client, identified by the forwarded address behind a trusted proxy; further ones get 429 with `Retry-After`.',
  }),
}).apply(describe, { title: 'LimitOptions' });

function bytesPerSecond(description: string) {
  return z
    ._default(z.number('must be a number of bytes per second').check(z.minimum(0), z.maximum(1e9)), 1024)
    .apply(describe, { description });
}

const garbageCollectionSchema = strictOptions({
  graceSeconds: z._default(secondsSchema, 86_400).apply(describe, {
    description: 'How long unreferenced content is kept. Set it longer than your longest push takes.',
  }),
  intervalSeconds: z
    ._default(secondsSchema.check(z.maximum(2_000_000, 'must be at most 2000000')), 3600)
    .apply(describe, { description: 'How often the collector runs. `0`: only on request.' }),
  uploadExpirySeconds: z
    ._default(secondsSchema, 604_800)
    .apply(describe, { description: 'How long an unfinished upload may be idle before it is deleted.' }),
  orphanRetentionSeconds: z._default(secondsSchema, 2_592_000).apply(describe, {
    description: 'How long blobs that are not in the index stay in quarantine before they are deleted.',
  }),
}).apply(describe, { title: 'GarbageCollectionOptions' });

const auditSchema = strictOptions({
  file: z.string().check(z.minLength(1, 'must be the path of a file')).apply(describe, {
    description:
      'The path of the file. A relative one is relative to the folder of the config file, in code to the working directory. The folder is created if it does not exist. Do not share it with another registry.',
  }),
  keepDays: z
    ._default(z.number().check(z.int(), z.minimum(1), z.maximum(36_500)), 365)
    .apply(describe, { description: 'How many days rotated files are kept.' }),
  maxBytes: z._default(bytesSchema.check(z.minimum(4096, 'must be at least 4096')), 100 * 1024 * 1024).apply(describe, {
    description: 'The size at which the file is rotated. It is also rotated each day, at midnight UTC.',
  }),
  events: z
    ._default(
      z
        .array(z.enum(auditEvents, { error: `must be one of ${auditEvents.join(', ')}` }))
        .check(z.minLength(1, 'must name at least one event')),
      [...auditEvents],
    )
    .apply(describe, {
      description:
        'The events to record. `change`: each change of images, tags, repositories, access control and jobs. `login`: logins, and refused logins. `denied`: requests that the rules refused.',
    }),
}).apply(describe, { title: 'AuditOptions' });

const hooksSchema = strictOptions({
  beforePull: hookSchema<'beforePull'>(),
  beforeManifestPut: hookSchema<'beforeManifestPut'>(),
  beforeTagMove: hookSchema<'beforeTagMove'>(),
  beforeDelete: hookSchema<'beforeDelete'>(),
  timeoutSeconds: z._default(
    z.number('must be a number of seconds').check(z.gt(0, 'must be more than 0'), z.maximum(600)),
    10,
  ),
});

function hookSchema<Name extends keyof HookOptions>() {
  return z.optional(
    z.custom<NonNullable<HookOptions[Name]>>((value) => typeof value === 'function', 'must be a function'),
  );
}

/** The options of `createRegistry`. Those that the management API accepts too are declared in `protocol/settings/`. */
export const optionsSchema = strictOptions({
  storage: storageSchema.apply(describe, {
    description:
      'The data folder. It is created when it does not exist, and one process owns it. `{ metadata: { level }, blobs: { s3 } }`: the index in a folder and the blobs in a bucket. `{ metadata: { postgres }, blobs: { s3 } }`: the index in a database, for several processes. In code also `{ blobs, metadata }`: stores of your own.',
  }),
  access: z._default(accessSchema, 'read-only').apply(describe, {
    description:
      "`'read-only'`: anyone may pull, and no one may write or administer. `'open'`: anyone may do everything; choose it only where no one else can reach the registry, or where the host application guards it. An object: rules and the sources of users.",
  }),
  repositories: z._default(z.array(repositoryConfigSchema), []).apply(describe, {
    description:
      'The repositories that exist from the start. They are fixed: the management API refuses to change them.',
  }),
  sync: z._default(z.array(syncConfigSchema), []).apply(describe, {
    description: 'Copies images from other registries to local repositories, on a schedule.',
  }),
  webhooks: z._default(z.array(webhookConfigSchema), []).apply(describe, {
    description: 'Reports pushes, deletes and other events to URLs, in order and at least once.',
  }),
  hosts: z._default(z.record(z.string(), z.string()), {}).apply(describe, {
    description: "Repositories by host name, with or without a port: `{ 'hub.example.com': 'hub' }`.",
  }),
  namespaces: z._default(z.record(z.string(), z.string()), {}).apply(describe, {
    description:
      "Repositories by the namespace that a mirror client sends in `?ns=`: `{ 'docker.io': 'hub' }`. All names of Docker Hub count as one.",
  }),
  defaultRepository: z
    .optional(z.string().check(z.refine(isRepositoryName, 'must be the name of a repository')))
    .apply(describe, {
      description:
        "The repository for names whose first component is not a repository, as Docker's `registry-mirrors` send them.",
      unset: 'none: such names are unknown',
    }),
  prefix: z
    ._default(
      z.string().check(z.regex(/^(?:\/[a-zA-Z0-9._~-]+)*$/, 'must be empty, or begin with "/" and not end with it')),
      '',
    )
    .apply(describe, {
      description:
        'A path before `/v2`, such as `/registry`. Docker and most other clients require `/v2` at the root of the host.',
    }),
  publicUrl: z
    .optional(
      z.string().check(z.regex(/^https?:\/\/[^/?#@]+\/?$/, 'must be an http or https URL of a host, without a path')),
    )
    .apply(describe, {
      description:
        'The URL at which clients reach the registry, used in authentication challenges: `https://registry.example`.',
      unset: 'from each request',
    }),
  trustedProxies: z
    ._default(
      z.array(
        z.string().check(z.refine(isProxyEntry, 'must be an IP address, a network such as 10.0.0.0/8, or unix:')),
      ),
      [],
    )
    .apply(describe, {
      description:
        "Addresses and networks of the proxies in front: `['127.0.0.1', '10.0.0.0/8']`, and `unix:` for proxies that connect to a Unix socket. The registry trusts `X-Forwarded-For`, `-Proto` and `-Host` from these only.",
    }),
  sendfile: z.optional(z.enum(['x-accel', 'x-sendfile'])).apply(describe, {
    description:
      "Lets the proxy in front send blobs: `'x-accel'` for nginx with the configuration in `adapters/nginx/`, `'x-sendfile'` for Apache and others. Requires `trustedProxies`.",
    unset: 'the registry sends them',
  }),
  quotas: z._default(z.array(quotaSchema), []).apply(describe, {
    description:
      "Limits on the total size of images in local repositories, besides `maxBytes` of each: `[{ names: '*/team/**', maxBytes: 5e10 }]`. A push that exceeds one gets 403.",
  }),
  limits: z.prefault(limitsSchema, {}).apply(describe, { description: 'Limits on what a client may do.' }),
  garbageCollection: z
    .prefault(garbageCollectionSchema, {})
    .apply(describe, { description: 'Timing of the garbage collector.' }),
  backups: z.prefault(backupsSchema, {}).apply(describe, { description: 'Backups of the running registry.' }),
  imports: z
    .prefault(importsSchema, {})
    .apply(describe, { description: 'Imports of folders of other registries by the running registry.' }),
  reserveBytes: z._default(bytesSchema, 64 * 1024 * 1024).apply(describe, {
    description:
      'Disk space of the data folder that uploads never use, so that deletes, garbage collection and a start work on a full disk. At most a tenth of the file system. `0`: none.',
  }),
  acceptEmptyIndex: z._default(z.boolean(), false).apply(describe, {
    description:
      'Starts with an empty index when the index is lost or damaged, and moves the remains of the old index aside. Without this option, the registry refuses to start. Set it for one start only.',
  }),
  metrics: z._default(z.boolean(), false).apply(describe, {
    description:
      'Collects metrics for [Prometheus](monitoring.md): `GET /api/v1/metrics` and `registry.metrics()`. `artifactapi serve` collects them unless the configuration file turns them off.',
  }),
  audit: z.optional(auditSchema).apply(describe, {
    description: 'Records who changed what in a file of JSON lines.',
    unset: 'no audit file',
  }),
  retention: z.optional(retentionSchema).apply(describe, {
    description: 'Deletes old tags and untagged manifests by policies.',
    unset: 'nothing is deleted',
  }),
  // Only code can give functions: the pipe keeps them out of the JSON Schema of the config file.
  hooks: z.optional(z.pipe(z.unknown(), hooksSchema)).apply(describe, {
    description:
      'In code only: functions that decide about pulls, pushes, moves of tags and deletes, `{ beforePull, beforeManifestPut, beforeTagMove, beforeDelete, timeoutSeconds }`; see [Hooks](hooks.md). A reload without `hooks` keeps them.',
    unset: 'none',
    typescript: 'HookOptions',
  }),
  maxManifestCacheBytes: z._default(bytesSchema, 64 * 1024 * 1024).apply(describe, {
    description:
      'Memory for the most requested manifests and blobs of at most 64 KiB, such as the configurations of images. `0`: none.',
  }),
  logger: z
    ._default(z.custom<Logger>(isLogger, 'must have the functions debug, info, warn and error'), plainLogger)
    .apply(describe, {
      description:
        'In code only: an object with the methods `debug`, `info`, `warn` and `error`, each called with `(fields, message)` as in pino.',
      unset: 'errors and warnings on stderr',
      typescript: 'Logger',
    }),
}).apply(describe, {
  title: 'RegistryOptions',
  description: 'The options of `createRegistry`. Durations are in seconds and sizes in bytes, as their names say.',
});

/** The options with every default filled in. */
export type ResolvedOptions = Omit<Immutable<z.output<typeof optionsSchema>>, 'storage' | 'logger'> & {
  readonly storage: ResolvedStorage;
  readonly logger: Logger;
};

function isLogger(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return ['debug', 'info', 'warn', 'error'].every((name) => typeof Reflect.get(value, name) === 'function');
}
