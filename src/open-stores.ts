import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { divideOpenFiles, readOpenFileLimit } from './open-file-limit.js';
import type { RegistryOptions, ResolvedOptions } from './options.js';
import type { BlobStore, MetadataStore, Runtime } from './ports.js';
import type { OnStray } from './storage/blob-folders.js';
import { DiskReserve } from './storage/disk-reserve.js';
import { FsBlobStore } from './storage/fs-blob-store.js';
import { claimLayout } from './storage/layout.js';
import type { IndexEvent } from './storage/level-database.js';
import { LevelMetadataStore } from './storage/level-metadata-store.js';
import { isDiskFull } from './storage/storage-errors.js';

export interface Stores {
  readonly blobs: BlobStore;
  readonly metadata: MetadataStore;
}

/** Where the blobs of a folder's stores lie as files. */
export function blobsFolderOf(storage: RegistryOptions['storage']): string | undefined {
  return typeof storage === 'string' ? path.join(storage, 'blobs') : undefined;
}

/** Those that were given, or the stores of a folder, which is made when absent. */
export async function openStores(
  { storage, reserveBytes }: Pick<ResolvedOptions, 'storage' | 'reserveBytes'>,
  runtime: Runtime,
): Promise<Stores> {
  if (typeof storage !== 'string') return storage;
  const { maxFolders, maxIdleUploads } = divideOpenFiles(readOpenFileLimit());
  await mkdir(storage, { recursive: true });
  const reserve = await DiskReserve.open(storage, { maxBytes: reserveBytes });
  await retryWithRoom(reserve, () => claimLayout(storage));
  // The index before the blobs: its lock keeps a second process away from both.
  const indexOptions = {
    onEvent: (event: IndexEvent) => announce(event, runtime),
    freeSpace: () => reserve.release(),
  };
  const indexFolder = path.join(storage, 'index');
  const metadata = await retryWithRoom(reserve, () => LevelMetadataStore.open(indexFolder, indexOptions));
  try {
    const onStray: OnStray = (path, cause) =>
      runtime.log.warn({ path, err: cause }, 'unexpected file or unusable folder skipped');
    const blobOptions = { reserve, onStray, maxFolderHandles: maxFolders, idleStagedMax: maxIdleUploads };
    const blobs = await retryWithRoom(reserve, () => FsBlobStore.open(storage, blobOptions));
    reserve.start();
    return { metadata, blobs };
  } catch (error) {
    await metadata.close();
    throw error;
  }
}

/** A start needs space for small files: on a full disk it takes some of the reserve. */
async function retryWithRoom<T>(reserve: DiskReserve, task: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await task();
    } catch (error) {
      if (!isDiskFull(error) || !(await reserve.release())) throw error;
    }
  }
}

function announce(event: IndexEvent, runtime: Runtime): void {
  if (event.type === 'failed') {
    runtime.log.error({ failure: event.failure }, 'index write failed');
    runtime.emit('index.failed', event.failure);
  } else {
    const { reopens, failure } = event;
    runtime.log.warn({ reopens, failure }, 'index reopened');
    runtime.emit('index.reopened', { reopens, failure });
  }
}
