import path from 'node:path';

/** The finding for an index folder that is not there. */
export const folderMissing = 'the folder is missing';

/**
 * The index lost something that it had acknowledged, or is not the index of this data folder. Opening it would make that
 * final, so nothing is changed until an operator decides.
 */
export class IndexDamageError extends Error {
  override readonly name = 'IndexDamageError';
  readonly code = 'INDEX_DAMAGED';
  /** What was found, in a few words. */
  readonly finding: string;

  constructor(folder: string, finding: string, cause?: unknown) {
    const data = path.dirname(folder);
    const isMissing = finding === folderMissing;
    const lines = [
      isMissing
        ? `the index ${folder} is missing, but the data folder had one. Nothing was changed. Do one of these:`
        : `the index ${folder} is not as the registry left it: ${finding}. Nothing was changed. Do one of these:`,
      `  restore ${data} from a backup`,
      ...(isMissing ? [] : [`  run artifactapi repair-index --data ${data}, which keeps what is readable`]),
      '  start once with --accept-empty-index, or the option acceptEmptyIndex: true, which moves what is left of the index aside',
      '  and starts empty: blobs go to the quarantine, and images must be pushed again',
    ];
    super(lines.join('\n'), cause === undefined ? undefined : { cause });
    this.finding = finding;
  }
}

/** Translates what LevelDB says when it cannot open a folder: it names no folder, and the reason is in the cause. */
export function explainOpenFailure(folder: string, error: unknown): Error {
  if (error instanceof IndexDamageError) return error;
  if (isLocked(error)) return new Error(`another process has ${folder} open`, { cause: error });
  const reason = causeOf(error) ?? error;
  const message = reason instanceof Error ? reason.message : String(reason);
  if (codeOf(reason) === 'LEVEL_CORRUPTION') {
    return new IndexDamageError(folder, `LevelDB reports "${message}"`, error);
  }
  return new Error(`the index ${folder} could not be opened: ${message}`, { cause: error });
}

/** Whether LevelDB could not open a folder because another process has it open. */
export function isLocked(error: unknown): boolean {
  return codeOf(causeOf(error)) === 'LEVEL_LOCKED';
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
