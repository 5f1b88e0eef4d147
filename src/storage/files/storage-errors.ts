import { algorithmOf, digestOf, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';
import { TooManyBytesError } from '../../util/streams.js';

/** Whether a file-system call failed with this code. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}

/** Runs a call on a file; false when the file does not exist. */
export async function isDone(call: () => Promise<void>): Promise<boolean> {
  try {
    await call();
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

export function digestInvalid(expected: Digest, found: Digest): RegistryError {
  // Found often enough to say what it is.
  const isEmpty = found === digestOf(new Uint8Array(), algorithmOf(found));
  return new RegistryError('DIGEST_INVALID', {
    message: isEmpty
      ? 'no bytes arrived, but the digest is of some: a body parser or a proxy in front of the registry usually drops them'
      : 'the content has another digest than the one given',
    detail: { expected, found },
  });
}

/** What the caller of a store shall see: a verdict for too many bytes and for a full disk, else the error itself. */
export function toStorageError(error: unknown): unknown {
  if (error instanceof RegistryError) return error;
  if (error instanceof TooManyBytesError) {
    return new RegistryError('SIZE_INVALID', { message: 'more bytes than announced', cause: error });
  }
  if (isDiskFull(error)) {
    return new RegistryError('UNAVAILABLE', { status: 507, message: 'no space left to store this', cause: error });
  }
  if (isFailedIndex(error))
    return new RegistryError('UNAVAILABLE', { message: 'the index is unavailable', cause: error });
  return error;
}

/** Whether the system, or LevelDB with the system's words, says that no space is left; also as the cause of the error. */
export function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (hasCode(error, 'ENOSPC', 'EDQUOT')) return true;
  // The last is Windows, in English; it says this in its own language.
  if (hasCode(error, 'LEVEL_IO_ERROR') && /No space left|Disk quota|not enough space/.test(error.message)) return true;
  return isDiskFull(error.cause);
}

/** A read or a write that LevelDB, or the parser of its entries, refused: the index could not tell. */
function isFailedIndex(error: unknown): boolean {
  if (error instanceof SyntaxError) return true;
  return error instanceof Error && 'code' in error && String(error.code).startsWith('LEVEL_');
}

const idPattern = /^[A-Za-z0-9-]{1,128}$/;

/** Whether this may be the id of staged bytes: it becomes a file name, so nothing else may pass. */
export function isStagedId(id: string): boolean {
  return idPattern.test(id);
}

/** @throws TypeError when the id could not be one: ids are made by us, so this is a mistake in the program. */
export function checkStagedId(id: string): void {
  if (!isStagedId(id)) throw new TypeError(`not an id of staged bytes: ${JSON.stringify(id.slice(0, 100))}`);
}
