import path from 'node:path';

/** The finding for a missing index folder. */
export const folderMissing = 'the folder is missing';

/**
 * The index lost acknowledged data, or does not belong to this data folder. Opening it would make the loss permanent,
 * so nothing is changed until an operator decides.
 */
export class IndexDamageError extends Error {
  override readonly name = 'IndexDamageError';
  readonly code = 'INDEX_DAMAGED';
  /** A short description of the damage. */
  readonly finding: string;

  constructor(folder: string, finding: string, cause?: unknown) {
    const data = path.dirname(folder);
    const isMissing = finding === folderMissing;
    const lines = [
      isMissing
        ? `the index ${folder} is missing, but the data folder had one. Nothing was changed. Choose one:`
        : `the index ${folder} is damaged: ${finding}. Nothing was changed. Choose one:`,
      `  restore ${data} from a backup`,
      isMissing
        ? '  run artifactapi storage rebuild, which recovers the manifests, but neither names, tags, users nor rules'
        : `  run artifactapi repair --data ${data}, which keeps all readable entries`,
      '  run artifactapi serve --accept-empty-index once, or set the option acceptEmptyIndex: true for one start: the rest of',
      '  the index is moved aside, an empty one is created, blobs move to the quarantine, and images must be pushed again',
    ];
    super(lines.join('\n'), cause === undefined ? undefined : { cause });
    this.finding = finding;
  }
}

/**
 * Translates LevelDB's error for a folder that it cannot open, which names no folder and hides the reason in its cause.
 */
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

/** Returns whether LevelDB could not open a folder because another process has it open. */
export function isLocked(error: unknown): boolean {
  return codeOf(causeOf(error)) === 'LEVEL_LOCKED';
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
