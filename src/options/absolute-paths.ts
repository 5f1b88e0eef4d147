import { resolve } from 'node:path';
import type { ResolvedOptions } from './options-schema.js';
import { isBucketStorage, isDatabaseIndex, type BucketStorage, type ResolvedStorage } from './storage-schema.js';

/**
 * Returns the options with absolute paths. The registry opens files for as long as it runs, and the host application may
 * change its working directory meanwhile.
 * @param folder the folder to which relative paths are relative.
 */
export function withAbsolutePaths(options: ResolvedOptions, folder: string): ResolvedOptions {
  const { storage, access, audit, backups, imports } = options;
  return {
    ...options,
    storage: placeStorage(storage, folder),
    access:
      typeof access === 'object' && access.htpasswd !== undefined
        ? { ...access, htpasswd: resolve(folder, access.htpasswd) }
        : access,
    audit: audit && { ...audit, file: resolve(folder, audit.file) },
    backups: backups.folder === undefined ? backups : { ...backups, folder: resolve(folder, backups.folder) },
    imports: { ...imports, folders: imports.folders.map((one) => resolve(folder, one)) },
  };
}

function placeStorage(storage: ResolvedStorage, folder: string): ResolvedStorage {
  if (typeof storage === 'string') return resolve(folder, storage);
  if (!isBucketStorage(storage)) return storage;
  const { metadata, blobs } = storage;
  return {
    metadata: isDatabaseIndex(metadata) ? metadata : { ...metadata, level: resolve(folder, metadata.level) },
    blobs: { s3: placeSpool(blobs.s3, folder) },
  };
}

function placeSpool(s3: BucketStorage['blobs']['s3'], folder: string): BucketStorage['blobs']['s3'] {
  return s3.spool === undefined ? s3 : { ...s3, spool: resolve(folder, s3.spool) };
}
