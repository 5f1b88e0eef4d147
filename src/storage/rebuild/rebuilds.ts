/**
 * Rebuilds an index from the bytes alone: this file opens both, `object-scan.ts` hashes what `folder-objects.ts` or
 * `bucket-objects.ts` find, and `found-image.ts` makes an image of it, which the caller records. Imported by the composition
 * root.
 */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { Documents } from '../../ports/metadata/documents.js';
import type { MetadataStore, MetadataWriter } from '../../ports/metadata/metadata.js';
import type { ObjectLedger } from '../../ports/metadata/object-ledger.js';
import type { RebuildReport } from '../../ports/operations/rebuild.js';
import type { Closers } from '../../util/closers.js';
import { openDatabase, type PostgresOptions } from '../bucket-stores.js';
import { readFillRecord, writeFillRecord } from '../fill-record.js';
import type { BlobsIn } from '../files/layout.js';
import { openIndex, type FolderStoresOptions } from '../folder-stores.js';

export { BucketObjects } from './bucket-objects.js';
export { FolderObjects } from './folder-objects.js';
export { foundImage } from './found-image.js';
export type { ObjectSource } from './found-objects.js';
export { ObjectScan } from './object-scan.js';
export { openScratchIndex } from './scratch-index.js';
export { keepUnused } from './unused-content.js';

/** Where an index is, or was. */
export type IndexPlace =
  { readonly folder: string; readonly blobsIn: BlobsIn } | { readonly database: PostgresOptions };

/** An index to rebuild. */
export type RebuiltIndex = MetadataStore & { readonly ledger: ObjectLedger };

/** Returns whether there is an index, which may be damaged. A database gets its tables when it is opened. */
export async function indexExists(place: IndexPlace): Promise<boolean> {
  if ('database' in place) return true;
  return stat(path.join(place.folder, 'index')).then(
    () => true,
    () => false,
  );
}

/**
 * Opens an index without content, or one that an earlier rebuild filled; creates it if it is missing.
 * @throws Error when it has content, is the target of a copy, or is damaged: it may be possible to repair it.
 */
export async function openEmptyIndex(
  place: IndexPlace,
  options: Pick<FolderStoresOptions, 'reserveBytes' | 'maxIndexFiles'>,
  closers: Closers,
): Promise<RebuiltIndex> {
  const index = await open(place, options, closers);
  if ((await readFillRecord(index, 'source')) !== undefined)
    throw new Error('the index is the target of "artifactapi storage copy": start its registry, or use another index');
  if ((await readFillRecord(index, 'rebuild')) !== undefined) return index;
  const { items } = await index.contents.references({ limit: 1 });
  if (items.length === 0) return index;
  throw new Error(
    'the index is not empty, and only an index without images can be rebuilt: to rebuild it anyway, stop the registry and move the folder "index" away, or use a new database',
  );
}

async function open(
  place: IndexPlace,
  options: Pick<FolderStoresOptions, 'reserveBytes' | 'maxIndexFiles'>,
  closers: Closers,
): Promise<RebuiltIndex> {
  if ('database' in place) return openDatabase(place.database, closers);
  const acceptEmptyIndex = !(await indexExists(place));
  const onIndexEvent = (): void => undefined;
  const { folder, blobsIn } = place;
  const { metadata, reserve } = await openIndex(
    folder,
    { ...options, acceptEmptyIndex, onIndexEvent },
    closers,
    blobsIn,
  );
  closers.add('reserve', () => reserve.close());
  return metadata;
}

/** Notes that a rebuild has begun or is done. In between, a registry refuses to start. */
export function noteRebuild(
  index: MetadataWriter & Documents,
  state: Pick<RebuildReport, 'startedAt'> & Partial<Pick<RebuildReport, 'finishedAt'>>,
): Promise<void> {
  return writeFillRecord(index, 'rebuild', state);
}
