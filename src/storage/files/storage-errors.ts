import { algorithmOf, digestOf, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { TooManyBytesError } from '../../util/streams/streams.js';

/** Returns whether a file-system call failed with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}

/** Runs a call on a file. Resolves to false when the file does not exist. */
export async function isDone(call: () => Promise<void>): Promise<boolean> {
  try {
    await call();
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

/** Creates the error for content with another digest than expected. */
export function digestInvalid(expected: Digest, found: Digest): RegistryError {
  // Common enough to explain.
  const isEmpty = found === digestOf(new Uint8Array(), algorithmOf(found));
  return new RegistryError('DIGEST_INVALID', {
    message: isEmpty
      ? 'no bytes arrived, but the digest is not that of empty content: a body parser or a proxy in front of the registry may have consumed the body'
      : 'the content does not have the given digest',
    detail: { expected, found },
  });
}

/** Creates the error for a file with another size than expected. */
export function sizeInvalid(path: string, expected: number, found: number): RegistryError {
  return new RegistryError('SIZE_INVALID', {
    message: `${path} has ${found} bytes instead of ${expected}`,
    detail: { expected, found },
  });
}

/**
 * Translates an error for the callers of a store: too many bytes, a full disk or a failed index become a RegistryError.
 * Returns other errors unchanged.
 */
export function toStorageError(error: unknown): unknown {
  if (error instanceof RegistryError) return error;
  if (error instanceof TooManyBytesError) {
    return new RegistryError('SIZE_INVALID', { message: 'more bytes than announced', cause: error });
  }
  if (isDiskFull(error)) {
    return new RegistryError('UNAVAILABLE', { status: 507, message: 'no space left on the disk', cause: error });
  }
  if (isFailedIndex(error))
    return new RegistryError('UNAVAILABLE', { message: 'the index is unavailable', cause: error });
  return error;
}

/**
 * Returns whether the system, or LevelDB in the system's words, reports that no space is left. Also checks the causes
 * of the error.
 */
export function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (hasCode(error, 'ENOSPC', 'EDQUOT')) return true;
  // The last phrase is from Windows in English; other languages are not recognized.
  if (hasCode(error, 'LEVEL_IO_ERROR') && /No space left|Disk quota|not enough space/.test(error.message)) return true;
  return isDiskFull(error.cause);
}

/** Returns whether LevelDB, or the parser of its entries, failed to read or write. */
function isFailedIndex(error: unknown): boolean {
  if (error instanceof SyntaxError) return true;
  return error instanceof Error && 'code' in error && String(error.code).startsWith('LEVEL_');
}

const idPattern = /^[A-Za-z0-9-]{1,128}$/;

/** Returns whether this is a valid id of staged bytes. It becomes a file name, so nothing else may pass. */
export function isStagedId(id: string): boolean {
  return idPattern.test(id);
}

/** Checks the id of staged bytes. Ids come from the registry itself. @throws TypeError for an invalid id */
export function checkStagedId(id: string): void {
  if (!isStagedId(id)) throw new TypeError(`invalid id of staged bytes: ${JSON.stringify(id.slice(0, 100))}`);
}
