import type { DamageRecords } from '../../ports/operations/backup.js';
import type { BlobStore } from '../../ports/bytes.js';
import type {
  LimitedWriter,
  ImageRecords,
  MetadataStore,
  MetadataWriter,
  RepositoryRecords,
  UploadRecords,
  GarbageRecords,
} from '../../ports/metadata/metadata.js';
import type { HookGate } from '../../ports/hooks.js';
import type { Runtime } from '../../ports/runtime.js';
import type { KeyedMutex } from '../../util/scheduling/concurrency.js';
import type { PullCounts } from '../content/pull-counts.js';
import type { PushLeases } from '../content/push-leases.js';
import type { RecentContent } from '../content/recent-content.js';
import type { Quotas } from './quota/quotas.js';
import type { FinishedUploads } from './finished-uploads.js';

/** The parts that all local repositories of one registry share. */
export interface LocalParts {
  readonly blobs: BlobStore;
  readonly metadata: MetadataWriter &
    LimitedWriter &
    RepositoryRecords &
    ImageRecords &
    UploadRecords &
    Pick<GarbageRecords, 'isCandidate'> &
    Pick<MetadataStore, 'trash' | 'inventory' | 'shared'>;
  readonly recent: RecentContent;
  readonly damage: DamageRecords;
  readonly quotas: Quotas;
  /** Asks the host application before a change. */
  readonly hooks: Pick<HookGate, 'manifestPut' | 'tagMove' | 'delete'>;
  readonly runtime: Runtime;
  /** Locks by digest: held from before a commit until the link is written, and by the collector while it deletes. */
  readonly digestLocks: KeyedMutex;
  /** Locks by session id: requests of one upload take turns. */
  readonly sessionLocks: KeyedMutex;
  readonly finishedUploads: FinishedUploads;
  readonly leases: PushLeases;
  readonly pullCounts: Pick<PullCounts, 'count'>;
  /** The grace period of blobs that no manifest names. */
  readonly graceMs: number;
  /** The maximum size of a pushed blob; Infinity means no limit. */
  readonly maxBlobBytes: number;
}
