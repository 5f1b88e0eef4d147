/** The status of a registry: its figures, and the problems that need attention. */

/**
 * The urgency of a problem. `error`: something does not work, or data is lost. `notice`: it ends by itself, or is only
 * information.
 */
export type ProblemSeverity = 'error' | 'warning' | 'notice';

/** A problem, for people. Contains no paths and no secrets. */
export interface RegistryProblem {
  /** Identifies the kind for programs: `disk-full`. */
  readonly kind: string;
  readonly severity: ProblemSeverity;
  /** What is wrong. */
  readonly what: string;
  /** The repository, image, job, upstream, quota or webhook. Absent: the whole registry. */
  readonly where?: string | undefined;
  /** Absent when it is unknown. */
  readonly sinceAt?: number | undefined;
  /** What to do. */
  readonly advice: string;
}

/** Finds problems of one part of the registry. Called for each status, so it must be cheap. */
export interface ProblemSource {
  /** For the log. */
  readonly name: string;
  find(): Promise<readonly RegistryProblem[]>;
}

/** A figure that is computed in the background. */
export interface Computed<T> {
  readonly value: T;
  readonly computedAt: number;
}

/** The content of a repository. */
export interface RepositoryFigures {
  readonly images: number;
  readonly tags: number;
  /** Each digest counts once per image. */
  readonly bytes: number;
  /** When something was last pushed or fetched. Absent if it is empty. */
  readonly pushedAt?: number;
  /** The number of bytes that emptying its trash could free. */
  readonly trashBytes: number;
}

/** The figures of a registry. Those that are computed in the background are absent until they are known. */
export interface StatusFigures {
  /** Each digest counts once. */
  readonly storedBytes: number;
  /** The number of bytes that a garbage collection would free now. */
  readonly reclaimableBytes?: Computed<number> | undefined;
  /** By repository. */
  readonly repositories?: Computed<ReadonlyMap<string, RepositoryFigures>> | undefined;
  /** The bytes that only one repository holds, by repository. */
  readonly uniqueBytes?: Computed<ReadonlyMap<string, number>> | undefined;
}

/** The file system with the blobs. */
export interface DiskSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Reports the status of a registry. Its cost does not depend on the number of blobs. */
export interface StatusReader {
  figures(): Promise<StatusFigures>;
  /** Returns `undefined` when the store does not report its space. */
  disk(): Promise<DiskSpace | undefined>;
  /**
   * Returns in how many days the disk is full at the present growth; `undefined` if that is unknown or does not happen.
   */
  daysUntilFull(disk: DiskSpace): Promise<number | undefined>;
  /** Returns the problems of all sources, the most urgent first. Leaves out sources that fail. */
  problems(): Promise<readonly RegistryProblem[]>;
}
