import { addNumbers } from './operations/live-numbers.js';
import type { Stores } from './stores/open-stores.js';
import type { LiveOptions } from '../options/live-options.js';
import type { BlobStore } from '../ports/bytes.js';
import type { Runtime } from '../ports/runtime.js';
import type { Digest } from '../protocol/digest.js';
import { DamagedBlobs, undamagedStore } from '../repositories/content/damaged-blobs.js';
import { RecentContent } from '../repositories/content/recent-content.js';
import { BlobQuarantine, restoringStore } from '../repositories/garbage/quarantine.js';
import { roomMakingStore, TrashRoom, type TrashRoomParts } from '../repositories/garbage/trash-room.js';
import { KeyedMutex } from '../util/scheduling/concurrency.js';

/** The parts that all repositories of a registry share. */
export interface SharedParts extends Stores {
  /** The store for repositories: it restores from the quarantine, and hides damaged bytes. */
  readonly blobs: BlobStore;
  /** The same store without hiding damaged bytes. */
  readonly unguardedBlobs: BlobStore;
  readonly recent: RecentContent;
  readonly damage: DamagedBlobs;
  readonly quarantine: BlobQuarantine;
  readonly trashRoom: Pick<TrashRoom, 'lastEmptied'>;
  readonly runtime: Runtime;
  readonly digestLocks: KeyedMutex;
}

/** The part of the garbage collector that makes room. */
export type Collection = Pick<TrashRoomParts, 'collect' | 'isHeld'>;

/**
 * Creates the parts that all repositories share.
 * `pushedBlobs` is the store for pushes, which empty the trash when the disk is full. Caches make room themselves, and counts
 * are not worth it.
 */
export function createSharedParts(
  stores: Stores,
  live: LiveOptions,
  runtime: Runtime,
  collection: Collection,
): {
  readonly shared: SharedParts;
  readonly pushedBlobs: BlobStore;
  readonly onDeletedBytes: (digest: Digest) => void;
} {
  const recent = new RecentContent(live.current.maxManifestCacheBytes);
  const room = new TrashRoom(addNumbers({ ...stores, runtime, ...collection }, live));
  const damage = new DamagedBlobs({ ...stores, runtime, onDamaged: (digest) => recent.delete(digest) });
  const quarantine = new BlobQuarantine(addNumbers({ ...stores, runtime }, live));
  const unguardedBlobs = restoringStore({ ...stores, runtime });
  const blobs = undamagedStore(unguardedBlobs, damage);
  return {
    pushedBlobs: roomMakingStore(blobs, (bytes) => room.ensureRoom(bytes)),
    shared: {
      ...stores,
      blobs,
      unguardedBlobs,
      recent,
      damage,
      quarantine,
      trashRoom: room,
      runtime,
      digestLocks: new KeyedMutex(),
    },
    onDeletedBytes: (digest) => {
      recent.delete(digest);
      damage.forget(digest);
    },
  };
}
