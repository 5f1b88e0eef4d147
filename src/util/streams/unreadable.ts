/**
 * Returns whether the disk cannot read the bytes, or their file became shorter. Other failures, such as EMFILE, may be
 * temporary.
 */
export function isUnreadable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error.name === 'TruncatedFileError' || ('code' in error && error.code === 'EIO') || isUnreadable(error.cause);
}
