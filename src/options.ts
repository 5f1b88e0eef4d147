import { z } from 'zod';
import type { BlobStore, Logger, MetadataStore } from './ports.js';
import {
  describeProblems,
  repositoryConfigSchema,
  type Problem,
  type RepositoryConfig,
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

/** A repository that the registry stores itself. */
export interface LocalRepositoryOptions {
  /** The first part of the names of its images: `docker-internal` in `host/docker-internal/team/app`. */
  readonly name: string;
  readonly type: 'local';
  /**
   * Accept manifests that name blobs or manifests which the image does not hold.
   * @default true
   */
  readonly sparse?: boolean;
  /**
   * Free text for people.
   * @default ''
   */
  readonly description?: string;
}

export type RepositoryOptions = LocalRepositoryOptions;

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
  const problems = [...(checked.success ? [] : describeProblems(checked.error)), ...findTakenNames(options)];
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
