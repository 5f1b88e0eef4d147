/** Keys of the ledger of an object store. `level-keys.ts` draws them, and explains the casts. */
import type { AuditState, ObjectPlace, StagedState, StoredObject } from '../../ports/metadata/object-ledger.js';
import type { Digest } from '../../protocol/digest.js';
import type { Key } from './level-keys.js';
import { formatTime } from './level-ordered-keys.js';

/** An object in the trash, and when it is deleted. */
export interface TrashedObject extends StoredObject {
  readonly until: number;
}

/** An upload, and whether a process holds it, or held it when it ended. */
export interface HeldState extends StagedState {
  readonly isHeld: boolean;
}

export const storeIdKey = '!\0store-id' as Key<string>;
export const placePrefix = '!\0place\0';
export const objectTrashPrefix = '!\0trash\0';
export const stagedPrefix = '!\0staged\0';

export const auditKey = '!\0audit' as Key<AuditState>;

/** Returns the key of the place of a digest. */
export function placeKey(digest: Digest): Key<ObjectPlace> {
  return `${placePrefix}${digest}` as Key<ObjectPlace>;
}

/** Returns the key of an upload. */
export function stagedKey(id: string): Key<HeldState> {
  return `${stagedPrefix}${id}` as Key<HeldState>;
}

/** Returns the key of an object in the trash. */
export function objectTrashKey(key: string): Key<TrashedObject> {
  return `${objectTrashPrefix}${key}` as Key<TrashedObject>;
}

/** Returns the key that sorts the trash by the time of deletion. */
export function objectDueKey(key: string, until: number): Key<''> {
  return `${objectDuePrefix}${formatTime(until)}\0${key}` as Key<''>;
}

/** Returns the range of the objects that are due. */
export function objectsDueAt(now: number): { readonly gt: string; readonly lt: string } {
  return { gt: objectDuePrefix, lt: `${objectDuePrefix}${formatTime(now + 1)}` };
}

/** Parses a key; the inverse of `objectDueKey`. */
export function parseObjectDueKey(key: string): string {
  return key.slice(key.indexOf('\0', objectDuePrefix.length) + 1);
}

const objectDuePrefix = '!\0trash-due\0';
