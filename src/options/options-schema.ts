import { z } from 'zod';
import type { AuditEvent } from '../ports/operations/audit.js';
import type { HookOptions } from '../ports/hooks.js';
import type { Logger } from '../ports/runtime.js';
import { isRepositoryName } from '../protocol/names.js';
import { accessSettingsSchema } from '../protocol/settings/access-settings.js';
import {
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

const countSchema = z.number().int().min(1);

const limitsSchema = strictOptions({
  maxRequestsPerMinutePerClient: countSchema.optional().meta({
    description:
      "Requests of one address, or of one IPv6 /64 network. A minute's worth may arrive at once. Further requests get 429 with `Retry-After`.",
    unset: 'no limit',
  }),
  maxRequestsPerMinutePerPrincipal: countSchema
    .optional()
    .meta({ description: 'Requests of one user.', unset: 'no limit' }),
  maxBlobBytes: bytesSchema
    .min(1)
    .optional()
    .meta({ description: 'Size of a pushed blob. A larger one gets 413.', unset: 'no limit' }),
  minBytesPerSecond: bytesPerSecond(
    'Minimum transfer rate of a request body, averaged over a minute. A slower one gets 408. `0`: no minimum.',
  ),
  minDownloadBytesPerSecond: bytesPerSecond(
    'Minimum rate at which a client reads a response, averaged over a minute. The connection of a slower one is closed. `0`: no minimum.',
  ),
  maxConnectionsPerClient: countSchema.default(1000).meta({
    description:
      'Connections of one address, or of one IPv6 /64 network, to the standalone server, except trusted proxies; further ones are closed. Also concurrent requests of one client, identified by the forwarded address behind a trusted proxy; further ones get 429 with `Retry-After`.',
  }),
}).meta({ title: 'LimitOptions' });

function bytesPerSecond(description: string) {
  return z.number('must be a number of bytes per second').min(0).max(1e9).default(1024).meta({ description });
}

const garbageCollectionSchema = strictOptions({
  graceSeconds: secondsSchema.default(86_400).meta({
    description: 'How long unreferenced content is kept. Set it longer than your longest push takes.',
  }),
  intervalSeconds: secondsSchema
    .max(2_000_000, 'must be at most 2000000')
    .default(3600)
    .meta({ description: 'How often the collector runs. `0`: only on request.' }),
  uploadExpirySeconds: secondsSchema
    .default(604_800)
    .meta({ description: 'How long an unfinished upload may be idle before it is deleted.' }),
  orphanRetentionSeconds: secondsSchema.default(2_592_000).meta({
    description: 'How long blobs that are not in the index stay in quarantine before they are deleted.',
  }),
}).meta({ title: 'GarbageCollectionOptions' });

const auditSchema = strictOptions({
  file: z.string().min(1, 'must be the path of a file').meta({
    description:
      'The path of the file. A relative one is relative to the folder of the config file, in code to the working directory. The folder is created if it does not exist. Do not share it with another registry.',
  }),
  keepDays: z
    .number()
    .int()
    .min(1)
    .max(36_500)
    .default(365)
    .meta({ description: 'How many days rotated files are kept.' }),
  maxBytes: bytesSchema
    .min(4096, 'must be at least 4096')
    .default(100 * 1024 * 1024)
    .meta({ description: 'The size at which the file is rotated. It is also rotated each day, at midnight UTC.' }),
  events: z
    .array(z.enum(auditEvents, { error: `must be one of ${auditEvents.join(', ')}` }))
    .min(1, 'must name at least one event')
    .default([...auditEvents])
    .meta({
      description:
        'The events to record. `change`: each change of images, tags, repositories, access control and jobs. `login`: logins, and refused logins. `denied`: requests that the rules refused.',
    }),
}).meta({ title: 'AuditOptions' });

const hooksSchema = strictOptions({
  beforePull: hookSchema<'beforePull'>(),
  beforeManifestPut: hookSchema<'beforeManifestPut'>(),
  beforeTagMove: hookSchema<'beforeTagMove'>(),
  beforeDelete: hookSchema<'beforeDelete'>(),
  timeoutSeconds: z.number('must be a number of seconds').gt(0, 'must be more than 0').max(600).default(10),
});

function hookSchema<Name extends keyof HookOptions>() {
  return z
    .custom<NonNullable<HookOptions[Name]>>((value) => typeof value === 'function', 'must be a function')
    .optional();
}

/** The options of `createRegistry`. Those that the management API accepts too are declared in `protocol/settings/`. */
export const optionsSchema = strictOptions({
  storage: storageSchema.meta({
    description:
      'The data folder. It is created when it does not exist, and one process owns it. `{ metadata: { level }, blobs: { s3 } }`: the index in a folder and the blobs in a bucket. `{ metadata: { postgres }, blobs: { s3 } }`: the index in a database, for several processes. In code also `{ blobs, metadata }`: stores of your own.',
  }),
  access: accessSchema.default('read-only').meta({
    description:
      "`'read-only'`: anyone may pull, and no one may write or administer. `'open'`: anyone may do everything; choose it only where no one else can reach the registry, or where the host application guards it. An object: rules and the sources of users.",
  }),
  repositories: z.array(repositoryConfigSchema).default([]).meta({
    description:
      'The repositories that exist from the start. They are fixed: the management API refuses to change them.',
  }),
  sync: z
    .array(syncConfigSchema)
    .default([])
    .meta({ description: 'Copies images from other registries to local repositories, on a schedule.' }),
  webhooks: z
    .array(webhookConfigSchema)
    .default([])
    .meta({ description: 'Reports pushes, deletes and other events to URLs, in order and at least once.' }),
  hosts: z.record(z.string(), z.string()).default({}).meta({
    description: "Repositories by host name, with or without a port: `{ 'hub.example.com': 'hub' }`.",
  }),
  namespaces: z.record(z.string(), z.string()).default({}).meta({
    description:
      "Repositories by the namespace that a mirror client sends in `?ns=`: `{ 'docker.io': 'hub' }`. All names of Docker Hub count as one.",
  }),
  defaultRepository: z.string().refine(isRepositoryName, 'must be the name of a repository').optional().meta({
    description:
      "The repository for names whose first component is not a repository, as Docker's `registry-mirrors` send them.",
    unset: 'none: such names are unknown',
  }),
  prefix: z
    .string()
    .regex(/^(?:\/[a-zA-Z0-9._~-]+)*$/, 'must be empty, or begin with "/" and not end with it')
    .default('')
    .meta({
      description:
        'A path before `/v2`, such as `/registry`. Docker and most other clients require `/v2` at the root of the host.',
    }),
  publicUrl: z
    .string()
    .regex(/^https?:\/\/[^/?#@]+\/?$/, 'must be an http or https URL of a host, without a path')
    .optional()
    .meta({
      description:
        'The URL at which clients reach the registry, used in authentication challenges: `https://registry.example`.',
      unset: 'from each request',
    }),
  trustedProxies: z
    .array(z.string().refine(isProxyEntry, 'must be an IP address, a network such as 10.0.0.0/8, or unix:'))
    .default([])
    .meta({
      description:
        "Addresses and networks of the proxies in front: `['127.0.0.1', '10.0.0.0/8']`, and `unix:` for proxies that connect to a Unix socket. The registry trusts `X-Forwarded-For`, `-Proto` and `-Host` from these only.",
    }),
  sendfile: z.enum(['x-accel', 'x-sendfile']).optional().meta({
    description:
      "Lets the proxy in front send blobs: `'x-accel'` for nginx with the configuration in `adapters/nginx/`, `'x-sendfile'` for Apache and others. Requires `trustedProxies`.",
    unset: 'the registry sends them',
  }),
  quotas: z.array(quotaSchema).default([]).meta({
    description:
      "Limits on the total size of images in local repositories, besides `maxBytes` of each: `[{ names: '*/team/**', maxBytes: 5e10 }]`. A push that exceeds one gets 403.",
  }),
  limits: limitsSchema.prefault({}).meta({ description: 'Limits on what a client may do.' }),
  garbageCollection: garbageCollectionSchema.prefault({}).meta({ description: 'Timing of the garbage collector.' }),
  backups: backupsSchema.prefault({}).meta({ description: 'Backups of the running registry.' }),
  imports: importsSchema
    .prefault({})
    .meta({ description: 'Imports of folders of other registries by the running registry.' }),
  reserveBytes: bytesSchema.default(64 * 1024 * 1024).meta({
    description:
      'Disk space of the data folder that uploads never use, so that deletes, garbage collection and a start work on a full disk. At most a tenth of the file system. `0`: none.',
  }),
  acceptEmptyIndex: z.boolean().default(false).meta({
    description:
      'Starts with an empty index when the index is lost or damaged, and moves the remains of the old index aside. Without this option, the registry refuses to start. Set it for one start only.',
  }),
  metrics: z.boolean().default(false).meta({
    description:
      'Collects metrics for [Prometheus](monitoring.md): `GET /api/v1/metrics` and `registry.metrics()`. `artifactapi serve` collects them unless the configuration file turns them off.',
  }),
  audit: auditSchema
    .optional()
    .meta({ description: 'Records who changed what in a file of JSON lines.', unset: 'no audit file' }),
  retention: retentionSchema.optional().meta({
    description: 'Deletes old tags and untagged manifests by policies.',
    unset: 'nothing is deleted',
  }),
  // Only code can give functions: the pipe keeps them out of the JSON Schema of the config file.
  hooks: z.unknown().pipe(hooksSchema).optional().meta({
    description:
      'In code only: functions that decide about pulls, pushes, moves of tags and deletes, `{ beforePull, beforeManifestPut, beforeTagMove, beforeDelete, timeoutSeconds }`; see [Hooks](hooks.md). A reload without `hooks` keeps them.',
    unset: 'none',
    typescript: 'HookOptions',
  }),
  maxManifestCacheBytes: bytesSchema
    .default(64 * 1024 * 1024)
    .meta({ description: 'Memory for the most requested manifests. `0`: none.' }),
  logger: z.custom<Logger>(isLogger, 'must have the functions debug, info, warn and error').default(plainLogger).meta({
    description:
      'In code only: an object with the methods `debug`, `info`, `warn` and `error`, each called with `(fields, message)` as in pino.',
    unset: 'errors and warnings on stderr',
    typescript: 'Logger',
  }),
}).meta({
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
