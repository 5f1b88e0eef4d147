import { z } from 'zod';
import type { BlobStore, Logger, MetadataStore } from './ports.js';
import { isRepositoryName } from './protocol/names.js';
import {
  checkTogether,
  describeProblems,
  repositoryConfigSchema,
  type Problem,
  type RepositoryConfig,
  type UpstreamCredentials,
} from './protocol/repository-config.js';

/** What `createRegistry` takes. Durations are in seconds, sizes in bytes, as their names say. */
export interface RegistryOptions {
  /** The data folder (made when absent, owned by one process), or stores of your own. */
  readonly storage: string | { readonly blobs: BlobStore; readonly metadata: MetadataStore };
  /**
   * `read-only`: anybody may pull, nobody may write or administer. `open`: anybody may do everything; say so only where
   * nobody else can reach the registry, or where the host app guards it.
   * @default 'read-only'
   */
  readonly access?: 'open' | 'read-only';
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
  /** When space is reclaimed. */
  readonly garbageCollection?: GarbageCollectionOptions;
  /**
   * Memory for the manifests that are pulled most.
   * @default 67108864
   */
  readonly manifestCacheMaxBytes?: number;
  /**
   * Takes `(fields, message)` as pino does.
   * @default nothing is logged
   */
  readonly logger?: Logger;
}

interface CommonRepositoryOptions {
  /** The first part of the names of its images: `docker-internal` in `host/docker-internal/team/app`. */
  readonly name: string;
  /**
   * Free text for people.
   * @default ''
   */
  readonly description?: string;
}

/** A repository that the registry stores itself. */
export interface LocalRepositoryOptions extends CommonRepositoryOptions {
  readonly type: 'local';
  /**
   * Accept manifests that name blobs or manifests which the image does not hold.
   * @default true
   */
  readonly sparse?: boolean;
}

/** Another registry: a pull-through cache of it, or a way through to it. */
export interface RemoteRepositoryOptions extends CommonRepositoryOptions {
  readonly type: 'remote';
  /** Where it is: `https://registry-1.docker.io`. A path goes before the names of images: `https://host/team`. */
  readonly url: string;
  /**
   * Keep what is pulled; `false` passes every exchange through.
   * @default true
   */
  readonly cache?: boolean;
  /**
   * Our own at the upstream: a name and a password, or a token that is sent as it is; or a function that gives them.
   * @default none: as anybody
   */
  readonly credentials?: UpstreamCredentials | (() => Promise<UpstreamCredentials | undefined>);
  /**
   * How long a tag is served without asking the upstream.
   * @default 300
   */
  readonly tagTtlSeconds?: number;
  /**
   * The same for tags that match a pattern, `{ tags: '*-snapshot', ttlSeconds: 10 }`; the first that matches counts.
   * @default []
   */
  readonly tagTtlRules?: readonly { readonly tags: string; readonly ttlSeconds: number }[];
  /**
   * How long it is remembered that something is absent.
   * @default 30
   */
  readonly negativeTtlSeconds?: number;
  /**
   * How long lists of tags and referrers are served without asking.
   * @default 60
   */
  readonly listTtlSeconds?: number;
  /**
   * The size that the cache is kept below: what was not asked for longest goes first.
   * @default none: it grows
   */
  readonly cacheMaxBytes?: number;
  /**
   * What is never evicted: patterns of `image` or `image:tag`.
   * @default []
   */
  readonly pins?: readonly string[];
  /**
   * With `cache: false`: follow redirects to other hosts, or hand them to the client.
   * @default 'follow'
   */
  readonly redirects?: 'follow' | 'pass';
  /**
   * How long a connection may take.
   * @default 5
   */
  readonly connectTimeoutSeconds?: number;
  /**
   * How long the head of an answer, and each next part of its body, may take.
   * @default 30
   */
  readonly responseTimeoutSeconds?: number;
  /**
   * Certificates of a private authority, as PEM.
   * @default the well-known ones
   */
  readonly ca?: string;
  /**
   * The URL of an outgoing proxy.
   * @default what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say
   */
  readonly proxy?: string;
}

/** Several repositories under one name. */
export interface VirtualRepositoryOptions extends CommonRepositoryOptions {
  readonly type: 'virtual';
  /** By name, or with patterns of the images that a member is asked for (`include`) and is not (`exclude`). */
  readonly members: readonly (
    string | { readonly name: string; readonly include?: readonly string[]; readonly exclude?: readonly string[] }
  )[];
  /**
   * `local-first`: locals before remotes; or `as-listed`.
   * @default 'local-first'
   */
  readonly order?: 'local-first' | 'as-listed';
  /**
   * The local member that takes pushes.
   * @default none: nothing can be pushed
   */
  readonly pushTo?: string;
  /**
   * Patterns of images that no remote is ever asked for, so that nobody outside can stand in for them.
   * @default []
   */
  readonly reserved?: readonly string[];
}

export type RepositoryOptions = LocalRepositoryOptions | RemoteRepositoryOptions | VirtualRepositoryOptions;

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
}

/** The options with every default filled in. */
export interface ResolvedOptions {
  readonly storage: RegistryOptions['storage'];
  readonly access: 'open' | 'read-only';
  readonly repositories: readonly RepositoryConfig[];
  readonly hosts: Readonly<Record<string, string>>;
  readonly namespaces: Readonly<Record<string, string>>;
  readonly defaultRepository?: string | undefined;
  readonly prefix: string;
  readonly garbageCollection: Required<GarbageCollectionOptions>;
  readonly manifestCacheMaxBytes: number;
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

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const secondsSchema = z.number().min(0).max(1e9);

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
  access: z.enum(['open', 'read-only'], { error: "must be 'open' or 'read-only'" }).default('read-only'),
  repositories: z.array(repositoryConfigSchema).default([]),
  hosts: z.record(z.string(), z.string()).default({}),
  namespaces: z.record(z.string(), z.string()).default({}),
  defaultRepository: z.string().refine(isRepositoryName, "must be a repository's name").optional(),
  prefix: z
    .string()
    .regex(/^(?:\/[a-zA-Z0-9._~-]+)*$/, 'must be empty, or begin with "/" and end without')
    .default(''),
  garbageCollection: z
    .strictObject({
      graceSeconds: secondsSchema.default(86_400),
      intervalSeconds: secondsSchema.max(2_000_000, 'must be at most 2000000').default(3600),
      uploadExpirySeconds: secondsSchema.default(604_800),
    })
    .prefault({}),
  manifestCacheMaxBytes: z
    .number()
    .int()
    .min(0)
    .default(64 * 1024 * 1024),
  logger: z.custom<Logger>(isLogger, 'must have the functions debug, info, warn and error').default(silent),
});

/**
 * Checks options and fills in the defaults; the argument stays as it is.
 * @throws OptionsError with every problem at once.
 */
export function resolveOptions(options: RegistryOptions): ResolvedOptions {
  const checked = optionsSchema.safeParse(options);
  const problems = [
    ...(checked.success
      ? checkTogether(checked.data.repositories, (i) => `repositories[${i}].`)
      : describeProblems(checked.error)),
    ...findTakenNames(options),
  ];
  if (checked.success && problems.length === 0) return checked.data;
  throw new OptionsError(problems);
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
