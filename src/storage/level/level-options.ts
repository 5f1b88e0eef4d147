import type { DatabaseOptions } from './database/level-database.js';

/** Options of the index. */
export interface LevelMetadataStoreOptions extends DatabaseOptions {
  /** Maximum size of the cache of hot records in memory. @default 32 MiB */
  readonly cacheBytes?: number;
  /**
   * Whether the ledger of the index has the places of all bytes: then the precondition `bytes` asks it.
   * @default false: the blobs are in another store
   */
  readonly knowsPlaces?: boolean;
}

/** The default of `cacheBytes`. */
export const defaultCacheBytes = 32 * 1024 * 1024;
