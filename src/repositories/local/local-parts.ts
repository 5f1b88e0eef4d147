import type { BlobStore } from '../../ports/bytes.js';
import type {
  ImageRecords,
  MetadataWriter,
  RepositoryRecords,
  UploadRecords,
  GarbageRecords,
} from '../../ports/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import type { KeyedMutex } from '../../util/concurrency.js';
import type { ManifestCache } from '../content/manifest-cache.js';
import type { FinishedUploads } from './finished-uploads.js';

/** What the local repositories of one registry share. */
export interface LocalParts {
  readonly blobs: BlobStore;
  readonly metadata: MetadataWriter &
    RepositoryRecords &
    ImageRecords &
    UploadRecords &
    Pick<GarbageRecords, 'isCandidate'>;
  readonly manifests: ManifestCache;
  readonly runtime: Runtime;
  /** Held by digest from before a commit until the link is applied, and by the collector while it deletes. */
  readonly digestLocks: KeyedMutex;
  /** Held by session id: requests of one upload take turns. */
  readonly sessionLocks: KeyedMutex;
  readonly finishedUploads: FinishedUploads;
  /** How long a blob that no manifest names is kept. */
  readonly graceMs: number;
  /** The size of a blob that is pushed; Infinity: any. */
  readonly maxBlobBytes: number;
}
