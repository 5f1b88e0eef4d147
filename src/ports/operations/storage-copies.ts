/** Copies of a registry into other storage. */
import type { DamagedContent, WorkOptions } from './backup.js';

/** Counts of index entries that differ between the target and the source. */
export interface CountDifference {
  readonly kind: string;
  readonly source: number;
  readonly target: number;
}

/** The result of a copy. Times are milliseconds since the epoch. */
export interface CopyReport {
  readonly startedAt: number;
  readonly finishedAt: number;
  /** Number and total size of the blobs that the index refers to, without damaged ones. */
  readonly blobs: number;
  readonly bytes: number;
  /** The part of them that this run sent. */
  readonly added: number;
  readonly addedBytes: number;
  /** Entries of the index, by kind. */
  readonly entries: Readonly<Record<string, number>>;
  readonly differences: readonly CountDifference[];
  /** Blobs that the source lacks, or whose bytes are wrong. */
  readonly damaged: readonly DamagedContent[];
}

/** Copies of other registries into the storage of this one. */
export interface StorageCopies {
  /**
   * Copies the data folder of a stopped registry, or a backup of a running one, into storage that is empty, or that an
   * earlier copy of the same registry filled. Sends only blobs that the target lacks, and replaces the index.
   * @throws Error when the source cannot be read, or the target belongs to another registry; nothing was changed then.
   */
  copyFrom(folder: string, work: WorkOptions): Promise<CopyReport>;
}
