/** Whether the index accepts writes, for the health check. */

export interface MetadataStatus {
  /** False from a failed write until the index accepts writes again. */
  readonly writable: boolean;
  /** The number of times that the index was closed and opened again after a failed write. */
  readonly reopens: number;
  /** The last failed write, sync, reopen or read. */
  readonly lastFailure?: IndexFailure;
}

export interface IndexFailure {
  /** The error message, without a stack. */
  readonly message: string;
  readonly at: number;
  /** True when the disk is full. */
  readonly noSpace: boolean;
}
