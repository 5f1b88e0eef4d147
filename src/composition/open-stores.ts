import path from 'node:path';
import { divideOpenFiles, readOpenFileLimit } from '../command/open-file-limit.js';
import type { RegistryOptions } from '../options/generated/registry-options.js';
import type { ResolvedOptions } from '../options/options-schema.js';
import type { BlobStore } from '../ports/bytes.js';
import type { MetadataStore } from '../ports/metadata.js';
import type { Runtime } from '../ports/runtime.js';
import { hasBlobs, type OnStray } from '../storage/files/blob-folders.js';
import { DiskReserve } from '../storage/files/disk-reserve.js';
import { FsBlobStore } from '../storage/files/fs-blob-store.js';
import { claimLayout } from '../storage/files/layout.js';
import type { IndexEvent } from '../storage/level/database/level-database.js';
import { makeFolder } from '../storage/level/database/level-folder.js';
import { LevelMetadataStore } from '../storage/level/level-metadata-store.js';
import { withSpace } from '../storage/level/database/level-space.js';

export interface Stores {
  readonly blobs: BlobStore;
  readonly metadata: MetadataStore;
}

/** Where the blobs of a folder's stores lie as files. */
export function blobsFolderOf(storage: RegistryOptions['storage']): string | undefined {
  return typeof storage === 'string' ? path.join(storage, 'blobs') : undefined;
}

/** Returns the stores that were given, or opens those of a folder, which is made when absent. */
export async function openStores(
  { storage, reserveBytes, acceptEmptyIndex }: Pick<ResolvedOptions, 'storage' | 'reserveBytes' | 'acceptEmptyIndex'>,
  runtime: Runtime,
): Promise<Stores> {
  if (typeof storage !== 'string') return storage;
  const { maxFolders, maxIdleUploads, maxIndexFiles } = divideOpenFiles(readOpenFileLimit());
  // Readable for others as far as the umask says: a web server in front may send the blobs.
  await makeFolder(storage, 0o777);
  const reserve = await DiskReserve.open(storage, { maxBytes: reserveBytes });
  const freeSpace = (): Promise<boolean> => reserve.release();
  await withSpace(() => claimLayout(storage), freeSpace);
  let startedEmpty = false;
  // The index before the blobs: its lock keeps a second process away from both.
  const metadata = await LevelMetadataStore.open(path.join(storage, 'index'), {
    acceptEmptyIndex,
    freeSpace,
    maxOpenFiles: maxIndexFiles,
    holdsContent: () => hasBlobs(storage),
    onEvent: (event) => {
      startedEmpty ||= event.type === 'started-empty';
      announce(event, runtime);
    },
  });
  if (acceptEmptyIndex && !startedEmpty) {
    runtime.log.warn({}, 'acceptEmptyIndex is set but the index is intact: remove it, or the next loss goes unnoticed');
  }
  try {
    const onStray: OnStray = (path, cause) =>
      runtime.log.warn({ path, err: cause }, 'unexpected file or unusable folder skipped');
    const blobOptions = { reserve, onStray, maxFolderHandles: maxFolders, maxIdleStaged: maxIdleUploads };
    const blobs = await withSpace(() => FsBlobStore.open(storage, blobOptions), freeSpace);
    reserve.start();
    return { metadata, blobs };
  } catch (error) {
    await metadata.close();
    throw error;
  }
}

function announce(event: IndexEvent, runtime: Runtime): void {
  const { log } = runtime;
  switch (event.type) {
    case 'failed':
      log.error({ failure: event.failure }, 'index write failed');
      return runtime.emit('index.failed', event.failure);
    case 'reopened': {
      const { reopens, failure } = event;
      log.warn({ reopens, failure }, 'index reopened');
      return runtime.emit('index.reopened', { reopens, failure });
    }
    case 'started-empty':
      log.warn({ finding: event.finding, movedTo: event.movedTo }, 'index started empty');
  }
}
