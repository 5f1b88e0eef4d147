import type { OnStray } from './blob-folders.js';
import type { DiskReserve } from './disk-reserve.js';
import type { OnUnsynced } from './unsynced-recovery.js';
import type { HashClient } from './hashing/hash-client.js';

/** Options of the file store. */
export interface FsBlobStoreOptions {
  /**
   * Maximum number of idle staged blobs that keep a descriptor and a running hash. Beyond it, the oldest lose theirs. Also the
   * maximum number of unsynced blobs, which keep a descriptor too.
   * @default 256
   */
  readonly maxIdleStaged?: number;
  /** Maximum number of folders that stay open for syncing. @default 512 */
  readonly maxFolderHandles?: number;
  /** Uploads up to this size are hashed in the main thread. @default 1048576 */
  readonly maxInlineHashBytes?: number;
  /** Owns the hash worker. The store closes it. @default a new one */
  readonly hashClient?: HashClient;
  /**
   * Refuses bytes before the disk is full. The store closes it.
   * @default none: bytes are written until the disk refuses them
   */
  readonly reserve?: DiskReserve | undefined;
  /** Called once for each stray path. @default does nothing */
  readonly onStray?: OnStray;
  /** How long a blob that was committed without durability stays unsynced. @default 5000 */
  readonly maxUnsyncedMs?: number;
  /** Called when such a blob could not be synced. @default does nothing */
  readonly onUnsynced?: OnUnsynced | undefined;
}
