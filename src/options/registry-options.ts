import { z } from 'zod';
import type { AccessOptions } from './access-options.js';
import type { BlobStore } from '../ports/bytes.js';
import type { Logger } from '../ports/runtime.js';
import type { MetadataStore } from '../ports/metadata.js';
import { limitsSchema, type LimitOptions, type ResolvedLimits } from './limit-options.js';
import { accessSettingsSchema, type AccessSettings } from '../protocol/settings/access-settings.js';
import { isRepositoryName } from '../protocol/names.js';
import {
  describeProblems,
  repositoryConfigSchema,
  type Problem,
  type RepositoryConfig,
} from '../protocol/settings/repository-config.js';
import { checkTogether } from '../protocol/settings/repository-graph.js';
import type { RepositoryOptions } from './repository-options.js';
import { isAddressOrNetwork } from '../util/addresses.js';
import { plainLogger } from '../util/plain-log.js';

/** What `createRegistry` takes. Durations are in seconds, sizes in bytes, as their names say. */
export interface RegistryOptions {
  /** The data folder (made when absent, owned by one process), or stores of your own. */
  readonly storage: string | { readonly blobs: BlobStore; readonly metadata: MetadataStore };
  /**
   * Rules, and who knows the users. Or `read-only`: anybody may pull, nobody may write or administer. Or `open`: anybody may
   * do everything; say so only where nobody else can reach the registry, or where the host app guards it.
   * @default 'read-only'
   */
  readonly access?: 'open' | 'read-only' | AccessOptions;
  /**
   * The repositories that exist from the start. They are fixed: the management API refuses to change them.
   * @default []
   */
  readonly repositories?: readonly RepositoryOptions[];
  /**
   * Repositories by host name, for clients that address a registry by a host of its own: `{ 'hub.example.com': 'hub' }`.
   * @default {}
   */
  readonly hosts?: Readonly<Record<string, string>>;
  /**
   * Repositories by what a mirror's client says that it wants (`?ns=docker.io`); all names of Docker Hub are one.
   * @default {}
   */
  readonly namespaces?: Readonly<Record<string, string>>;
  /**
   * The repository of names whose first part is no repository, as Docker's `registry-mirrors` send them.
   * @default none: such names are unknown
   */
  readonly defaultRepository?: string;
  /**
   * A path in front of `/v2`, such as `/registry`. Most clients insist on `/v2` at the root of the host.
   * @default ''
   */
  readonly prefix?: string;
  /**
   * Where clients reach the registry: `https://registry.example`, for the challenges that name it.
   * @default what each request says
   */
  readonly publicUrl?: string;
  /**
   * Addresses and networks of the proxies in front: `['127.0.0.1', '10.0.0.0/8']`. Their `X-Forwarded-For`, `-Proto` and
   * `-Host` are believed, nobody else's.
   * @default []
   */
  readonly trustedProxies?: readonly string[];
  /**
   * Has the trusted proxy send blobs: `x-accel` for nginx with the configuration in `adapters/nginx/`, `x-sendfile` for
   * Apache and its like. Any other client gets the bytes from us.
   * @default we send them
   */
  readonly sendfile?: 'x-accel' | 'x-sendfile';
  /** What a client may ask of the registry. */
  readonly limits?: LimitOptions;
  /** When space is reclaimed. */
  readonly garbageCollection?: GarbageCollectionOptions;
  /**
   * Disk space of the data folder that uploads never use: deletes, garbage collection and the start still work on a full
   * disk. At most a tenth of the file system is used. 0: none.
   * @default 67108864
   */
  readonly reserveBytes?: number;
  /**
   * Starts with an empty index when the index is lost or damaged, and moves what is left of it aside. Set it for one start
   * only: without it, such a start is refused.
   * @default false
   */
  readonly acceptEmptyIndex?: boolean;
  /**
   * Memory for the manifests that are pulled most.
   * @default 67108864
   */
  readonly maxManifestCacheBytes?: number;
  /**
   * Takes `(fields, message)` as pino does. Without one, errors and warnings go to stderr, one plain line each.
   * @default errors and warnings on stderr
   */
  readonly logger?: Logger;
}

export interface GarbageCollectionOptions {
  /**
   * How long something that nothing refers to is kept. Longer than the longest push takes.
   * @default 86400
   */
  readonly graceSeconds?: number;
  /**
   * How often the collector runs; 0: only when asked.
   * @default 3600
   */
  readonly intervalSeconds?: number;
  /**
   * How long an upload may rest before it is dropped.
   * @default 604800
   */
  readonly uploadExpirySeconds?: number;
  /**
   * How long bytes that the index does not know are kept in quarantine before they are deleted.
   * @default 2592000
   */
  readonly orphanRetentionSeconds?: number;
}

/** The options with every default filled in. */
export interface ResolvedOptions {
  readonly storage: RegistryOptions['storage'];
  readonly access: 'open' | 'read-only' | AccessSettings;
  readonly repositories: readonly RepositoryConfig[];
  readonly hosts: Readonly<Record<string, string>>;
  readonly namespaces: Readonly<Record<string, string>>;
  readonly defaultRepository?: string | undefined;
  readonly prefix: string;
  readonly publicUrl?: string | undefined;
  readonly trustedProxies: readonly string[];
  readonly sendfile?: 'x-accel' | 'x-sendfile' | undefined;
  readonly limits: ResolvedLimits;
  readonly garbageCollection: Required<GarbageCollectionOptions>;
  readonly reserveBytes: number;
  readonly acceptEmptyIndex: boolean;
  readonly maxManifestCacheBytes: number;
  readonly logger: Logger;
}

/** The options have problems: all of them, each with its path. */
export class OptionsError extends Error {
  override readonly name = 'OptionsError';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(
      `the options have problems:\n${problems.map(({ path, problem }) => `  ${path || '(top)'}: ${problem}`).join('\n')}`,
    );
    this.problems = problems;
  }
}

const secondsSchema = z.number().min(0).max(1e9);
const bytesSchema = z.number().int().min(0);

/** Told by what it is, so that the problems of rules are told each at its place. */
const accessSchema = z.unknown().transform((value, context): ResolvedOptions['access'] => {
  if (value === 'open' || value === 'read-only') return value;
  const isSettings = typeof value === 'object' && value !== null;
  if (!isSettings)
    context.addIssue({ code: 'custom', message: "must be 'open', 'read-only', or an object with rules" });
  const checked = accessSettingsSchema.safeParse(isSettings ? value : {});
  if (checked.success) return checked.data;
  context.issues.push(...(checked.error.issues as z.core.$ZodRawIssue[]));
  return z.NEVER;
});

const optionsSchema = z.strictObject({
  storage: z.union(
    [
      z.string().refine((folder) => folder !== '', 'must be the path of the data folder'),
      z.custom<Exclude<RegistryOptions['storage'], string>>(isStores),
    ],
    {
      error: 'must be the path of the data folder, or { blobs, metadata }',
    },
  ),
  access: accessSchema.default('read-only'),
  repositories: z.array(repositoryConfigSchema).default([]),
  hosts: z.record(z.string(), z.string()).default({}),
  namespaces: z.record(z.string(), z.string()).default({}),
  defaultRepository: z.string().refine(isRepositoryName, "must be a repository's name").optional(),
  prefix: z
    .string()
    .regex(/^(?:\/[a-zA-Z0-9._~-]+)*$/, 'must be empty, or begin with "/" and end without')
    .default(''),
  publicUrl: z
    .string()
    .regex(/^https?:\/\/[^/?#@]+\/?$/, 'must be an http or https URL of a host, without a path')
    .optional(),
  trustedProxies: z
    .array(z.string().refine(isAddressOrNetwork, 'must be an IP address, or a network as in 10.0.0.0/8'))
    .default([]),
  sendfile: z.enum(['x-accel', 'x-sendfile']).optional(),
  limits: limitsSchema.prefault({}),
  garbageCollection: z
    .strictObject({
      graceSeconds: secondsSchema.default(86_400),
      intervalSeconds: secondsSchema.max(2_000_000, 'must be at most 2000000').default(3600),
      uploadExpirySeconds: secondsSchema.default(604_800),
      orphanRetentionSeconds: secondsSchema.default(2_592_000),
    })
    .prefault({}),
  reserveBytes: bytesSchema.default(64 * 1024 * 1024),
  acceptEmptyIndex: z.boolean().default(false),
  maxManifestCacheBytes: bytesSchema.default(64 * 1024 * 1024),
  logger: z.custom<Logger>(isLogger, 'must have the functions debug, info, warn and error').default(plainLogger),
});

/**
 * Checks options and fills in the defaults; the argument stays as it is.
 * @throws OptionsError with every problem at once.
 */
export function resolveOptions(options: RegistryOptions): ResolvedOptions {
  const checked = optionsSchema.safeParse(options);
  const problems = [
    ...(checked.success
      ? [...checkTogether(checked.data.repositories, (i) => `repositories[${i}].`), ...checkSendfile(checked.data)]
      : describeProblems(checked.error)),
    ...findTakenNames(options),
  ];
  if (checked.success && problems.length === 0) return checked.data;
  throw new OptionsError(problems);
}

/** What would leave the option without any effect, unnoticed. */
function checkSendfile({ sendfile, storage, trustedProxies }: ResolvedOptions): Problem[] {
  if (sendfile === undefined) return [];
  const path = 'sendfile';
  return [
    ...(trustedProxies.length === 0 ? [{ path, problem: "needs the proxy's address in trustedProxies" }] : []),
    ...(sendfile === 'x-accel' && typeof storage !== 'string' ? [{ path, problem: 'needs a data folder' }] : []),
  ];
}

/** Of the options as they came: beside other problems too. */
function findTakenNames(options: Partial<RegistryOptions> | undefined): Problem[] {
  const repositories: unknown = options?.repositories;
  if (!Array.isArray(repositories)) return [];
  const names = repositories.map((repository: unknown) =>
    typeof repository === 'object' && repository !== null && 'name' in repository ? repository.name : undefined,
  );
  return names.flatMap((name, i) => {
    const first = names.indexOf(name);
    if (name === undefined || first === i) return [];
    return [{ path: `repositories[${i}].name`, problem: `is the name of repositories[${first}] already` }];
  });
}

function isStores(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'blobs' in value && 'metadata' in value;
}

function isLogger(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return ['debug', 'info', 'warn', 'error'].every((name) => typeof Reflect.get(value, name) === 'function');
}
