import { addNumbers } from './live-numbers.js';
import type { Stores } from './open-stores.js';
import type { LiveOptions } from '../options/live-options.js';
import type { BlobStore } from '../ports/bytes.js';
import type { Runtime } from '../ports/runtime.js';
import type { Digest } from '../protocol/digest.js';
import { DamagedBlobs, undamagedStore } from '../repositories/content/damaged-blobs.js';
import { ManifestCache } from '../repositories/content/manifest-cache.js';
import { restoringStore } from '../repositories/garbage/quarantine.js';
import { roomMakingStore, TrashRoom } from '../repositories/garbage/trash-room.js';
import { KeyedMutex } from '../util/scheduling/concurrency.js';

/** What all repositories of a registry share. */
export interface SharedParts extends Stores {
  /** The store for repositories: it makes room, restores from the quarantine, and hides damaged bytes. */
  readonly blobs: BlobStore;
  /** The same store without hiding damaged bytes. */
  readonly unguardedBlobs: BlobStore;
  readonly manifests: ManifestCache;
  readonly damage: DamagedBlobs;
  readonly runtime: Runtime;
  readonly digestLocks: KeyedMutex;
}

/**
 * Creates the parts that all repositories share.
 * @param collect frees bytes that nothing refers to
 */
export function createSharedParts(
  stores: Stores,
  live: LiveOptions,
  runtime: Runtime,
  collect: () => Promise<unknown>,
): { readonly shared: SharedParts; readonly onDeletedBytes: (digest: Digest) => void } {
  const manifests = new ManifestCache(live.current.maxManifestCacheBytes);
  const room = new TrashRoom(addNumbers({ ...stores, runtime, collect }, live));
  const damage = new DamagedBlobs({ ...stores, runtime, onDamaged: (digest) => manifests.delete(digest) });
  const unguardedBlobs = restoringStore({ ...stores, runtime });
  const roomMaking = roomMakingStore(unguardedBlobs, (bytes) => room.ensureRoom(bytes));
  const blobs = undamagedStore(roomMaking, damage);
  return {
    shared: { ...stores, blobs, unguardedBlobs, manifests, damage, runtime, digestLocks: new KeyedMutex() },
    onDeletedBytes: (digest) => {
      manifests.delete(digest);
      damage.forget(digest);
    },
  };
}
