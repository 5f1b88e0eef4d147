import type { IndexFailure } from '../ports.js';

export interface IndexOptions {
  /** How much of the hot records to keep in memory. @default 32 MiB */
  readonly cacheBytes?: number;
  /**
   * Called when the index needs room on a full disk, before it is opened again. Resolves to true when it released some.
   * @default nothing can be released
   */
  readonly freeSpace?: () => Promise<boolean>;
  /** Called for each event of the index; must not throw. */
  readonly onEvent?: (event: IndexEvent) => void;
}

export type IndexEvent =
  | { readonly type: 'failed'; readonly failure: IndexFailure }
  | { readonly type: 'reopened'; readonly reopens: number; readonly failure: IndexFailure };

/** LevelDB's own words name no folder, and the reason is in the cause. */
export function explainFailure(folder: string, error: unknown): Error {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : undefined;
  if (cause !== undefined && 'code' in cause && cause.code === 'LEVEL_LOCKED') {
    return new Error(`another process has ${folder} open`, { cause: error });
  }
  const reason = cause ?? error;
  const message = reason instanceof Error ? reason.message : String(reason);
  return new Error(`the index ${folder} could not be opened: ${message}`, { cause: error });
}
