/** Shared by both ledgers: changes to the bytes of an upload. */
import type { StagedBytes, StoredObject } from '../ports/metadata/object-ledger.js';

/**
 * Part numbers that are skipped when a claim did not end: the process that held it has sent at most as many since its last
 * save.
 */
export const maxUnsavedParts = 16;

/** Returns the lowest number that no part had. */
export function nextPartOf({ parts, nextPart = 1 }: Pick<StagedBytes, 'parts' | 'nextPart'>): number {
  return Math.max(nextPart, (parts.at(-1)?.number ?? 0) + 1);
}

/** Returns the bytes for the next process, after one that may still send parts. */
export function skipParts(bytes: StagedBytes): StagedBytes {
  return bytes.uploadId === undefined ? bytes : { ...bytes, nextPart: nextPartOf(bytes) + maxUnsavedParts };
}

/** Returns the objects that exist because of these bytes. */
export function objectsOf({ key, uploadId, tail, formerTail }: StagedBytes): StoredObject[] {
  const tails = [tail, formerTail].filter((object) => object !== undefined);
  return [...(uploadId === undefined ? [] : [{ key, uploadId }]), ...tails.map((object) => ({ key: object.key }))];
}
