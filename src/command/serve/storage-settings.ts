import { resolve } from 'node:path';
import type { BucketStorageOptions } from '../../options/generated/storage-options.js';
import { isBucketStorage, isDatabaseIndex } from '../../options/storage-schema.js';
import type { Problem } from '../../protocol/settings/option-schema.js';
import type { Checked } from '../config-file.js';

/** The data folder, or an index and a bucket. */
export type StorageSettings = string | BucketStorageOptions;

/** Returns the storage of a config file as written there. Only code can pass stores of its own. */
export function configuredStorage(given: unknown = './data'): Checked<unknown> {
  if (typeof given === 'string' || isBucketStorage(given)) return { value: given, problems: [] };
  const problem = 'must be the path of the data folder, or { metadata, blobs }';
  return { value: './data', problems: [{ path: 'storage', problem }] };
}

/**
 * Makes the paths absolute.
 * @param data the flag `--data`, which overrides the folder of the file.
 * @param fromFile resolves a path of the config file.
 */
export function resolveStorage(
  storage: StorageSettings,
  data: string | undefined,
  fromFile: (path: string) => string,
): Checked<StorageSettings> {
  const folder = (path: string): string => (data === undefined ? fromFile(path) : resolve(data));
  if (typeof storage === 'string') return { value: folder(storage), problems: [] };
  const { metadata, blobs } = storage;
  const { spool } = blobs.s3;
  const next = spool === undefined ? blobs : { s3: { ...blobs.s3, spool: fromFile(spool) } };
  if (!isDatabaseIndex(metadata)) {
    return { value: { metadata: { level: folder(metadata.level) }, blobs: next }, problems: [] };
  }
  const problems: readonly Problem[] =
    data === undefined
      ? []
      : [{ path: 'storage.metadata.postgres', problem: 'cannot be combined with --data: the index has no folder' }];
  return { value: { metadata, blobs: next }, problems };
}

/** Returns the data folder, which with blobs in a bucket has only the index. `undefined` for an index in a database. */
export function folderOf(storage: StorageSettings): string | undefined {
  if (typeof storage === 'string') return storage;
  return isDatabaseIndex(storage.metadata) ? undefined : storage.metadata.level;
}

/** Describes where the data is, without passwords. */
export function describeStorage(storage: StorageSettings): string {
  if (typeof storage === 'string') return storage;
  const { metadata, blobs } = storage;
  const index = isDatabaseIndex(metadata) ? describeDatabase(metadata.postgres.url) : metadata.level;
  return `${index}, blobs in the bucket ${blobs.s3.bucket}`;
}

function describeDatabase(url: string): string {
  const { host, pathname, searchParams } = new URL(url);
  return `PostgreSQL at ${host === '' ? (searchParams.get('host') ?? 'localhost') : host}${pathname}`;
}
