/**
 * The stores of one data folder: the index in `level/`, the blobs in `files/`. Outside this folder, only this file opens them.
 * `memory/` holds a blob store for tests. `level/` and `files/` may import each other's file-system helpers; nothing here imports
 * the domain.
 */
import path from 'node:path';
import type { BlobStore } from '../ports/bytes.js';
import type { MetadataStore } from '../ports/metadata.js';
import type { Closers } from '../util/closers.js';
import { hasBlobs } from './files/blob-folders.js';
import { DiskReserve } from './files/disk-reserve.js';
import { FsBlobStore } from './files/fs-blob-store.js';
import { claimLayout } from './files/layout.js';
import type { IndexEvent } from './level/database/level-database.js';
import { makeFolder } from './level/database/level-folder.js';
import { withSpace } from './level/database/level-space.js';
import { LevelMetadataStore } from './level/level-metadata-store.js';

export type { IndexEvent } from './level/database/level-database.js';

export interface FolderStores {
  readonly blobs: BlobStore;
  readonly metadata: MetadataStore;
}

export interface FolderStoresOptions {
  readonly reserveBytes: number;
  readonly acceptEmptyIndex: boolean;
  /** How many files each part may keep open. */
  readonly maxIndexFiles: number;
  readonly maxFolders: number;
  readonly maxIdleUploads: number;
  readonly onIndexEvent: (event: IndexEvent) => void;
  /** Called for a file or folder in `blobs/` that does not belong there. */
  readonly onStray: (path: string, cause?: unknown) => void;
}

/** The folder that holds the blobs of a data folder as files. */
export function blobsFolderIn(folder: string): string {
  return path.join(folder, 'blobs');
}

/**
 * Opens the stores of a data folder, which is created if needed.
 * @param closers gets the steps that close what was opened. The index is closed last: its lock keeps other processes out.
 */
export async function openFolderStores(
  folder: string,
  options: FolderStoresOptions,
  closers: Closers,
): Promise<FolderStores> {
  // The umask decides who may read it: a web server in front may send the blobs.
  await makeFolder(folder, 0o777);
  const reserve = await DiskReserve.open(folder, { maxBytes: options.reserveBytes });
  const freeSpace = (): Promise<boolean> => reserve.release();
  await withSpace(() => claimLayout(folder), freeSpace);
  // The index opens before the blobs: its lock keeps a second process away from both.
  const metadata = await LevelMetadataStore.open(path.join(folder, 'index'), {
    acceptEmptyIndex: options.acceptEmptyIndex,
    freeSpace,
    maxOpenFiles: options.maxIndexFiles,
    holdsContent: () => hasBlobs(folder),
    onEvent: options.onIndexEvent,
  });
  closers.add('index', () => metadata.close());
  const { onStray, maxFolders: maxFolderHandles, maxIdleUploads: maxIdleStaged } = options;
  const blobs = await withSpace(
    () => FsBlobStore.open(folder, { reserve, onStray, maxFolderHandles, maxIdleStaged }),
    freeSpace,
  );
  closers.add('blobs', () => blobs.close());
  reserve.start();
  return { metadata, blobs };
}
