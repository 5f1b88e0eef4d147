/** Syncs: images of another registry that are copied to a local repository again and again. */
import type { SyncConfig } from '../../protocol/settings/sync-config.js';
import type { JobState } from './jobs.js';
import type { Actor } from '../metadata/journal.js';

/** Why something was not copied. */
export interface SyncProblem {
  /** An image, or a pattern of images. */
  readonly image: string;
  /** Absent if it concerns the whole image. */
  readonly tag?: string | undefined;
  /** Contains no paths. */
  readonly error: string;
}

/** The result of a run, or of a dry run. */
export interface SyncReport {
  readonly sync: string;
  readonly images: number;
  /** Tags that the sync selects and the upstream has. */
  readonly tags: number;
  readonly copiedTags: number;
  readonly unchangedTags: number;
  readonly failedTags: number;
  readonly deletedTags: number;
  readonly copiedManifests: number;
  readonly copiedBlobs: number;
  readonly copiedBytes: number;
  /** The number of problems. */
  readonly failed: number;
  /** The first 100 problems. */
  readonly problems: readonly SyncProblem[];
}

/** A run of a sync that is not a dry run. */
export interface SyncRun {
  readonly job: string;
  readonly state: JobState;
  readonly startedAt: number;
  readonly finishedAt?: number | undefined;
  readonly report?: SyncReport | undefined;
  /** Why the run failed as a whole. */
  readonly error?: string | undefined;
}

/** The status of a sync. */
export interface SyncStatus {
  /** Absent before the first run. */
  readonly lastRun?: SyncRun | undefined;
  /** When it runs again. Absent if it runs only on request. */
  readonly nextRunAt?: number | undefined;
}

/** A sync and its status. */
export interface SyncRecord {
  readonly config: SyncConfig;
  /** `declared`: fixed by code or the config file. `managed`: changed through the API. */
  readonly origin: 'declared' | 'managed';
  readonly status: SyncStatus;
}

/** The syncs of a registry. Jobs of the kind `sync` run them. */
export interface Syncs {
  /** Sorted by name. */
  list(): Promise<readonly SyncRecord[]>;
  get(name: string): Promise<SyncRecord | undefined>;
  /** @throws RegistryError OPTIONS_INVALID for unsuitable repositories; CONFLICT when the name is taken. */
  create(config: SyncConfig, by: Actor): Promise<SyncRecord>;
  /** Returns `undefined` for an unknown sync. @throws RegistryError OPTIONS_INVALID; CONFLICT for a declared one. */
  replace(config: SyncConfig, by: Actor): Promise<SyncRecord | undefined>;
  /** Deletes no images. Returns false for an unknown sync. @throws RegistryError CONFLICT for a declared one. */
  delete(name: string, by: Actor): Promise<boolean>;
}
