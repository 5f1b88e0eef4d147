/**
 * Opens the stores of a registry, including for work on a stopped one: imports and copies. Imported by ../open-registry.ts
 * and command/.
 */
import { openBucket } from './open-bucket.js';
import type { ResolvedOptions } from '../../options/options-schema.js';
import { isBucketStorage, type ResolvedStorage } from '../../options/storage-schema.js';
import type { Runtime } from '../../ports/runtime.js';
import type { Digest } from '../../protocol/digest.js';
import { blobsFolderIn, openFolderStores, type FolderStores, type IndexEvent } from '../../storage/folder-stores.js';
import type { Closers } from '../../util/closers.js';
import { divideOpenFiles, readOpenFileLimit } from '../../util/open-file-limit.js';

/** The two stores of a registry. */
export type Stores = FolderStores;

/** Returns the folder that holds the blobs as files; `undefined` for stores that the host application gave. */
export function blobsFolderOf(storage: ResolvedStorage): string | undefined {
  return typeof storage === 'string' ? blobsFolderIn(storage) : undefined;
}

/**
 * Returns the stores that the host application gave, or opens those of a folder.
 * @param closers gets the steps that close opened stores, and none for given stores.
 */
export async function openStores(
  { storage, reserveBytes, acceptEmptyIndex }: Pick<ResolvedOptions, 'storage' | 'reserveBytes' | 'acceptEmptyIndex'>,
  runtime: Runtime,
  closers: Closers,
): Promise<Stores> {
  const isBucket = isBucketStorage(storage);
  if (typeof storage !== 'string' && !isBucket) return storage;
  let startedEmpty = false;
  const options = {
    ...divideOpenFiles(readOpenFileLimit()),
    reserveBytes,
    acceptEmptyIndex,
    onIndexEvent: (event: IndexEvent) => {
      startedEmpty ||= event.type === 'started-empty';
      announce(event, runtime);
    },
    onStray: (path: string, cause: unknown) =>
      runtime.log.warn({ path, err: cause }, 'unexpected file or unusable folder skipped'),
    onUnsynced: (state: 'lost' | 'kept', digest: Digest, cause: unknown) => {
      if (state === 'lost')
        runtime.log.warn({ digest, err: cause }, 'blob lost before it was on the disk: push it again');
      else runtime.log.error({ digest, err: cause }, 'blob could not be flushed to the disk, its file is kept');
    },
  };
  const stores = await (isBucket
    ? openBucket(storage, options, runtime, closers)
    : openFolderStores(storage, options, closers));
  if (acceptEmptyIndex && !startedEmpty) {
    runtime.log.warn({}, 'acceptEmptyIndex is set but the index is intact: remove it, or the next loss goes unnoticed');
  }
  return stores;
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
