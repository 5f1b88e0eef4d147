import { RegistryError } from '../protocol/errors.js';

const reasons: readonly (readonly [codes: readonly string[], reason: string])[] = [
  // Before the codes of system calls, which may be its cause.
  [['HTPASSWD_INVALID'], 'its htpasswd file cannot be used'],
  [['LEVEL_LOCKED', 'FOLDER_IN_USE'], 'another process has its data folder open'],
  [['INDEX_DAMAGED'], 'its index is lost or damaged'],
  [['STORED_TYPE_DIFFERS'], 'a repository has another type than its stored content'],
  [['EACCES', 'EPERM'], 'its data folder is not writable'],
  [['EROFS'], 'its data folder is on a read-only file system'],
  [['ENOENT', 'ENOTDIR'], 'a part of its data folder is missing'],
  [['ENOSPC', 'EDQUOT'], 'the disk is full'],
  [['EMFILE', 'ENFILE'], 'too many files are open'],
  [['EIO'], 'the disk reports errors'],
];

/** Returns why a registry cannot be opened or does not work, in words without paths: clients may read them. */
export function describeFailure(cause: unknown): string {
  if (cause instanceof RegistryError) return cause.message;
  const codes = codesOf(cause);
  return reasons.find(([known]) => known.some((code) => codes.includes(code)))?.[1] ?? 'see its log';
}

/** Returns whether another owner of the folder is all that is in the way: it opens as soon as that one has closed. */
export function isInUse(cause: unknown): boolean {
  return codesOf(cause).some((code) => code === 'LEVEL_LOCKED' || code === 'FOLDER_IN_USE');
}

/** Returns the codes of an error and of its causes. */
function codesOf(error: unknown): readonly unknown[] {
  if (!(error instanceof Error)) return [];
  return ['code' in error ? error.code : undefined, ...codesOf(error.cause)];
}
