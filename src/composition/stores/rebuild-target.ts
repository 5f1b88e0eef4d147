import type { ResolvedOptions } from '../../options/options-schema.js';
import { isBucketStorage, isDatabaseIndex } from '../../options/storage-schema.js';
import type { MetadataStore, RepositoryRecord } from '../../ports/metadata/metadata.js';
import type { ObjectLedger } from '../../ports/metadata/object-ledger.js';
import type { RebuildOptions } from '../../ports/operations/rebuild.js';
import type { Runtime } from '../../ports/runtime.js';
import { changedRecord, recordDeclared } from '../../repositories/declared-records.js';
import { findTarget } from '../../repositories/migration/import-target.js';
import {
  BucketObjects,
  FolderObjects,
  indexExists,
  noteRebuild,
  openEmptyIndex,
  openScratchIndex,
  type IndexPlace,
  type ObjectSource,
} from '../../storage/rebuild/rebuilds.js';
import type { Closers } from '../../util/closers.js';
import { divideOpenFiles, readOpenFileLimit } from '../../util/open-file-limit.js';
import { connectionOf, databaseOf } from './open-bucket.js';

/** What a rebuild fills, and from what. */
export interface RebuildTarget {
  /** In a dry run, an index in a temporary folder. */
  readonly metadata: MetadataStore;
  /** Absent in a dry run. */
  readonly ledger?: ObjectLedger;
  readonly source: ObjectSource;
  /** The index to which the bucket belonged. */
  readonly formerStore?: string | undefined;
}

/**
 * Opens an empty index and what is stored. A registry refuses to start on the index until the rebuild is done.
 * @throws Error before anything is written when the storage, the index, the bucket or the repository cannot be used.
 */
export async function openRebuildTarget(
  resolved: ResolvedOptions,
  { repository, adopts, dryRun }: RebuildOptions,
  runtime: Runtime,
  closers: Closers,
): Promise<RebuildTarget> {
  const { place, source } = await openSource(resolved, closers);
  const startedAt = runtime.now();
  const declared = resolved.repositories.map((config) => changedRecord(config, undefined, startedAt, 'declared'));
  const isMissing = !(await indexExists(place));
  // An index is created only for a repository that exists.
  if (isMissing) await checkRepository(declared, repository);
  const { reserveBytes } = resolved;
  const { maxIndexFiles } = divideOpenFiles(readOpenFileLimit());
  const index = isMissing && dryRun ? undefined : await openEmptyIndex(place, { reserveBytes, maxIndexFiles }, closers);
  const repositories = [...((await index?.repositories()) ?? []), ...declared];
  await checkRepository(repositories, repository);
  if (dryRun || index === undefined) return { metadata: await openScratchIndex(repositories, closers), source };
  const formerStore = await source.examine(index.ledger, adopts);
  await noteRebuild(index, { startedAt });
  await recordDeclared(resolved.repositories, { metadata: index, runtime });
  await source.adopt(index.ledger);
  return { metadata: index, ledger: index.ledger, source, formerStore };
}

async function openSource(
  { storage }: ResolvedOptions,
  closers: Closers,
): Promise<{ readonly place: IndexPlace; readonly source: ObjectSource }> {
  if (typeof storage === 'string')
    return { place: { folder: storage, blobsIn: 'folder' }, source: await FolderObjects.open(storage) };
  if (!isBucketStorage(storage)) throw new TypeError('only a data folder or a bucket can be rebuilt');
  const { metadata, blobs } = storage;
  const bucket = { connection: connectionOf(blobs.s3), trashMs: blobs.s3.trashSeconds * 1000 };
  return {
    place: isDatabaseIndex(metadata)
      ? { database: databaseOf(metadata) }
      : { folder: metadata.level, blobsIn: 'bucket' },
    source: await BucketObjects.open(bucket, closers),
  };
}

/** @throws RegistryError NAME_UNKNOWN or CONFLICT when it is not one of these, or not local. */
async function checkRepository(records: readonly RepositoryRecord[], name: string): Promise<void> {
  const byName = new Map(records.map((record) => [record.config.name, record]));
  await findTarget(
    { repositories: async () => [...byName.values()], repository: async (one) => byName.get(one) },
    name,
  );
}
