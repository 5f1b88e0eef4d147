/**
 * Opens the stores of a data folder: the index in `level/` and the blobs in `files/`. No code outside this folder opens
 * them. `backup/` copies both. `memory/` holds a blob store for tests. `level/` and `files/` share file-system helpers; nothing here imports
 * the domain.
 */
import path from 'node:path';
import type { FolderBackups, WorkOptions } from '../ports/operations/backup.js';
import type { BlobStore } from '../ports/bytes.js';
import type { MetadataStore } from '../ports/metadata/metadata.js';
import type { StorageCopies } from '../ports/operations/storage-copies.js';
import type { Closers } from '../util/closers.js';
import { hasBlobs } from './files/blob-folders.js';
import { DiskReserve } from './files/disk-reserve.js';
import { FsBlobStore } from './files/fs-blob-store.js';
import { claimLayout, upgradeLayout, type BlobsIn } from './files/layout.js';
import type { OnUnsynced } from './files/unsynced-recovery.js';
import type { CopiedIndex } from './level/database/level-copy.js';
import type { IndexEvent } from './level/database/level-database.js';
import { makeFolder } from './level/database/level-folder.js';
import { withSpace } from './level/database/level-space.js';
import { LevelMetadataStore } from './level/level-metadata-store.js';

export { endFilling } from './fill-record.js';
export type { IndexEvent } from './level/database/level-database.js';

/** The stores of a registry. */
export interface FolderStores {
  readonly blobs: BlobStore;
  readonly metadata: MetadataStore;
  /** Absent for stores without a data folder. */
  readonly backups?: FolderBackups;
  /** Absent for a data folder. */
  readonly copies?: StorageCopies;
}

/** Options of the stores. */
export interface FolderStoresOptions {
  readonly reserveBytes: number;
  readonly acceptEmptyIndex: boolean;
  /** Maximum number of files that each part keeps open. */
  readonly maxIndexFiles: number;
  readonly maxFolders: number;
  readonly maxIdleUploads: number;
  readonly onIndexEvent: (event: IndexEvent) => void;
  /** Called for a file or folder in `blobs/` that does not belong there. */
  readonly onStray: (path: string, cause?: unknown) => void;
  /** Called when the bytes of a pushed blob could not be made durable. */
  readonly onUnsynced?: OnUnsynced;
}

/** Returns the folder with the blobs of a data folder. */
export function blobsFolderIn(folder: string): string {
  return path.join(folder, 'blobs');
}

/**
 * Opens the stores of a data folder; creates the folder if needed.
 * @param closers receives the steps that close the stores. The index is closed last, since its lock keeps other
 * processes out.
 */
export async function openFolderStores(
  folder: string,
  options: FolderStoresOptions,
  closers: Closers,
): Promise<FolderStores> {
  const { metadata, reserve, freeSpace } = await openIndex(folder, options, closers, 'folder');
  const { onStray, onUnsynced, maxFolders: maxFolderHandles, maxIdleUploads: maxIdleStaged } = options;
  const blobs = await withSpace(
    () => FsBlobStore.open(folder, { reserve, onStray, onUnsynced, maxFolderHandles, maxIdleStaged }),
    freeSpace,
  );
  closers.add('blobs', () => blobs.close());
  reserve.start();
  return { metadata, blobs, backups: createFolderBackups(folder, metadata, blobs) };
}

/** An open index, and the reserve of its disk. */
export interface OpenedIndex {
  readonly metadata: LevelMetadataStore;
  /** Closed by the blob store, or else by the caller. */
  readonly reserve: DiskReserve;
  readonly freeSpace: () => Promise<boolean>;
}

/** Opens the index of a data folder; creates both if needed. */
export async function openIndex(
  folder: string,
  options: Pick<FolderStoresOptions, 'reserveBytes' | 'acceptEmptyIndex' | 'maxIndexFiles' | 'onIndexEvent'>,
  closers: Closers,
  blobsIn: BlobsIn,
): Promise<OpenedIndex> {
  // The umask decides who may read the folder: a web server in front of the registry may send the blobs.
  await makeFolder(folder, 0o777);
  const reserve = await DiskReserve.open(folder, { maxBytes: options.reserveBytes });
  const freeSpace = (): Promise<boolean> => reserve.release();
  await withSpace(() => claimLayout(folder, blobsIn), freeSpace);
  // The index is opened before the blobs, since its lock keeps other processes away from both.
  const metadata = await LevelMetadataStore.open(path.join(folder, 'index'), {
    acceptEmptyIndex: options.acceptEmptyIndex,
    freeSpace,
    maxOpenFiles: options.maxIndexFiles,
    // A bucket has a marker instead.
    holdsContent: async () => blobsIn === 'folder' && hasBlobs(folder),
    knowsPlaces: blobsIn === 'bucket',
    onEvent: options.onIndexEvent,
  });
  closers.add('index', () => metadata.close());
  await withSpace(() => upgradeLayout(folder, blobsIn), freeSpace);
  return { metadata, reserve, freeSpace };
}

/**
 * Creates the backups of a folder whose index is open.
 * @param blobs the store of its blobs; absent if they are in a bucket.
 */
export function createFolderBackups(
  folder: string,
  metadata: LevelMetadataStore,
  blobs?: Pick<FsBlobStore, 'settleAll'>,
): FolderBackups {
  const copyIndex = async (to: string, work: WorkOptions): Promise<CopiedIndex> => {
    const copied = await metadata.contents.copyTo(to, work);
    // The files of blobs that the copy names are not moved any more. The backup lists one that could not be as missing.
    await blobs?.settleAll();
    return copied;
  };
  const open = { folder, blobsIn: blobs === undefined ? 'bucket' : 'folder', copyIndex } as const;
  return {
    async write(target, work) {
      // Loaded on demand, because a registry starts faster without it.
      const { backupOpenFolder } = await import('./backup/backups.js');
      return backupOpenFolder(open, target, work);
    },
  };
}
