/** Garbage collection and the quarantine. */
import type { Digest } from '../protocol/digest.js';
import type { Page, PageRequest } from './pages.js';

export interface GarbageReport {
  readonly dryRun: boolean;
  readonly startedAt: number;
  readonly finishedAt: number;
  /** Candidates looked at. */
  readonly examined: number;
  readonly unlinked: number;
  readonly blobsDeleted: number;
  readonly bytesFreed: number;
  /** Bytes that the audit moved to the quarantine: nothing refers to them, and no dropped reference left a candidate. */
  readonly quarantined: number;
  readonly quarantinedBytes: number;
  /** Bytes that left the quarantine because the index refers to them again. */
  readonly restored: number;
  readonly uploadsExpired: number;
}

export interface GarbageCollector {
  /** One pass that starts after the call. Calls that wait for a running pass to end share the next one. */
  collect(options?: { readonly dryRun?: boolean }): Promise<GarbageReport>;
}

/** Bytes that an audit set aside. They are deleted when their time is up, unless the index refers to them again. */
export interface Quarantine {
  /** In byte order of the digest; `after` is a digest. */
  list(page: PageRequest): Promise<Page<QuarantinedBlob>>;
  /** Restores these, or all. They are garbage again after a grace period unless something refers to them by then. */
  restore(digests: readonly Digest[] | 'all'): Promise<RestoreReport>;
  /** Resolves to false if it is not in quarantine. @throws RegistryError CONFLICT when the index refers to the digest. */
  delete(digest: Digest): Promise<boolean>;
}

export interface QuarantinedBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly quarantinedAt: number;
  readonly expiresAt: number;
}

export interface RestoreReport {
  readonly restored: number;
  /** Digests that were asked for and are not in quarantine. */
  readonly missing: readonly Digest[];
}
