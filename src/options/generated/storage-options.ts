// Written by `npm run docs` from the schemas of the options. Change the schemas, not this file.
import type { BlobStore } from '../../ports/bytes.js';
import type { MetadataStore } from '../../ports/metadata/metadata.js';

export type StorageOptions = string | { readonly blobs: BlobStore; readonly metadata: MetadataStore } | BucketStorageOptions;

export interface BucketStorageOptions {
  /** The location of the index. */
  readonly metadata: { readonly level: string } | { readonly postgres: PostgresOptions };
  /** The location of the blobs. */
  readonly blobs: { readonly s3: S3Options };
}

/** A bucket of Amazon S3 or a compatible service. */
export interface S3Options {
  /** The name of the bucket, which must exist. It belongs to this registry alone, or the prefix does. */
  readonly bucket: string;
  /**
   * The region that requests are signed for.
   * @default 'us-east-1'
   */
  readonly region?: string;
  /**
   * The URL of the service, without the bucket.
   * @default Amazon S3 in the region
   */
  readonly endpoint?: string;
  /**
   * Whether the bucket is part of the path, and not of the host name.
   * @default true with endpoint, else false
   */
  readonly pathStyle?: boolean;
  /**
   * A prefix for the key of every object, such as `registry/`.
   * @default ''
   */
  readonly prefix?: string;
  /**
   * `{ accessKeyId, secretAccessKey, sessionToken }`. In code also a function that returns them, for keys that
   * expire.
   * @default the environment variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`
   */
  readonly credentials?: S3Keys | (() => S3Keys | Promise<S3Keys>);
  /**
   * The encryption that the registry requests from the service.
   * @default the default of the bucket
   */
  readonly encryption?: 'AES256' | 'aws:kms';
  /**
   * The key for `encryption: 'aws:kms'`.
   * @default the service's own key
   */
  readonly kmsKeyId?: string;
  /**
   * How long an object stays after its blob was deleted. Set it to at least the age of the oldest backup of the index
   * that you would restore.
   * @default 3600
   */
  readonly trashSeconds?: number;
  /**
   * Whether clients get blobs from the bucket: a GET of at least 1 MiB is answered with a redirect to a URL that is
   * valid for 15 minutes. `trashSeconds` must be at least as long.
   * @default false
   */
  readonly redirect?: boolean;
  /**
   * The repositories with redirects.
   * @default all
   */
  readonly redirectRepositories?: readonly string[];
  /**
   * The networks of clients that reach the bucket. Others get blobs from the registry.
   * @default all
   */
  readonly redirectNetworks?: readonly string[];
  /**
   * The URL of the service in redirects.
   * @default endpoint
   */
  readonly publicEndpoint?: string;
  /**
   * Memory of all uploads in progress. Beyond it, they slow down.
   * @default 268435456
   */
  readonly maxUploadBufferBytes?: number;
  /**
   * The folder for content on its way to the bucket, such as transfers from other registries, on a local disk. Each
   * process creates a folder of its own in it.
   * @default `spool/` in the folder of the index; with PostgreSQL, the folder of the system for temporary files
   */
  readonly spool?: string;
}

export interface S3Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** A PostgreSQL database, which any number of processes share. */
export interface PostgresOptions {
  /**
   * The database, which must exist: `postgres://user:password@host:5432/database`. It belongs to this registry alone.
   * `?sslmode=verify-full&sslrootcert=…` encrypts.
   */
  readonly url: string;
  /**
   * The same database without a pooler, for notifications.
   * @default url
   */
  readonly listenUrl?: string;
  /**
   * Maximum number of connections of this process, besides the one for notifications.
   * @default 16
   */
  readonly max?: number;
  /**
   * How long rules, users and tokens in memory are trusted while the database does not answer. Afterwards requests
   * get 503.
   * @default 30
   */
  readonly maxStaleSeconds?: number;
  /**
   * Whether statements have names. `false` for pgbouncer before 1.21.
   * @default true
   */
  readonly prepare?: boolean;
  /**
   * Whether the registry creates and migrates the tables when it starts. `false`: only `artifactapi migrate` does,
   * and the registry refuses to start with an older schema.
   * @default true
   */
  readonly migrate?: boolean;
}
