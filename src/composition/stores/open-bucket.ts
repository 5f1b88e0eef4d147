import {
  endpointOf,
  isDatabaseIndex,
  usesPaths,
  type BucketStorage,
  type DatabaseIndex,
} from '../../options/storage-schema.js';
import type { Runtime } from '../../ports/runtime.js';
import type {
  BucketStoresOptions,
  FolderIndexOptions,
  PostgresOptions,
  S3Connection,
  S3Credentials,
} from '../../storage/bucket-stores.js';
import type { FolderStores } from '../../storage/folder-stores.js';
import type { Closers } from '../../util/closers.js';

/**
 * Opens an index in a folder or a database with blobs in a bucket. Loads the code on demand: most registries have none.
 * @param index for an index in a folder.
 */
export async function openBucket(
  { metadata, blobs: { s3 } }: BucketStorage,
  index: FolderIndexOptions,
  { log }: Runtime,
  closers: Closers,
): Promise<FolderStores> {
  const { openBucketStores, openSharedStores } = await import('../../storage/bucket-stores.js');
  const options: BucketStoresOptions = {
    connection: connectionOf(s3),
    trashMs: s3.trashSeconds * 1000,
    maxUploadBufferBytes: s3.maxUploadBufferBytes,
    spool: s3.spool,
    onLost: (digest, key) => log.error({ digest, key }, 'object of a blob lost: push the blob again to heal it'),
    onUnknown: (keys) =>
      log.warn({ objects: keys.length, key: keys[0] }, 'objects that the index does not know moved to the trash'),
    onTrashError: (error) => log.warn({ err: error }, 'failed to clean up the bucket, retrying later'),
  };
  if (!isDatabaseIndex(metadata)) return openBucketStores(metadata.level, index, options, closers);
  return openSharedStores(databaseOf(metadata), options, closers);
}

/** Returns how to reach the database of an index. */
export function databaseOf({ postgres }: DatabaseIndex): PostgresOptions {
  const { listenUrl, ...database } = postgres;
  return { ...database, ...(listenUrl === undefined ? {} : { listenUrl }) };
}

/** @throws Error if neither the options nor the environment have credentials for the bucket. */
export function checkCredentials({ credentials }: BucketStorage['blobs']['s3']): void {
  if (credentials === undefined) credentialsOf(process.env);
}

/** Returns how to reach a bucket. @throws Error as `checkCredentials` does. */
export function connectionOf(s3: BucketStorage['blobs']['s3']): S3Connection {
  const { bucket, region, prefix, credentials, encryption, kmsKeyId } = s3;
  checkCredentials(s3);
  const given = typeof credentials === 'function' ? credentials : undefined;
  const fixed = typeof credentials === 'function' ? undefined : credentials;
  return {
    endpoint: endpointOf(s3),
    publicEndpoint: s3.publicEndpoint === undefined ? undefined : new URL(s3.publicEndpoint),
    region,
    bucket,
    prefix,
    pathStyle: usesPaths(s3),
    credentials: given ?? (() => fixed ?? credentialsOf(process.env)),
    encryption: encryption && { algorithm: encryption, keyId: kmsKeyId },
  };
}

function credentialsOf(environment: NodeJS.ProcessEnv): S3Credentials {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = environment;
  if (accessKeyId === undefined || secretAccessKey === undefined)
    throw new Error(
      'no credentials for the bucket: set storage.blobs.s3.credentials, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    );
  return { accessKeyId, secretAccessKey, sessionToken: environment['AWS_SESSION_TOKEN'] };
}
