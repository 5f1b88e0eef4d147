import path from 'node:path';
import type { Digest } from '../protocol/digest.js';
import type { Closers } from '../util/closers.js';
import { createCopies, type CopyTarget } from './copy/storage-copy.js';
import { createFolderBackups, openIndex, type FolderStores, type FolderStoresOptions } from './folder-stores.js';
import type { PostgresMetadataStore, PostgresOptions } from './postgres/postgres-metadata-store.js';
import { S3BlobStore, type S3BlobStoreOptions } from './s3/s3-blob-store.js';
import { claimSpoolFolder } from './spool-folder.js';

export type { S3Connection, S3Credentials } from './s3/s3-options.js';
export type { PostgresOptions } from './postgres/postgres-metadata-store.js';

/** Options of an index with blobs in a bucket. */
export interface BucketStoresOptions extends Pick<
  S3BlobStoreOptions,
  'connection' | 'trashMs' | 'maxUploadBufferBytes' | 'onUnknown' | 'onTrashError'
> {
  /** The folder for content of one request, where this process creates one of its own. Absent: chosen by the index. */
  readonly spool?: string | undefined;
  /** Called when the object of a blob is missing in the right bucket, or has other bytes. */
  readonly onLost: (digest: Digest, key: string) => void;
}

/** Options of an index in a folder. */
export type FolderIndexOptions = Pick<
  FolderStoresOptions,
  'reserveBytes' | 'acceptEmptyIndex' | 'maxIndexFiles' | 'onIndexEvent'
>;

/** Versions of a schema. */
export interface Migrated {
  readonly from: number;
  readonly to: number;
}

/** The index, and what the bucket needs to know about it. */
interface Index {
  readonly metadata: CopyTarget['metadata'];
  readonly importer: CopyTarget['importer'];
  /** A folder of this process alone. */
  readonly spoolFolder: string;
}

/**
 * Opens the index of a folder, which has no blobs, and the bucket. Content of one request waits in the folder, in `spool/`.
 * @param closers receives the steps that close the stores. The index is closed last.
 * @throws WrongBucketError when the bucket belongs to another index; errors of the system and of the object store.
 */
export async function openBucketStores(
  folder: string,
  index: FolderIndexOptions,
  options: BucketStoresOptions,
  closers: Closers,
): Promise<FolderStores> {
  const { metadata, reserve } = await openIndex(folder, index, closers, 'bucket');
  closers.add('reserve', () => reserve.close());
  const spoolFolder =
    options.spool === undefined ? path.join(folder, 'spool') : await claimSpoolFolder(closers, options.spool);
  const stores = await openBlobs({ metadata, importer: metadata.contents.importer, spoolFolder }, options, closers);
  reserve.start();
  return { ...stores, backups: createFolderBackups(folder, metadata) };
}

/**
 * Opens the index in a database and the bucket, which other processes may have open too.
 * @param closers receives the steps that close the stores. The index is closed last.
 * @throws WrongBucketError when the bucket belongs to another index; SchemaError for a database without the tables of
 * this release; errors of the database and of the object store.
 */
export async function openSharedStores(
  database: PostgresOptions,
  options: BucketStoresOptions,
  closers: Closers,
): Promise<FolderStores> {
  const metadata = await openDatabase(database, closers);
  const spoolFolder = await claimSpoolFolder(closers, options.spool);
  return openBlobs({ metadata, importer: metadata.importer, spoolFolder }, options, closers);
}

/** Opens only the index in a database. @throws SchemaError, and errors of the database */
export async function openDatabase(database: PostgresOptions, closers: Closers): Promise<PostgresMetadataStore> {
  const { PostgresMetadataStore: Store } = await import('./postgres/postgres-metadata-store.js');
  const metadata = await Store.open({ ...database, knowsPlaces: true });
  closers.add('index', () => metadata.close());
  return metadata;
}

/**
 * Runs the migrations that a database lacks. Returns the version of the schema before and after.
 * @throws SchemaError when it is from a release that is too new; errors of the database.
 */
export async function migrateDatabase({ url }: Pick<PostgresOptions, 'url'>): Promise<Migrated> {
  const { PostgresPool } = await import('./postgres/postgres-pool.js');
  const { migrate } = await import('./postgres/migrations/migrations.js');
  const pool = await PostgresPool.create({ url, max: 1, prepare: false });
  try {
    return await migrate(pool);
  } finally {
    await pool.close();
  }
}

async function openBlobs(
  { metadata, importer, spoolFolder }: Index,
  { spool: _spool, ...options }: BucketStoresOptions,
  closers: Closers,
): Promise<FolderStores> {
  const blobs = await S3BlobStore.open({ ...options, ledger: metadata.ledger, spoolFolder });
  closers.add('blobs', () => blobs.close());
  return { metadata, blobs, copies: createCopies({ metadata, importer, blobs }) };
}
