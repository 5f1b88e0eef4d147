/** Garbage collection and the quarantine of orphans. */
import type { Digest } from '../../protocol/digest.js';
import type {
  GarbageReport,
  PendingGarbage,
  QuarantinedBlob,
} from '../../protocol/tables/documents/garbage-documents.js';
import type { Page, PageRequest } from '../pages.js';

export type { GarbageReport, PendingGarbage, QuarantinedBlob };

export interface CollectOptions {
  readonly dryRun?: boolean;
  /**
   * Shortens the grace period of this pass for deleted content. Blobs of running pushes stay. The report then says what
   * is pending.
   */
  readonly graceMs?: number | undefined;
  /** In a dry run: does not look for orphans, which may read the name of every blob. */
  readonly skipOrphans?: boolean;
  /** Ends the pass early. Its report then counts what it did. */
  readonly signal?: AbortSignal;
  /** Called with the number of candidates that were examined so far. */
  readonly onProgress?: (examined: number) => void;
}

export interface GarbageCollector {
  /** Runs one pass that starts after the call. Calls during a pass share the next one. */
  collect(options?: CollectOptions): Promise<GarbageReport>;
}

/** Holds back the deletion of bytes. */
export interface DeletionHolds {
  /** Whether deletions are held now. */
  readonly isHeld: boolean;
  /**
   * Waits for deletions that are running. From then on no bytes are deleted or moved until the returned function is
   * called, which may happen several times. References are dropped as usual; the content that they leave is collected
   * later.
   */
  hold(): Promise<() => void>;
}

/** Blobs that the orphan audit set aside. They are deleted when they expire, unless the index refers to them again. */
export interface Quarantine {
  /** Lists in byte order of the digest; `after` is a digest. */
  list(page: PageRequest): Promise<Page<QuarantinedBlob>>;
  /**
   * Restores these blobs, or all. They become garbage again after a grace period unless something refers to them by
   * then.
   */
  restore(digests: readonly Digest[] | 'all'): Promise<RestoreReport>;
  /**
   * Returns false if the blob is not in quarantine. @throws RegistryError CONFLICT when the index refers to the digest.
   */
  delete(digest: Digest): Promise<boolean>;
}

export interface RestoreReport {
  readonly restored: number;
  /** Requested digests that are not in quarantine. */
  readonly missing: readonly Digest[];
}
