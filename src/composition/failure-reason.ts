import { RegistryError } from '../protocol/errors.js';

const reasons: readonly (readonly [codes: readonly string[], reason: string])[] = [
  // Must come before the codes of system calls, which may be its cause.
  [['HTPASSWD_INVALID'], 'its htpasswd file cannot be used'],
  [['AUDIT_FILE_UNUSABLE'], 'its audit file cannot be written'],
  [['LEVEL_LOCKED', 'FOLDER_IN_USE'], 'another process uses its data folder'],
  [['INDEX_DAMAGED'], 'its index is lost or damaged'],
  [['WRONG_BUCKET'], 'its bucket belongs to another registry, or lost its marker'],
  [['SCHEMA_UNSUITABLE'], 'the schema of its database is not the one of this release'],
  [['28P01', '28000'], 'its database refuses the login'],
  [['3D000'], 'its database does not exist'],
  [['42501'], 'its database denies a permission'],
  [['STORED_TYPE_DIFFERS'], 'a repository has another type than its stored content'],
  [['EACCES', 'EPERM'], 'its data folder is not writable'],
  [['EROFS'], 'its data folder is on a read-only file system'],
  [['ENOENT', 'ENOTDIR'], 'a part of its data folder is missing'],
  [['ENOSPC', 'EDQUOT'], 'the disk is full'],
  [['EMFILE', 'ENFILE'], 'too many files are open'],
  [['EIO'], 'the disk reports errors'],
];

/** Returns why a registry cannot be opened or does not work. Names no paths, because clients may read it. */
export function publicReasonOf(cause: unknown): string {
  if (cause instanceof RegistryError) return cause.message;
  const codes = codesOf(cause);
  return reasons.find(([known]) => known.some((code) => codes.includes(code)))?.[1] ?? 'see the log of the registry';
}

/** Returns whether the registry could not open only because another process has the folder open. */
export function isInUse(cause: unknown): boolean {
  return codesOf(cause).some((code) => code === 'LEVEL_LOCKED' || code === 'FOLDER_IN_USE');
}

/** Returns the codes of an error and of its causes. */
function codesOf(error: unknown): readonly unknown[] {
  if (!(error instanceof Error)) return [];
  return ['code' in error ? error.code : undefined, ...codesOf(error.cause)];
}
