import { isDeepStrictEqual } from 'node:util';
import { z } from '../protocol/zod.js';
import type { BlobStore } from '../ports/bytes.js';
import type { MetadataStore } from '../ports/metadata/metadata.js';
import {
  describe,
  bytesSchema,
  chosenSchema,
  secondsSchema,
  strictOptions,
  type Immutable,
} from '../protocol/settings/option-schema.js';
import { isRepositoryName } from '../protocol/names.js';
import { isAddressOrNetwork } from '../util/addresses.js';

/** Stores of the host application. Exported because the declarations of other files name it. */
export interface GivenStores {
  readonly blobs: BlobStore;
  readonly metadata: MetadataStore;
}

const folderProblem = 'must be the path of the data folder';
const folderSchema = z
  .string(`${folderProblem}, or { metadata, blobs }`)
  .check(z.refine((folder) => folder !== '', folderProblem));
const givenSchema = z
  .custom<GivenStores>(isPair)
  .apply(describe, { typescript: '{ readonly blobs: BlobStore; readonly metadata: MetadataStore }' });

const keysSchema = strictOptions({
  accessKeyId: z.string().check(z.minLength(1)),
  secretAccessKey: z.string().check(z.minLength(1)),
  sessionToken: z.optional(z.string().check(z.minLength(1))),
});
type Keys = Immutable<z.output<typeof keysSchema>>;
const keysFunctionSchema = z
  .custom<() => Keys | Promise<Keys>>((value) => typeof value === 'function')
  .apply(describe, { typescript: '(() => S3Keys | Promise<S3Keys>)' });

const s3Schema = strictOptions({
  bucket: z
    .string()
    .check(
      z.regex(
        /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
        'must be the name of a bucket: 3 to 63 lower-case letters, digits, "." and "-"',
      ),
    )
    .apply(describe, {
      description: 'The name of the bucket, which must exist. It belongs to this registry alone, or the prefix does.',
    }),
  region: z
    ._default(z.string().check(z.regex(/^[a-z0-9-]+$/, 'must be the name of a region')), 'us-east-1')
    .apply(describe, { description: 'The region that requests are signed for.' }),
  endpoint: z
    .optional(z.string().check(z.refine(isOrigin, 'must be an http or https URL without a path')))
    .apply(describe, {
      description: 'The URL of the service, without the bucket.',
      unset: 'Amazon S3 in the region',
    }),
  pathStyle: z.optional(z.boolean()).apply(describe, {
    description: 'Whether the bucket is part of the path, and not of the host name.',
    unset: 'true with endpoint, else false',
  }),
  prefix: z
    ._default(
      z
        .string()
        .check(z.regex(/^(?:[A-Za-z0-9_-][A-Za-z0-9._-]*\/)*$/, 'must be empty, or folders that each end with "/"')),
      '',
    )
    .apply(describe, { description: 'A prefix for the key of every object, such as `registry/`.' }),
  credentials: z
    .optional(
      chosenSchema<typeof keysSchema | typeof keysFunctionSchema>(
        [keysSchema.apply(describe, { title: 'S3Keys' }), keysFunctionSchema],
        (value) => (typeof value === 'function' ? keysFunctionSchema : keysSchema),
      ),
    )
    .apply(describe, {
      description:
        '`{ accessKeyId, secretAccessKey, sessionToken }`. In code also a function that returns them, for keys that expire.',
      unset: 'the environment variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`',
    }),
  encryption: z.optional(z.enum(['AES256', 'aws:kms'])).apply(describe, {
    description: 'The encryption that the registry requests from the service.',
    unset: 'the default of the bucket',
  }),
  kmsKeyId: z.optional(z.string().check(z.minLength(1))).apply(describe, {
    description: "The key for `encryption: 'aws:kms'`.",
    unset: "the service's own key",
  }),
  trashSeconds: z._default(secondsSchema, 3600).apply(describe, {
    description:
      'How long an object stays after its blob was deleted. Set it to at least the age of the oldest backup of the index that you would restore.',
  }),
  redirect: z._default(z.boolean(), false).apply(describe, {
    description:
      'Whether clients get blobs from the bucket: a GET of at least 1 MiB is answered with a redirect to a URL that is valid for 15 minutes. `trashSeconds` must be at least as long.',
  }),
  redirectRepositories: z
    .optional(z.array(z.string().check(z.refine(isRepositoryName, 'must be the name of a repository'))))
    .apply(describe, { description: 'The repositories with redirects.', unset: 'all' }),
  redirectNetworks: z
    .optional(
      z.array(z.string().check(z.refine(isAddressOrNetwork, 'must be an IP address, or a network such as 10.0.0.0/8'))),
    )
    .apply(describe, {
      description: 'The networks of clients that reach the bucket. Others get blobs from the registry.',
      unset: 'all',
    }),
  publicEndpoint: z
    .optional(z.string().check(z.refine(isOrigin, 'must be an http or https URL without a path')))
    .apply(describe, { description: 'The URL of the service in redirects.', unset: '`endpoint`' }),
  maxUploadBufferBytes: z
    ._default(bytesSchema.check(z.minimum(1)), 256 * 1024 * 1024)
    .apply(describe, { description: 'Memory of all uploads in progress. Beyond it, they slow down.' }),
  spool: z.optional(z.string().check(z.minLength(1, 'must be the path of a folder'))).apply(describe, {
    description:
      'The folder for content on its way to the bucket, such as transfers from other registries, on a local disk. Each process creates a folder of its own in it.',
    unset: '`spool/` in the folder of the index; with PostgreSQL, the folder of the system for temporary files',
  }),
}).apply(describe, { title: 'S3Options' });

const levelSchema = strictOptions({
  level: z.string().check(z.minLength(1, folderProblem)).apply(describe, {
    description: 'The folder of the index. It is created when it does not exist, and one process owns it.',
  }),
});
const databaseUrlSchema = z
  .string()
  .check(z.refine(isDatabaseUrl, 'must be a URL of PostgreSQL: postgres://user:password@host:5432/database'));
const postgresSchema = strictOptions({
  url: databaseUrlSchema.apply(describe, {
    description:
      'The database, which must exist: `postgres://user:password@host:5432/database`. It belongs to this registry alone. `?sslmode=verify-full&sslrootcert=…` encrypts.',
  }),
  listenUrl: z.optional(databaseUrlSchema).apply(describe, {
    description: 'The same database without a pooler, for notifications.',
    unset: '`url`',
  }),
  max: z._default(z.number().check(z.int(), z.minimum(1), z.maximum(1000)), 16).apply(describe, {
    description: 'Maximum number of connections of this process, besides the one for notifications.',
  }),
  maxStaleSeconds: z._default(secondsSchema.check(z.minimum(1)), 30).apply(describe, {
    description:
      'How long rules, users and tokens in memory are trusted while the database does not answer. Afterwards requests get 503.',
  }),
  prepare: z
    ._default(z.boolean(), true)
    .apply(describe, { description: 'Whether statements have names. `false` for pgbouncer before 1.21.' }),
  migrate: z._default(z.boolean(), true).apply(describe, {
    description:
      'Whether the registry creates and migrates the tables when it starts. `false`: only `artifactapi migrate` does, and the registry refuses to start with an older schema.',
  }),
}).apply(describe, { title: 'PostgresOptions' });
const databaseSchema = strictOptions({
  postgres: postgresSchema.apply(describe, {
    description: 'A PostgreSQL database, which any number of processes share.',
  }),
});

const bucketSchema = strictOptions({
  metadata: chosenSchema<typeof levelSchema | typeof databaseSchema>([levelSchema, databaseSchema], (value) =>
    typeof value === 'object' && value !== null && 'postgres' in value ? databaseSchema : levelSchema,
  ).apply(describe, { description: 'The location of the index.' }),
  blobs: strictOptions({
    s3: s3Schema.apply(describe, { description: 'A bucket of Amazon S3 or a compatible service.' }),
  }).apply(describe, {
    description: 'The location of the blobs.',
  }),
}).apply(describe, { title: 'BucketStorageOptions' });

/** The option `storage`. */
export const storageSchema = chosenSchema<typeof folderSchema | typeof givenSchema | typeof bucketSchema>(
  [folderSchema, givenSchema, bucketSchema],
  (value) => (typeof value !== 'object' || value === null ? folderSchema : isGiven(value) ? givenSchema : bucketSchema),
).apply(describe, { title: 'StorageOptions' });

/** An index in a folder or a database, and blobs in a bucket. */
export type BucketStorage = Immutable<z.output<typeof bucketSchema>>;
/** The option `storage` with every default filled in. */
export type ResolvedStorage = string | GivenStores | BucketStorage;

/** Returns whether the blobs are in a bucket. */
export function isBucketStorage(storage: unknown): storage is BucketStorage {
  return typeof storage === 'object' && storage !== null && !isGiven(storage);
}

/** An index in PostgreSQL, which several processes may share. */
export type DatabaseIndex = Extract<BucketStorage['metadata'], { readonly postgres: unknown }>;

/** Returns whether the index is in PostgreSQL. */
export function isDatabaseIndex<M extends object>(metadata: M): metadata is Extract<M, { readonly postgres: unknown }> {
  return 'postgres' in metadata;
}

type S3 = BucketStorage['blobs']['s3'];

/** Returns the URL of the service. */
export function endpointOf({ endpoint, region }: Pick<S3, 'endpoint' | 'region'>): URL {
  return new URL(endpoint ?? `https://s3.${region}.amazonaws.com`);
}

/** Returns whether the bucket is part of the path, and not of the host name. */
export function usesPaths({ endpoint, pathStyle }: Pick<S3, 'endpoint' | 'pathStyle'>): boolean {
  return pathStyle ?? endpoint !== undefined;
}

/** Returns the name of the host in redirects. */
export function redirectHostOf(s3: S3): string {
  const { hostname } = s3.publicEndpoint === undefined ? endpointOf(s3) : new URL(s3.publicEndpoint);
  return usesPaths(s3) ? hostname : `${s3.bucket}.${hostname}`;
}

/** Returns whether two values of the option `storage` are the same. Objects of code are compared by identity. */
export function isSameStorage(before: ResolvedStorage, after: ResolvedStorage): boolean {
  if (isBucketStorage(before) && isBucketStorage(after)) return isDeepStrictEqual(before, after);
  return before === after;
}

function isPair(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'blobs' in value && 'metadata' in value;
}

/** Returns whether these are stores of the host application, and not options. */
function isGiven(value: object): boolean {
  const names = ['s3', 'folder', 'level', 'postgres'];
  const parts: unknown[] = [
    'blobs' in value ? value.blobs : undefined,
    'metadata' in value ? value.metadata : undefined,
  ];
  return (
    isPair(value) &&
    !parts.some((part) => typeof part !== 'object' || part === null || names.some((name) => Object.hasOwn(part, name)))
  );
}

/** The error of an invalid URL would show the password. */
function isDatabaseUrl(text: string): boolean {
  return /^postgres(?:ql)?:\/\//.test(text) && URL.canParse(text);
}

function isOrigin(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return (
    url !== undefined &&
    /^https?:$/.test(url.protocol) &&
    url.pathname === '/' &&
    url.search === '' &&
    url.username === ''
  );
}
