import type { RegistryError } from '../../protocol/errors.js';

/** Reads the missing bytes from a refusal of `ensureRoom`; assumes all of them when the store does not report details. */
export function missingOf({ detail }: RegistryError, bytes: number): number {
  if (typeof detail !== 'object' || detail === null) return Math.max(1, bytes);
  const { freeBytes, neededBytes } = detail as { readonly freeBytes?: unknown; readonly neededBytes?: unknown };
  if (typeof freeBytes !== 'number' || typeof neededBytes !== 'number') return Math.max(1, bytes);
  return Math.max(1, neededBytes - freeBytes);
}
